"""Whether one model comes from another. Imports numpy, onnx and, inside functions, SciPy."""
