"""Relevance: one rule an ONNX operator, in multiplier form. Imports `convert` and what is below it.

Where autograd carries a gradient it carries c = R/z, the relevance of a value over the value. An
operator that is linear in what bears relevance needs no rule then: its gradient does it. The others
keep their values and get a gradient that is the multiplier.
"""
