"""Functions of all operators, by family, registered with onnx2torch in our domain.

Importing this package fills `OPERATORS`.
"""

import importlib
import pkgutil

from onnxattr.convert.ops.table import OPERATORS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["OPERATORS"]
