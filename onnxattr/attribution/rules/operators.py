"""The rows of all operators, by family. Importing this fills the table."""

from onnxattr.attribution.rules import (  # noqa: F401 - each fills a part of it
    operators_attention,
    operators_elementwise,
    operators_fused,
    operators_linear,
    operators_normalization,
    operators_products,
    operators_recurrent,
)
