"""Whether one model comes from another: by its weights, by what it does, and the verdict.

Imports numpy, onnx and, inside functions, SciPy.
"""
