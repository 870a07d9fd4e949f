"""PyTorch: exports a module with torch's own exporter, as a user of it would; layout NCHW."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import Array, Spec, check, clean, draft, one_line, save, stamp
from onnxattr_adapters._source import has_suffix, is_object

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

#: timm's words for how an image that is not square becomes one.
_FRAMING = {"center": "crop", "squash": "stretch", "border": "letterbox"}


def export(
    model: torch.nn.Module,
    path: str | os.PathLike[str],
    *,
    example: torch.Tensor | Sequence[torch.Tensor],
    dynamic_batch: bool = True,
    opset: int | None = None,
) -> None:
    """Write `model` as an ONNX file that was compared with it, in evaluation mode.

    The module's training mode is as before afterwards, also after an error, and `path` is only
    written once ONNX Runtime agrees with the module on random input.

    Args:
        model: What to export; its `forward` takes the tensors of `example` by position.
        path: Where to write. The folder is made if need be.
        example: One tensor for each input, such as float32 [batch, 3, height, width], on the
            module's device. Sizes other than the batch become fixed.
        dynamic_batch: Leave axis 0 of every input free.
        opset: ONNX opset; torch's own default if None.

    Raises:
        ExportError: The module does not run on `example`, torch cannot export it, ONNX
            Runtime cannot run the file, max|Δ| > 1e-4 · max|reference|, or TensorFlow is loaded
            in this process already.

    Example:
        >>> import tempfile, torch
        >>> file = tempfile.mkdtemp() + "/net.onnx"
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> export(net, file, example=torch.rand(2, 3, 8, 8))
    """
    import torch

    require("onnxscript")
    _refuse_to_crash()
    given = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    with evaluation_mode(model), torch.no_grad():
        inputs = _random(_repeat(given, 3) if dynamic_batch else given)
        references = run(model, inputs)
        proto = _export(model, _repeat(given, 2) if dynamic_batch else given, dynamic_batch, opset)
    publish(proto, path, inputs, references, known(model, given[0]))


def publish(
    proto: ModelProto,
    path: str | os.PathLike[str],
    inputs: Sequence[torch.Tensor],
    references: Sequence[Array],
    spec: Mapping[str, Spec],
) -> None:
    """Write what torch exported to `path`, once it is clean, says what is known, and was checked.

    Raises:
        ExportError: It does not compute `references` from `inputs`.
    """
    clean(proto)
    stamp(proto, spec)
    with draft(path) as place:
        save(proto, place)
        check(place, [array(value) for value in inputs], references)


def known(model: torch.nn.Module, image: torch.Tensor) -> dict[str, Spec]:
    """Return what a model of timm knows of its input: a configuration that the object carries."""
    found = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if found is None or image.ndim != 4:
        return {}
    spec: dict[str, Spec] = {"layout": "NCHW", "range": (0, 1), "size": tuple(image.shape[2:])}
    for part in ("mean", "std"):
        if value := config(found, part):
            spec[part] = tuple(map(float, value))
    rule = _FRAMING.get(str(config(found, "crop_mode")))
    return spec | ({"resize": rule} if rule else {})


def config(found: Any, part: str) -> Any:
    """Return a part of timm's configuration, which is a mapping or an object; None if it is not."""
    return found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back into its own mode after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _refuse_to_crash() -> None:
    """Raise where torch's exporter would end the whole process with a segmentation fault.

    It imports Triton, whose LLVM collides with TensorFlow's if that was loaded first (seen with
    Triton 3 and TensorFlow 2.21); the other order works.
    """
    loaded = sys.modules
    if "tensorflow" in loaded and "triton" not in loaded and find_spec("triton") is not None:
        raise ExportError(
            "TensorFlow is loaded in this process, where torch's exporter would crash: "
            "export from a fresh process, or import triton before tensorflow"
        )


def _export(
    model: torch.nn.Module, example: tuple[torch.Tensor, ...], dynamic: bool, opset: int | None
) -> ModelProto:
    import torch

    # The axis is named by a string, so that several inputs share one batch size.
    shapes = tuple({0: "batch"} for _ in example) if dynamic else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own insides
            program = torch.onnx.export(
                model,
                example,
                dynamo=True,
                dynamic_shapes=shapes,
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many unrelated types
        reason = one_line(error.__cause__ or error)  # its own text only says which step failed
        raise ExportError(f"torch cannot export this module: {reason}") from error
    if program is None:
        raise ExportError("torch's exporter returned nothing")
    return program.model_proto


def _repeat(values: tuple[torch.Tensor, ...], batch: int) -> tuple[torch.Tensor, ...]:
    """Return the first item of each tensor `batch` times.

    torch.export takes a batch of one in the example for a constant, so it never sees one.
    """
    return tuple(value[:1].repeat(batch, *[1] * (value.ndim - 1)) for value in values)


def _random(values: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Return uniform noise for real inputs, from a fixed seed; other inputs are left alone."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(value.shape, generator=generator).to(value)
        if value.is_floating_point()
        else value
        for value in values
    )


def run(model: Any, inputs: Sequence[torch.Tensor]) -> list[Array]:
    """Return what a module computes, as arrays.

    Raises:
        ExportError: It does not take such inputs.
    """
    try:
        outputs = model(*inputs)
    except Exception as error:  # a module may raise whatever it likes
        shapes = ", ".join("×".join(map(str, value.shape)) for value in inputs)
        raise ExportError(f"it cannot run on an example of {shapes}: {one_line(error)}") from error
    return flatten(outputs)


def flatten(outputs: Any) -> list[Array]:
    """Return the arrays of nested sequences and mappings of tensors, in torch.export's order."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return [array(outputs)]
    if isinstance(outputs, Mapping):
        return [item for value in outputs.values() for item in flatten(value)]
    if isinstance(outputs, Sequence):
        return [item for value in outputs for item in flatten(value)]
    raise ExportError(f"the module returns a `{type(outputs).__name__}`, not tensors")


def array(value: torch.Tensor) -> Array:
    """Return a tensor's values."""
    values: Array = value.detach().cpu().numpy()
    return values


def _export_source(source: str, path: Path, **options: Any) -> None:
    from onnxattr_adapters._torch_source import export_source

    export_source(source, path, **options)


#: `.pt2` archives and TorchScript run what they hold; a pickled module is not read at all.
ADAPTER = Adapter(
    install="onnxattr[pytorch]",
    recognises=lambda source: is_object(source) or has_suffix(source, ".pt2", ".pt", ".ts"),
    holds_code=lambda source: True,
    export=_export_source,
    takes=("example", "state_dict"),
)
