"""PyTorch's sources: `.pt2` archives, TorchScript, and modules that a callable makes."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxattr_adapters import ExportError, require
from onnxattr_adapters._file import one_line
from onnxattr_adapters._source import arrays, existing, has_suffix, is_object, load_object
from onnxattr_adapters.pytorch import config, export, publish, run

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

#: Where checkpoints of training keep the weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def export_source(
    source: str, path: Path, example: Sequence[str] = (), state_dict: str | None = None
) -> None:
    """Write what `source` names as an ONNX file that was compared with it.

    Args:
        source: A `.pt2` archive, a TorchScript file, or `module:callable`.
        path: Where to write.
        example: The inputs; a `.pt2` archive and a model of timm bring their own.
        state_dict: Weights for what a callable makes: safetensors, or what torch reads without
            unpickling objects.

    Raises:
        ExportError: The source cannot be read or exported, or the file differs from it.
    """
    require("torch", "onnxscript")
    import torch

    given = tuple(torch.from_numpy(a) for a in arrays(example))
    if is_object(source):
        model = _make(source)
        if state_dict is not None:
            _load_weights(model, state_dict)
        export(model, path, example=given or _own_example(model))
        return
    if state_dict is not None:
        raise ExportError("a state dict goes with module:callable; this file has its own weights")
    file = existing(source)
    if has_suffix(source, ".pt2"):
        _export_program(file, path, given)
    else:
        _export_script(file, path, given)


def _make(source: str) -> torch.nn.Module:
    import torch

    made = load_object(source)
    if not isinstance(made, torch.nn.Module):
        try:
            made = made()
        except Exception as error:  # a callable may raise whatever it likes
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise ExportError(f"`{source}` cannot be called without arguments: {reason}") from error
    if not isinstance(made, torch.nn.Module):
        raise ExportError(f"`{source}` makes a `{type(made).__name__}`, not a torch.nn.Module")
    return made


def _own_example(model: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    import torch

    found = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    size = config(found, "input_size") if found is not None else None
    if not size:
        raise _needs_example()
    return (torch.rand(2, *size, generator=torch.Generator().manual_seed(0)),)


def _load_weights(model: torch.nn.Module, state_dict: str) -> None:
    import torch

    file = existing(state_dict)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Any = load_file(file)
        else:
            weights = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, pickle and zip have their own
        raise ExportError(f"the state dict cannot be read: {one_line(error)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(weights, Mapping) and isinstance(weights.get(wrapper), Mapping):
            weights = weights[wrapper]
    try:
        model.load_state_dict(weights)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"the state dict does not fit the module: {reason}") from error


def _export_program(file: Path, path: Path, given: tuple[torch.Tensor, ...]) -> None:
    """Export a `.pt2` archive; which axes are free was decided when it was made."""
    import torch

    try:
        program = torch.export.load(file)
    except Exception as error:  # whatever a broken archive makes of its reader
        raise ExportError(f"torch cannot read the archive: {one_line(error)}") from error
    arguments, keywords = program.example_inputs or ((), {})
    inputs = given or (*arguments, *keywords.values())
    if not inputs or not all(isinstance(value, torch.Tensor) for value in inputs):
        raise _needs_example()
    with torch.no_grad():
        references = run(program.module(), inputs)
    publish(_to_onnx(program, None), path, inputs, references, {})


def _export_script(file: Path, path: Path, given: tuple[torch.Tensor, ...]) -> None:
    import torch

    if not _is_script(file):
        raise ExportError(
            "it is no TorchScript: pickled modules and bare weights do not say what is computed; "
            "name the code as module:callable, and the weights with --state-dict"
        )
    if not given:
        raise _needs_example()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and lives on in files
            model: Any = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
            model.eval()
    except Exception as error:
        raise ExportError(f"torch reads no TorchScript from it: {one_line(error)}") from error
    with torch.no_grad():
        references = run(model, given)
    publish(_to_onnx(model, given), path, given, references, {})


def _is_script(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _to_onnx(model: Any, example: tuple[torch.Tensor, ...] | None) -> ModelProto:
    """Return a program, or a script, as torch exports it."""
    import onnx
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if example is None:
                exported = torch.onnx.export(model, dynamo=True, verbose=False)
                assert exported is not None
                return exported.model_proto
            # The exporter of programs takes no scripts; the old one is made for them.
            names = [f"input_{i}" for i in range(len(example))]
            buffer = io.BytesIO()
            torch.onnx.export(
                model,
                example,
                buffer,  # type: ignore[arg-type] # a stream, as the old exporter documents
                dynamo=False,
                input_names=names,
                dynamic_axes={name: {0: "batch"} for name in names},
            )
            return onnx.load_from_string(buffer.getvalue())
    except Exception as error:  # the exporters raise many unrelated types
        reason = one_line(error.__cause__ or error)
        raise ExportError(f"torch cannot export it: {reason}") from error


def _needs_example() -> ExportError:
    return ExportError("it does not say what its input is: --example 1x3x224x224 does")
