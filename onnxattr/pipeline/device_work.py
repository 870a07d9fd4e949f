"""Which device compares models: a GPU where there is one and it pays."""

from __future__ import annotations

from collections.abc import Sequence

from onnxattr.space.blocks import Kernel

#: Multiplications below which a GPU is not asked: this process, which needs no torch otherwise,
#: takes seconds to load it, in which a core makes as many.
WORTH = 10**11


def kernel_for(devices: Sequence[str], models: int, probes: int, pixels: int) -> Kernel | None:
    """Returns who multiplies the maps of models, or None where NumPy does.

    Args:
        devices: Those that maps were made on.
        models: How many there are.
        probes: How many there are.
        pixels: Of a map.
    """
    # Others, such as Apple's, have no double precision.
    found = next((device for device in devices if device.startswith("cuda")), None)
    if found is None or models**2 * probes * pixels < WORTH:
        return None
    from onnxattr.attribution.cosines import OnDevice

    return OnDevice(found)
