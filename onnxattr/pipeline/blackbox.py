"""A model on the black-box way, in a worker: nothing is converted, ONNX Runtime alone is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxattr.arrays import Probing
from onnxattr.attribution.methods import BLACK_BOX, Method, parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.errors import OnnxattrError
from onnxattr.graph.walk import nodes
from onnxattr.pipeline.messages import Place
from onnxattr.types import TOKENS, InputSpec, Model, Representation

if TYPE_CHECKING:
    from onnxattr.attribution.blackbox import BlackBox

#: What `inspect` says of a model that can go this way.
POSSIBLE = f"black-box: --method {BLACK_BOX[0]}"

#: What `rank` says of one that another way did not take.
HINT = f"`--method {BLACK_BOX[0]}` ranks all models by black-box maps"


def black_box(
    model: Model,
    spec: InputSpec,
    representation: Representation,
    place: Place,
    *,
    device: str = "cpu",
    method: Method = parse(BLACK_BOX[0]),  # noqa: B008 - a constant
    reduction: Reduction | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> BlackBox:
    """Returns what makes the maps of a model.

    Args:
        model: A model as it was given, whose budget is known to hold.
        spec: How probes are fed to it.
        representation: What is attributed.
        place: Bounds of this process.
        device: From `convert.device.runtime_device`.
        method: Of `methods.BLACK_BOX`; by default occlusion.
        reduction: How T is made of the units.
        seed: Of all that the method draws.
        batch_size: As in `Options`.

    Raises:
        SupportError: ONNX Runtime refuses the model, or it takes token ids.
        DeviceError: It cannot compute on the device.
    """
    from onnxattr.attribution.blackbox import BlackBox
    from onnxattr.convert.device import set_up, thread_count
    from onnxattr.convert.session import Runtime

    set_up("cpu", place.threads, place.limits.gpu_memory)
    runtime = Runtime(
        model,
        spec,
        representation,
        threads=thread_count(),
        device=device,
        gpu_memory=place.limits.gpu_memory,
    )
    return BlackBox(
        runtime,
        method=method,
        reduction=reduction,
        seed=seed,
        batch_size=batch_size,
    )


def is_possible(
    model: Model,
    spec: InputSpec,
    representation: Representation,
    place: Place,
    probes: Probing | None = None,
) -> bool:
    """Returns whether ONNX Runtime takes a model and, if there are probes, sees them.

    Of a model with a Loop that is not tried out.

    Args:
        model: A model as it was given, whose budget is known to hold.
        spec: How probes are fed to it.
        representation: What is attributed.
        place: Bounds of this process.
        probes: Of its kind, of which the first is used; without any the model is not run.
    """
    if spec.kind == TOKENS:
        return False
    bodies = (model.proto.graph, *model.proto.functions)
    if any(node.op_type == "Loop" for body in bodies for node in nodes(body)):
        return False  # It may never end, and what stopped it on the other way is already known.
    try:
        maker = black_box(model, spec, representation, place)
        return probes is None or maker.sees(probes)
    except (OnnxattrError, MemoryError):
        return False
