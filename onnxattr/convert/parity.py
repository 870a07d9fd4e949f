"""The gate: a converted network against ONNX Runtime on the original graph and the same probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import fx

from onnxattr.arrays import Float32
from onnxattr.convert.feed import Feed, resize
from onnxattr.convert.torch import input_dtype, module_name
from onnxattr.errors import ParityError, SupportError
from onnxattr.graph.outputs import label
from onnxattr.types import Model, Network, Parity, Probes

#: Largest max|Δ| / max|reference| that is let through, by the type of the model's input.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2}

#: Probes that are compared at a time: all of them are.
BATCH = 8


def check_parity(network: Network, probes: Probes) -> Parity:
    """Returns how far `network` is from ONNX Runtime, which runs the original graph on the CPU.

    Raises:
        ParityError: It is too far, or not finite; names the first node that diverges.
        SupportError: ONNX Runtime cannot run the model.
    """
    spec = network.spec
    feed = Feed(spec, input_dtype(network.model))
    # A graph that fixes its batch is run on whole batches only; the last may repeat its probes.
    batch = spec.batch or BATCH
    session = Session(network.model, [network.representation.value])
    tolerance = TOLERANCE[feed.dtype]
    error = 0.0
    for start in range(0, len(probes.images), batch):
        images = torch.from_numpy(probes.images[start : start + batch])
        x = feed(resize(images, spec.height, spec.width))
        x = wrap(x, batch) if spec.batch else x
        (reference,) = session.run(spec.input, x.numpy())
        ours = _forward(network, x)
        if ours.shape != reference.shape:
            raise _mismatch(network, x, f"shape {ours.shape} against {reference.shape}")
        if not np.isfinite(reference).all():
            raise ParityError(
                "under ONNX Runtime its representation holds values that are not finite",
                hint="is the input range right? see --range, --mean, --std",
                model=network.model.name,
            )
        error = max(error, relative_error(ours, reference))
        if not error <= tolerance:
            raise _mismatch(
                network, x, f"max|Δ| is {error:.1e} of max|reference|, over {tolerance:.0e}"
            )
        if start == 0 and not spec.batch and len(x) > 1 and len(ours) == len(x):
            alone = relative_error(_forward(network, x[:1]), ours[:1])
            if not alone <= tolerance:
                raise ParityError(
                    "its output for a probe depends on the other probes of the batch "
                    f"({alone:.1e} of it)",
                    hint="export it with a batch of one",
                    model=network.model.name,
                )
    return Parity(error=error, tolerance=tolerance, probes=len(probes.images))


def _forward(network: Network, x: torch.Tensor) -> Float32:
    with torch.no_grad():
        units: Float32 = network.module(x.to(network.device)).cpu().numpy()
    return units


def relative_error(ours: Float32, reference: Float32) -> float:
    """Returns max|Δ| / max|reference|; infinite where ours is not finite."""
    if ours.size == 0:
        return 0.0
    delta = np.abs(ours.astype(np.float64) - reference.astype(np.float64)).max()
    scale = np.abs(reference.astype(np.float64)).max()
    if not np.isfinite(delta):
        return float("inf")
    return float(delta / scale) if scale > 0 else float(delta)


def wrap(x: torch.Tensor, size: int) -> torch.Tensor:
    """Returns `x` with its probes repeated up to `size` of them."""
    return x if len(x) == size else x[torch.arange(size) % len(x)]


class Session:
    """ONNX Runtime on a model's original graph, with chosen tensors as its outputs.

    Args:
        model: A model as it was given.
        values: Tensors of its main graph.

    Raises:
        SupportError: ONNX Runtime refuses the model.
    """

    def __init__(self, model: Model, values: Sequence[str]) -> None:
        import onnxruntime as ort

        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        present = {value.name for value in proto.graph.output}
        proto.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(v) for v in values if v not in present
        )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self._name, self._values = model.name, list(values)
        try:
            self._session = ort.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has no common base class for its errors.
            raise self._refused(error) from error

    def run(self, name: str, x: np.ndarray[Any, Any]) -> list[Float32]:
        """Returns the chosen tensors for `x` at the input `name`.

        Raises:
            SupportError: ONNX Runtime fails on it.
        """
        try:
            outputs: list[Float32] = self._session.run(self._values, {name: x})
        except Exception as error:
            hint = "where a graph leaves its input's size free it may still need one: see --size"
            raise self._refused(error, hint) from error
        return outputs

    def _refused(self, error: Exception, hint: str = "") -> SupportError:
        reason = " ".join(str(error).split())
        return SupportError(f"ONNX Runtime cannot run it: {reason}", hint=hint, model=self._name)


def _mismatch(network: Network, x: torch.Tensor, what: str) -> ParityError:
    return ParityError(
        f"the converted network and ONNX Runtime disagree: {what}; {first_divergence(network, x)}",
        hint="its maps would be wrong, so it is left out",
        model=network.model.name,
    )


def first_divergence(network: Network, x: torch.Tensor) -> str:
    """Returns in words the first node, in the graph's order, whose output is not ONNX Runtime's."""
    names, graph = network.dialect.names, network.dialect.proto.graph
    kept = {value for node in network.model.proto.graph.node for value in node.output}
    nodes = [n for n in graph.node if len(n.output) == 1 and names.values.get(n.output[0]) in kept]
    session = Session(network.model, [names.values[n.output[0]] for n in nodes])
    references = session.run(network.spec.input, x.numpy())
    ours = _Recorder(network.module).record(x.to(network.device))
    tolerance = TOLERANCE[x.dtype]
    for node, reference in zip(nodes, references, strict=True):
        value = ours.get(module_name(node))
        if value is None or not np.issubdtype(reference.dtype, np.floating):
            continue
        array = value.cpu().numpy()
        if array.shape != reference.shape or relative_error(array, reference) > tolerance:
            return f"the first node that differs is {label(names.nodes[node.name])}"
    return "no single node could be found that differs"


class _Recorder(fx.Interpreter):
    """Runs a converted module and keeps what each submodule returned."""

    def __init__(self, module: torch.nn.Module) -> None:
        assert isinstance(module, fx.GraphModule)
        super().__init__(module)
        self._values: dict[str, torch.Tensor] = {}

    def record(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            self.run(x)
        return self._values

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(target, args, kwargs)
        if isinstance(result, torch.Tensor):
            self._values[str(target)] = result
        return result
