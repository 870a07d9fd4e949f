"""The differentiable step from canonical probes to what a model's input expects."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from onnxattr.types import InputSpec


class Feed(nn.Module):
    """Range, mean, std and layout of an `InputSpec`, as an affine map and a permutation.

    Args:
        spec: What the model expects.
        dtype: The floating-point type of the model's input.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, spec: InputSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.spec, self.dtype = spec, dtype
        low, high = spec.range
        mean, std = (torch.tensor(v, dtype=torch.float64).expand(3) for v in (spec.mean, spec.std))
        # Half-precision models are fed values that were computed in float32.
        exact = torch.promote_types(dtype, torch.float32)
        self.register_buffer("scale", ((high - low) / std).to(exact).reshape(3, 1, 1))
        self.register_buffer("shift", ((low - mean) / std).to(exact).reshape(3, 1, 1))

    def forward(self, probes: torch.Tensor) -> torch.Tensor:
        """Returns the model's input for canonical `probes`, float32 [probe, 3, y, x] in [0, 1]."""
        x = probes * self.scale + self.shift
        x = x.permute(0, 2, 3, 1) if self.spec.layout == "NHWC" else x
        return x.to(self.dtype)

    def to_canonical(self, values: torch.Tensor) -> torch.Tensor:
        """Returns `values` in the model's layout as float32 [probe, 3, y, x]."""
        values = values.permute(0, 3, 1, 2) if self.spec.layout == "NHWC" else values
        return values.float()


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Returns canonical probes at a model's input size: bilinear, with antialiasing.

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
