"""Converters of our own, by operator family, registered with onnx2torch in our domain.

Importing this package fills `OPERATORS`; `UseOwnOperators` relabels what stands in it.
"""

from onnxattr.convert.ops import activations, indexing, normalization, pooling, resize, structure
from onnxattr.convert.ops.table import OPERATORS

__all__ = [
    "OPERATORS",
    "activations",
    "indexing",
    "normalization",
    "pooling",
    "resize",
    "structure",
]
