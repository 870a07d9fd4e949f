"""The differentiable step from canonical probes to what a model's input expects."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from onnxattr.types import InputSpec

#: Luma of RGB, Rec. 601: what `L` is to Pillow, and grey to OpenCV and TensorFlow.
_LUMA = (0.299, 0.587, 0.114)

#: What is around a probe that was fitted into an input: the grey of YOLO, whose habit it is.
_AROUND = 114 / 255


class Feed(nn.Module):
    """What an `InputSpec` says, as a differentiable step: geometry, colours, range and layout.

    Args:
        spec: What the model expects.

    Attributes:
        dtype: Of the model's input.
    """

    scale: torch.Tensor
    shift: torch.Tensor
    luma: torch.Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.dtype: torch.dtype = getattr(torch, spec.dtype)
        #: Half-precision and integer models are fed values that were computed in float32.
        self.exact = torch.promote_types(self.dtype, torch.float32)
        low, high = spec.range
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (spec.mean, spec.std))
        colours = 1 if spec.channels == 1 else 3
        scale, shift = (high - low) / std, (low - mean) / std
        for name, values in (("scale", scale), ("shift", shift)):
            self.register_buffer(name, values.expand(colours).to(self.exact).reshape(-1, 1, 1))
        self.register_buffer("luma", torch.tensor(_LUMA).reshape(3, 1, 1))

    def forward(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns what the network is fed for canonical probes.

        Args:
            probes: float32 [probe, 3, y, x] in [0, 1], of the size `spec.map_shape`.

        Returns:
            In the model's layout and type; for a model of integers, whole numbers in float32.
        """
        spec = self.spec
        x = _framed(probes, spec, _AROUND)
        if spec.channels == 1:
            x = (x * self.luma).sum(dim=1, keepdim=True)
        # At black, the derivative of a root is infinite.
        x = x if spec.gamma == 1 else x.clamp_min(1e-6 if spec.gamma < 1 else 0.0) ** spec.gamma
        x = x * self.scale + self.shift
        x = x.flip(1) if spec.color == "BGR" else x
        if spec.channels == 4:
            opaque = x.new_full((len(x), 1, *x.shape[2:]), spec.range[1])
            x = torch.cat([x, opaque], dim=1)
        if self.dtype.is_floating_point:
            return self._arranged(x).to(self.dtype)
        bounds = torch.iinfo(self.dtype)
        whole = x.detach().round().clamp(bounds.min, bounds.max)
        # The gradient of rounding is taken to be that of the identity.
        return self._arranged(x + (whole - x).detach())

    @property
    def is_affine(self) -> bool:
        """Whether what is between two probes becomes what is between what they become, row by row.

        Within the rounding of the input's type, and with that alone.
        """
        batched = "N" in self.spec.layout
        return batched and self.spec.gamma == 1 and self.dtype == self.exact

    def masks(self, masks: torch.Tensor) -> torch.Tensor:
        """Returns masks, [variant, y, x], as they lie over what the model is fed.

        Their axis of channels, if the layout has one, is of size 1, but in full where it is the
        last: mixing along so short an axis takes four times as long. What is around a probe they
        keep.
        """
        found = self._arranged(_framed(masks.unsqueeze(1), self.spec, 1.0).to(self.dtype))
        if not self.spec.layout.endswith("C"):
            return found
        return found.expand(*found.shape[:-1], self.spec.channels).contiguous()

    def canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns canonical probes for images, uint8 [probe, y, x, 3], at the model's scale."""
        return resize(values, *self.spec.map_shape)

    def noise(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns a canonical probe, or a batch that the graph fixes, of seeded noise in [0, 1]."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(self.spec.batch or 1, *probes.shape[1:], generator=generator)

    def to_map(self, values: torch.Tensor) -> torch.Tensor:
        """Returns the mean over the channels of canonical values, [probe, y, x]."""
        return values.mean(dim=1)

    def array(self, probes: torch.Tensor) -> np.ndarray[Any, Any]:
        """Returns what ONNX Runtime is fed for canonical probes, in the type of the input."""
        fed = self(probes).detach()
        fed = fed if self.dtype.is_floating_point else fed.round()
        found: np.ndarray[Any, Any] = fed.to(self.dtype).cpu().numpy()
        return found

    def to_canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns values in the model's layout as float32 [probe, channel, y, x].

        Where the model sees part of a probe the rest is 0, and what lies around a probe is left
        out; so is opacity.
        """
        spec = self.spec
        present = [axis for axis in "NCHW" if axis in spec.layout]
        x = values.permute([spec.layout.index(axis) for axis in present])
        for position, axis in enumerate("NCHW"):
            x = x if axis in present else x.unsqueeze(position)
        x = x[:, :3].float()
        above, before = _offsets(spec)
        below, behind = (a - b for a, b in zip(spec.map_shape, x.shape[2:], strict=True))
        # Negative numbers cut.
        return F.pad(x, (-before, behind + before, -above, below + above))

    def _arranged(self, x: torch.Tensor) -> torch.Tensor:
        layout, axes = self.spec.layout, "NCHW"
        for axis in "NC":
            if axis not in layout:
                x, axes = x.squeeze(axes.index(axis)), axes.replace(axis, "")
        return x.permute([axes.index(axis) for axis in layout])


def _offsets(spec: InputSpec) -> tuple[int, int]:
    """Returns the place of a whole probe's first row and column in the input.

    Where the halves are not equal, the larger one is below and to the right.
    """
    height, width = spec.map_shape
    return int((spec.height - height) / 2), int((spec.width - width) / 2)


def _framed(x: torch.Tensor, spec: InputSpec, around: float) -> torch.Tensor:
    """Returns whole probes cut, or with grey around, to the size of the input."""
    above, before = _offsets(spec)
    below, behind = spec.height - x.shape[2] - above, spec.width - x.shape[3] - before
    if not any((above, below, before, behind)):
        return x
    return F.pad(x, (before, behind, above, below), value=around)


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Returns canonical probes at a model's scale: bilinear, with antialiasing.

    Args:
        images: uint8 [probe, y, x, 3].
        height: Pixels.
        width: Pixels.

    Returns:
        float32 [probe, 3, height, width] in [0, 1].
    """
    x = images.permute(0, 3, 1, 2).float() / 255.0
    if x.shape[2:] == (height, width):
        return x
    x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return x.clamp(0.0, 1.0)
