"""Joins the layers: from files to rankings. The only package that may import most of them."""

from onnxattr.pipeline.adapters import ExportOptions
from onnxattr.pipeline.attribute import attribute_many
from onnxattr.pipeline.audit import audit
from onnxattr.pipeline.evaluate import evaluate
from onnxattr.pipeline.export import export
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.map import map_models
from onnxattr.pipeline.options import Options, Progress, Silent
from onnxattr.pipeline.rank import attribute, compare, rank
from onnxattr.pipeline.specs import stamp, write_spec
from onnxattr.pipeline.weigh import weights_of

__all__ = [
    "ExportOptions",
    "Options",
    "Progress",
    "Silent",
    "attribute",
    "attribute_many",
    "audit",
    "compare",
    "evaluate",
    "export",
    "inspect",
    "map_models",
    "rank",
    "stamp",
    "weights_of",
    "write_spec",
]
