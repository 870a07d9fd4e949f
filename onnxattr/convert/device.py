"""Where to compute."""

import os
import sys

from onnxattr.errors import DeviceError, UsageError

#: What Linux has where there is a driver of NVIDIA, AMD or, under Windows, of either.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")

#: What ONNX Runtime calls its way to NVIDIA's GPUs.
CUDA = "CUDAExecutionProvider"


def choose_device(asked: str = "auto") -> str:
    """Returns the torch device to compute on; torch is imported only where there may be a GPU.

    Args:
        asked: `auto` takes the first GPU there is; or `cpu`, `cuda`, `cuda:1`, `mps`, ….

    Raises:
        UsageError: That is no device's name.
        DeviceError: The device is not there; never falls back to another.
    """
    if asked == "cpu" or (asked == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UsageError(
            f"there is no device `{asked}`", hint="valid are `auto`, `cpu`, `cuda[:n]`, `mps`"
        ) from None
    if device.type == "cpu":
        return "cpu"
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"the device `{asked}` was asked for, and torch sees {count} CUDA devices",
                hint="use --device auto or --device cpu",
            )
        return f"cuda:{device.index or 0}"
    if device.type == "mps" and torch.backends.mps.is_available():
        return "mps"
    raise DeviceError(
        f"the device `{asked}` was asked for, and torch does not see it",
        hint="use --device auto or --device cpu",
    )


def runtime_device(device: str) -> str:
    """Returns where ONNX Runtime computes what was to be computed on a device of torch.

    On a GPU of CUDA if it was built for them, and else on the CPU.
    """
    if not device.startswith("cuda"):
        return "cpu"
    import onnxruntime as ort

    return device if CUDA in ort.get_available_providers() else "cpu"


def set_up(device: str, threads: int, gpu_memory: float) -> None:
    """Bounds what torch takes of the machine in this process, and makes cuBLAS repeatable.

    Args:
        device: From `choose_device`.
        threads: Of the CPU; 0 for torch's own choice.
        gpu_memory: Fraction of a CUDA device's memory, 0..1.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device.startswith("cuda"):
        # Read when cuBLAS is first used: without it, its sums differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_per_process_memory_fraction(gpu_memory, torch.device(device))


def thread_count() -> int:
    """Returns the number of threads that torch uses, for ONNX Runtime to use as many."""
    import torch

    return torch.get_num_threads()


def _may_have_gpu() -> bool:
    return not sys.platform.startswith("linux") or any(map(os.path.exists, _GPU_FILES))
