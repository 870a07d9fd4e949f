"""Rewrites of an ONNX graph, one a file: small, idempotent, honest about whether they changed it.

Each is an onnx-ir pass. Together they turn a vendor's graph into the dialect that onnx2torch reads:
functions inlined, all operators in our own domain, what is stored beside the graph, one `Outputs`
node at the end, and none of the vendor's names.
"""

from onnxattr.graph.passes.batch import FreeBatch
from onnxattr.graph.passes.cut import Cut
from onnxattr.graph.passes.fix_inputs import FixInputs
from onnxattr.graph.passes.fold_affine import FoldAffine
from onnxattr.graph.passes.fold_batch_norm import FoldBatchNorm
from onnxattr.graph.passes.freeze import Freeze
from onnxattr.graph.passes.functions import KeepFunctionOpsets
from onnxattr.graph.passes.fuse_attention import FuseAttention
from onnxattr.graph.passes.fuse_bounds import FuseBounds
from onnxattr.graph.passes.fuse_gelu import FuseGelu
from onnxattr.graph.passes.fuse_hard_swish import FuseHardSwish
from onnxattr.graph.passes.fuse_layer_norm import FuseLayerNorm
from onnxattr.graph.passes.fuse_linear import FuseLinear
from onnxattr.graph.passes.fuse_swish import FuseMish, FuseSwish
from onnxattr.graph.passes.identities import DropIdentities
from onnxattr.graph.passes.outputs import JoinOutputs
from onnxattr.graph.passes.own import UseOwnOperators
from onnxattr.graph.passes.pads import ExplicitPads
from onnxattr.graph.passes.parameters import TakeOutStored
from onnxattr.graph.passes.provenance import Remember, vendor_name, vendor_node
from onnxattr.graph.passes.quantised import Carry
from onnxattr.graph.passes.rename import Rename
from onnxattr.graph.passes.shapes import FoldShapes, KnownShapes
from onnxattr.graph.passes.unroll import Unroll
from onnxattr.graph.passes.widen import Widen

__all__ = [
    "Carry",
    "Cut",
    "DropIdentities",
    "ExplicitPads",
    "FixInputs",
    "FoldAffine",
    "FoldBatchNorm",
    "FoldShapes",
    "FreeBatch",
    "Freeze",
    "FuseAttention",
    "FuseBounds",
    "FuseGelu",
    "FuseHardSwish",
    "FuseLayerNorm",
    "FuseLinear",
    "FuseMish",
    "FuseSwish",
    "JoinOutputs",
    "KeepFunctionOpsets",
    "KnownShapes",
    "Remember",
    "Rename",
    "TakeOutStored",
    "Unroll",
    "UseOwnOperators",
    "Widen",
    "vendor_name",
    "vendor_node",
]
