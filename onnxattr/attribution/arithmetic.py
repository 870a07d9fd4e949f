"""How a network computes: precision, determinism, and the flags of torch that decide both."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from onnxattr.errors import DeviceError

#: What an operator of CUDA says that gives other bits every time, as far as its name.
_SAYS = "does not have a deterministic implementation"


def require(precision: str, device: str) -> None:
    """Makes sure that a device has a precision.

    Raises:
        DeviceError: It does not.
    """
    kind = device.partition(":")[0]
    if precision == "tf32" and kind not in ("cuda", "meta"):
        raise DeviceError(
            f"`tf32` is arithmetic of NVIDIA's GPUs, and the device is `{device}`",
            hint="use --precision float32, or bf16 where it may be coarse",
        )
    if precision == "float64" and kind == "mps":
        raise DeviceError(
            "the device `mps` has no float64", hint="use --device cpu, or --precision float32"
        )


@contextmanager
def arithmetic(device: str = "cpu", precision: str = "float32") -> Iterator[set[str]]:
    """Asks torch for repeatable arithmetic of a precision, and restores all its settings after.

    On a GPU that is deterministic algorithms, where there are any, and TF32 for `tf32` only: torch
    allows it to convolutions by default. `bf16` and `float64` are no matter of flags.

    Args:
        device: As torch names it.
        precision: Of `pipeline.options.PRECISIONS`.

    Yields:
        Operators that were found to have no deterministic algorithm; filled at the end.
    """
    found: set[str] = set()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    wanted = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    # A property of the module, which types know nothing of.
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    with ExitStack() as stack:
        cudnn.benchmark, cudnn.deterministic = False, True
        cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
        try:
            if device.startswith("cuda"):
                torch.use_deterministic_algorithms(True, warn_only=True)
                # What is filled is read by nobody: every kernel here writes before it reads.
                memory.fill_uninitialized_memory = False
                said = stack.enter_context(warnings.catch_warnings(record=True))
                warnings.simplefilter("always")
                stack.callback(lambda: found.update(_operators(said)))
            yield found
        finally:
            cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before
            torch.use_deterministic_algorithms(wanted, warn_only=warn)
            memory.fill_uninitialized_memory = fill


def _operators(said: list[warnings.WarningMessage]) -> Iterator[str]:
    for warning in said:
        name, found, _ = str(warning.message).partition(_SAYS)
        if found:
            yield name.split()[-1].strip("'`")


@contextmanager
def autocast(device: str, precision: str) -> Iterator[None]:
    """In the body, layers compute in bfloat16 if that is the precision; for forward passes."""
    if precision != "bf16":
        yield
        return
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, cache_enabled=False):
        yield


def settings_of(device: str, precision: str) -> dict[str, Any]:
    """Returns what decides the last bits of numbers, beside versions: for records."""
    on_gpu = device.startswith("cuda")
    return {
        "precision": precision,
        "deterministic": True,
        "tf32": precision == "tf32",
        "cudnn_deterministic": True,
        "cudnn_benchmark": False,
        "threads": torch.get_num_threads(),
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", "") if on_gpu else "",
    }
