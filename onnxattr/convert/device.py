"""Where to compute."""

import torch

from onnxattr.errors import DeviceError, UsageError


def choose_device(asked: str = "auto") -> str:
    """Returns the torch device to compute on.

    Args:
        asked: `auto` takes the first GPU there is; or `cpu`, `cuda`, `cuda:1`, `mps`, ….

    Raises:
        UsageError: That is no device's name.
        DeviceError: The device is not there; never falls back to another.
    """
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
