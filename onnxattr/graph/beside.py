"""What a model says of a probe: the tensor of its outputs, beside the one that is attributed."""

from onnxattr.errors import OnnxattrError
from onnxattr.graph.outputs import representation
from onnxattr.graph.walk import nodes
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model, Representation


def outputs_beside(
    model: Model,
    chosen: Representation,
    spec: InputSpec | None = None,
    limits: Limits | None = None,
) -> str:
    """Returns the tensor of a model's outputs, before softmax, sigmoid or argmax; or ''.

    It is that of the output from which the representation was found. There is none where the
    representation is that tensor, or an output itself; nor in a model with a Loop, which may take
    more turns behind the representation than before it, and ONNX Runtime knows no bound of them.

    Args:
        model: A model as it was given.
        chosen: Its representation.
        spec: How probes are fed to it.
        limits: What looking for a tensor may cost.
    """
    if chosen.value in {value.name for value in model.proto.graph.output}:
        return ""
    bodies = (model.proto.graph, *model.proto.functions)
    if any(node.op_type == "Loop" for body in bodies for node in nodes(body)):
        return ""
    at = f"logits:{chosen.output}" if chosen.output else "logits"
    try:
        found = representation(model, at, spec, limits).value
    except OnnxattrError:
        return ""
    return "" if found == chosen.value else found
