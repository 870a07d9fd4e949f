"""From a model to a differentiable torch module, through onnx2torch."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx2torch
import torch
from torch import fx, nn

from onnxattr.convert import garbage
from onnxattr.convert.device import choose_device
from onnxattr.convert.ops import table
from onnxattr.convert.support import require_support
from onnxattr.errors import SupportError
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise
from onnxattr.graph.options import InputOptions
from onnxattr.graph.outputs import representation
from onnxattr.limits import Limits
from onnxattr.types import InputSpec, Model, Network

#: ONNX Runtime takes 2 GiB at a time, and torch what memory holds.
_LARGE = Limits(file_size=2**36)


def to_network(
    model: Model,
    *,
    at: str = "feature",
    options: InputOptions | None = None,
    spec: InputSpec | None = None,
    device: str = "cpu",
    fuse: bool = False,
) -> Network:
    """Returns the differentiable network of `model` up to its representation.

    Args:
        model: A model as it was given.
        at: What is attributed; see `graph.outputs.representation`.
        options: What the user says of the input, which takes an image.
        spec: How probes are fed to it, where that is decided already.
        device: Where the parameters go, as torch names it.
        fuse: Whether chains of operators become one: faster, where only a gradient is wanted.

    Raises:
        ModelInputError: The model takes no single RGB image.
        UsageError: `at` names nothing in the model.
        SupportError: Operators have no converter, or onnx2torch fails.
    """
    spec = spec or image_input(model, options)
    chosen = representation(model, at)
    with garbage.kept():
        dialect = _dialect(model, outputs=[chosen.value], spec=spec, fuse=fuse)
        module = _module(dialect).to(device)
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
            if isinstance(_submodule(module, node), table.Call)
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
    Inputs that fix a batch of one take any batch, where shapes tell how.

    Args:
        source: A path, the bytes of an ONNX file, a parsed model, or what `load` returned.
        device: A device of torch, or its name: `cpu`, `cuda[:n]`, `mps`, `meta`; or `auto` for
            the first GPU.
        fuse: Whether chains of operators that torch computes by one kernel become one: GELU, layer
            normalisation, linear layers and attention, as exporters write them out, and a layer
            with its batch normalisation. Faster, and the same but for rounding. With `False` every
            operator of the graph is a submodule of its own, and attention has second derivatives.
        limits: What the file may hold; by default `Limits()`, but up to 64 GiB of weights.

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
        model = source if isinstance(source, Model) else load(source, limits=limits or _LARGE)
        return _module(_dialect(model, fuse=fuse, free_batch=True)).to(device)


def _lay_out(module: nn.Module, dialect: Model) -> None:
    """Puts the channels of convolutions' weights last, and with them those of all they give.

    On the CPU this took 0.85 of the time on nets of convolutions, and no more on others. Units
    come out with such strides, too, which `view` refuses: not for modules that users take.
    """
    stored = {n.output[0]: n for n in dialect.proto.graph.node if n.op_type == "Parameter"}
    for node in dialect.proto.graph.node:
        weight = stored.get(node.input[1]) if node.op_type.startswith("Conv") else None
        held = _submodule(module, weight) if weight is not None else None
        if isinstance(held, table.Parameter) and held.value.dim() == 4:
            held.value.data = held.value.contiguous(memory_format=torch.channels_last)


def module_name(node: onnx.NodeProto) -> str:
    """Returns the name that onnx2torch gives to the submodule of `node`."""
    return f"{node.domain}/{node.name}" if node.domain else node.name


def _submodule(module: nn.Module, node: onnx.NodeProto) -> nn.Module | None:
    return getattr(module, module_name(node), None)


def _dialect(
    model: Model,
    *,
    fuse: bool,
    outputs: Sequence[str] | None = None,
    spec: InputSpec | None = None,
    free_batch: bool = False,
) -> Model:
    dialect = normalise(model, outputs=outputs, spec=spec, fuse=fuse, free_batch=free_batch)
    garbage.sweep()
    require_support(dialect)
    return dialect


def _module(dialect: Model) -> nn.Module:
    # Tensors that are made in inference mode could never take part in a gradient.
    with (
        warnings.catch_warnings(),
        torch.inference_mode(False),
        table.scope(dialect.stored),
    ):
        # What onnx2torch warns about is decided by the comparison with ONNX Runtime.
        warnings.simplefilter("ignore")
        try:
            module: fx.GraphModule = onnx2torch.convert(dialect.proto)
        except Exception as error:
            # Converters raise whatever they happen to hit: KeyError, AssertionError, …
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SupportError(
                f"onnx2torch cannot convert it: {reason}", model=dialect.name
            ) from error
    # What was read at conversion need not be carried along.
    if module.graph.eliminate_dead_code():
        module.delete_all_unused_submodules()
        module.recompile()
    return module.eval().requires_grad_(False)
