"""Multipliers of differences: DeepLIFT's chain rule for whatever a network computes.

`walk` runs a network and puts multipliers where autograd has derivatives; `rules` says which.
"""
