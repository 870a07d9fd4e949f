"""Measures of how alike two models are, one a module; `table` lists them. Pure numpy and scipy.

Each module has `prepare`, which makes of one model what is kept of it, once, and `compare`, which
takes what is kept of two and returns one number a probe. Their mean is the measure; their spread
over the probes is its spread.
"""
