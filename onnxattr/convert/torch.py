"""From a model to a differentiable torch module, through onnx2torch."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import onnx
import onnx2torch
import torch
from torch import fx, nn

from onnxattr.convert import garbage
from onnxattr.convert.device import choose_device
from onnxattr.convert.held import held, without
from onnxattr.convert.ops import calls, scope, table
from onnxattr.convert.support import require_support
from onnxattr.errors import SupportError
from onnxattr.graph.attributed import attributed
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS, normalise
from onnxattr.graph.options import InputOptions
from onnxattr.graph.walk import label
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model, Network, OnnxNode

#: ONNX Runtime takes 2 GiB at a time, and torch what memory holds.
_LARGE = Limits(file_size=2**36)


def to_network(
    model: Model,
    *,
    at: str | None = None,
    options: InputOptions | None = None,
    spec: InputSpec | None = None,
    device: str = "cpu",
    fuse: Collection[str] = (),
    wide: bool = False,
    limits: Limits | None = None,
) -> Network:
    """Returns the differentiable network of `model` up to its representation.

    Args:
        model: A model as it was given.
        at: What is attributed; see `graph.attributed`.
        options: What the user says of the input, which takes an image.
        spec: How probes are fed to it, where that is decided already.
        device: Where the parameters go, as torch names it.
        fuse: Of `graph.normalise.FUSIONS`: which chains of operators become one.
        wide: Whether all of it computes in float64; what it is fed stays in the model's own type.
        limits: What its Loops and Scans may cost as it runs; by default `Limits()`.

    Raises:
        ModelInputError: The model takes no single RGB image.
        UsageError: `at` names nothing in the model.
        SupportError: Operators have no converter, or onnx2torch fails.
    """
    spec = spec or image_input(model, options)
    chosen, _ = attributed(model, at, spec, limits)
    with garbage.kept():
        dialect = _dialect(model, outputs=[chosen.value], spec=spec, fuse=fuse, wide=wide)
        module = _module(dialect, limits or Limits()).to(device)
    if device == "cpu":
        _lay_out(module, dialect)
    return Network(
        module=module,
        model=model,
        dialect=dialect,
        spec=spec,
        representation=chosen,
        operators={
            module_name(node): dialect.names.nodes[node.name]
            for node in dialect.proto.graph.node
            if isinstance(_submodule(module, node), calls.Call)
        },
        device=device,
    )


def to_torch(
    source: str | Path | bytes | onnx.ModelProto | Model,
    *,
    device: str | torch.device = "cpu",
    fuse: bool = True,
    limits: Limits | None = None,
) -> nn.Module:
    """Returns an ONNX model as a torch module, differentiable, frozen, in evaluation mode.

    The module takes the graph's inputs positionally and returns its outputs in the order of the
    graph: a tensor, or a tuple where there are several. It is converted in the calling process,
    after every name in the graph has been replaced. Its values are not compared with those of ONNX
    Runtime, as `rank`, `compare` and `attribute` do: that takes inputs, which the caller has.
    Inputs that fix a batch of one take any batch, where it can be followed through the graph, also
    merged with heads or windows, and no operator could mix its members. Other sizes that the graph
    fixes are checked at every call: the module raises a `ModelInputError`.

    Args:
        source: A path, the bytes of an ONNX file, a parsed model, or what `load` returned.
        device: A device of torch, or its name: `cpu`, `cuda[:n]`, `mps`, `meta`; or `auto` for
            the first GPU.
        fuse: Whether chains of operators that torch computes by one kernel become one: GELU, layer
            normalisation, linear layers and attention, as exporters write them out, and a layer
            with its batch normalisation. Faster, and the same but for rounding. With `False` every
            operator of the graph is a submodule of its own, and attention has second derivatives.
        limits: What the file may hold, and what its Loops and Scans may cost as the module runs (it
            raises a `LimitError`); by default `Limits()`, but up to 64 GiB of weights.

    Raises:
        ModelFileError: The file cannot be used.
        SupportError: Operators have no converter, or onnx2torch fails.
        DeviceError: The device is not there.

    Example:
        >>> import torch
        >>> from onnx import parser
        >>> header = '<ir_version: 8, opset_import: ["" : 17]>'
        >>> text = header + "g (float[N] x) => (float[N] y) { y = Relu(x) }"
        >>> onnxattr.to_torch(parser.parse_model(text))(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    name = str(device)
    device = name if name == "meta" else choose_device(name)
    with garbage.kept():
        limits = limits or _LARGE
        # No name for either model: each is freed as soon as the next one is there.
        fusions = FUSIONS if fuse else ()
        return _module(_dialect(_loaded(source, limits), fuse=fusions, free_batch=True), limits).to(
            device
        )


def _loaded(source: str | Path | bytes | onnx.ModelProto | Model, limits: Limits) -> Model:
    return source if isinstance(source, Model) else load(source, limits=limits)


def _lay_out(module: nn.Module, dialect: Model) -> None:
    """Puts the channels of convolutions' weights last, and with them those of all they give.

    On the CPU this took 0.85 of the time on nets of convolutions, and no more on others. Units
    come out with such strides, too, which `view` refuses: not for modules that users take.
    """
    stored = {n.output[0]: n for n in dialect.proto.graph.node if n.op_type == "Parameter"}
    for node in dialect.proto.graph.node:
        if not node.op_type.startswith("Conv"):
            continue
        holder, name = _submodule(module, node), scope.held_name(1)
        if not hasattr(holder, name) and node.input[1] in stored:
            holder, name = _submodule(module, stored[node.input[1]]), "value"
        weight = getattr(holder, name, None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 4:
            weight.data = weight.contiguous(memory_format=torch.channels_last)


def module_name(node: onnx.NodeProto) -> str:
    """Returns the name that onnx2torch gives to the submodule of `node`."""
    return f"{node.domain}/{node.name}" if node.domain else node.name


def _submodule(module: nn.Module, node: onnx.NodeProto) -> nn.Module | None:
    return getattr(module, module_name(node), None)


def _dialect(
    model: Model,
    *,
    fuse: Collection[str],
    outputs: Sequence[str] | None = None,
    spec: InputSpec | None = None,
    free_batch: bool = False,
    wide: bool = False,
) -> Model:
    dialect = normalise(
        model, outputs=outputs, spec=spec, fuse=fuse, free_batch=free_batch, wide=wide
    )
    garbage.sweep()
    require_support(dialect)
    return dialect


def _module(dialect: Model, limits: Limits) -> nn.Module:
    name, nodes = dialect.name, dialect.names.nodes
    last = [dialect]
    del dialect
    module, refused = convert(last.pop(), limits, hold=True)
    if refused:
        raise SupportError(f"onnxattr cannot convert it: {_listing(refused, nodes)}", model=name)
    # What was read at conversion need not be carried along.
    if module.graph.eliminate_dead_code():
        module.delete_all_unused_submodules()
        module.recompile()
    return module.eval().requires_grad_(False)


def convert(dialect: Model, limits: Limits, *, hold: bool) -> tuple[fx.GraphModule, dict[str, str]]:
    """Returns a normalised model as a module, and why nodes are refused, by our names of them.

    If any is, the module cannot be run as a whole.

    Args:
        dialect: A normalised model.
        limits: What bodies that run again and again may cost.
        hold: Whether stored tensors that one node alone takes are held by it, and not by nodes of
            their own, and inputs are checked: as the module is that is run.

    Raises:
        SupportError: An operator has no converter, or onnx2torch fails.
    """
    own = held(dialect.proto.graph) if hold else {}
    proto = without(dialect.proto, own, checked=hold)
    inputs = {v.name: dialect.names.values.get(v.name, "") for v in dialect.proto.graph.input}
    name, stored, nodes = dialect.name, dialect.stored, dialect.names.nodes
    # Where nobody else has it, it is freed before the most memory is taken.
    del dialect
    # Tensors that are made in inference mode could never take part in a gradient.
    with (
        warnings.catch_warnings(),
        torch.inference_mode(False),
        scope.scope(stored, limits, nodes, own, inputs) as here,
    ):
        # What onnx2torch warns about is decided by the comparison with ONNX Runtime.
        warnings.simplefilter("ignore")
        try:
            return onnx2torch.convert(proto), here.refused
        except Exception as error:
            raise SupportError(
                f"onnx2torch cannot convert it: {table.reason_of(error)}", model=name
            ) from error


def _listing(refused: Mapping[str, str], nodes: Mapping[str, OnnxNode]) -> str:
    """Returns each reason with the nodes that it is of."""
    groups: dict[str, list[str]] = {}
    for name, reason in refused.items():
        groups.setdefault(reason, []).append(label(nodes[name]))
    return "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in groups.items())
