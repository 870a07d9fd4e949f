"""The rows of operators that only move, add up or choose values, and of layers."""

from onnxattr.attribution.rules.table import ALL, row

row("Conv", layer="Conv")
row("ConvTranspose", layer="ConvTranspose")
row("Gemm", layer="Gemm")
row("FusedLinear", layer="Gemm")
row("MatMul", layer="MatMul")
row("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose")
row("Add", "Sub", "Sum", "Concat", signal=ALL)
