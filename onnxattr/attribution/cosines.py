"""Similarities of very many models on a device of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from onnxattr.arrays import Float32, Float64
from onnxattr.attribution.arithmetic import arithmetic
from onnxattr.errors import DeviceError
from onnxattr.space.blocks import Truths


class OnDevice:
    """The work on one block of maps, as `space.blocks.Numpy` does it, on a device.

    Maps go there as they are, in single precision, and come to unit norm in double precision.
    Products are of double precision too, unless single is asked for. TF32 has no part in that: its
    errors are as large as what tells two models apart.

    Args:
        device: As torch names it; it must know float64.
        precision: Of the products: `torch.float64`, or `torch.float32`, which errs by 2e-6.
    """

    def __init__(self, device: str, precision: torch.dtype = torch.float64) -> None:
        self._device, self._precision = torch.device(device), precision

    def sums(self, maps: Float32) -> tuple[Float64, Truths]:
        """See `space.blocks.Kernel`."""
        with self._enough():
            return _on_host(*self.sums_there(maps))

    def products(self, maps: Float32, centres: Float64 | None) -> tuple[Float64, Truths]:
        """See `space.blocks.Kernel`."""
        with self._enough():
            return _on_host(*self.products_there(maps, centres))

    def sums_there(self, maps: Float32) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what `sums` does, still on the device."""
        rows, usable = self._units(maps, None)
        return rows.sum(dim=1), usable

    def products_there(
        self, maps: Float32, centres: Float64 | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what `products` does, still on the device."""
        rows, usable = self._units(maps, centres)
        flat = rows.reshape(len(rows), -1).to(self._precision)
        with arithmetic(self._device.type):
            return (flat @ flat.T).to(torch.float64), usable

    def _units(self, maps: Float32, centres: Float64 | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns maps at unit norm, 0 where unusable, and which are usable; see `blocks.units`."""
        rows = torch.from_numpy(np.ascontiguousarray(maps)).to(self._device).to(torch.float64)
        # Divided by the largest value first: none is too faint or too strong to be squared then.
        rows = rows / rows.abs().amax(dim=2, keepdim=True)
        rows /= rows.square().sum(dim=2, keepdim=True).sqrt()
        rows = torch.where(rows.isfinite().all(dim=2, keepdim=True), rows, torch.nan)
        if centres is not None:
            rows -= torch.from_numpy(centres).to(self._device)[:, None]
            norms = rows.square().sum(dim=2, keepdim=True).sqrt()
            # What is left of a map that equals the mean is rounding, not a direction.
            rows /= torch.where(norms >= 1e-9, norms, torch.nan)
        usable = ~rows[:, :, 0].isnan()
        return torch.where(usable[:, :, None], rows, 0.0), usable

    @contextmanager
    def _enough(self) -> Iterator[None]:
        """Says so where the device runs out of memory."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"the device `{self._device}` has too little memory for a block of maps",
                hint="close what else runs on it, or use --device cpu",
            ) from None


def _on_host(numbers: torch.Tensor, usable: torch.Tensor) -> tuple[Float64, Truths]:
    return numbers.cpu().numpy(), usable.cpu().numpy()
