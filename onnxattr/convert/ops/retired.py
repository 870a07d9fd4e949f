"""Experimental operators of the first opsets, which ONNX took back, and old files still hold."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import integers
from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator(".Affine")
def _affine(x: torch.Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> torch.Tensor:
    return alpha * x + beta


@operator(".ParametricSoftplus")
def _parametric_softplus(x: torch.Tensor, *, alpha: float, beta: float) -> torch.Tensor:
    return alpha * F.softplus(beta * x, threshold=40)


@operator(".ScaledTanh")
def _scaled_tanh(x: torch.Tensor, *, alpha: float, beta: float) -> torch.Tensor:
    return alpha * torch.tanh(beta * x)


@operator(".ThresholdedRelu")
def _thresholded_relu(x: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return F.threshold(x, alpha, 0)


@operator(".Scale")
def _scale(x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
    return scale * x


@operator(".ImageScaler")
def _image_scaler(
    x: torch.Tensor, *, bias: list[float] | None = None, scale: float = 1.0
) -> torch.Tensor:
    """Returns an image scaled, plus one number for each channel."""
    scaled = scale * x
    return scaled if bias is None else scaled + x.new_tensor(bias).reshape(-1, 1, 1)


@operator(".Crop")
def _crop(
    x: torch.Tensor, *, border: list[int] | None = None, scale: list[int] | None = None
) -> torch.Tensor:
    """Returns an image without its borders, or what of it starts there and has a size."""
    left, top, right, bottom = border or [0] * 4
    height, width = x.shape[2:]
    below, beyond = height - bottom, width - right
    if scale:
        below, beyond = top + scale[0], left + scale[1]
    if below > height or beyond > width:
        raise SupportError("a crop that is larger than the image")
    return x[:, :, top:below, left:beyond]


@operator(".GivenTensorFill")
def _given_tensor_fill(
    like: torch.Tensor | None = None,
    *,
    values: list[float],
    shape: list[int] | None = None,
    input_as_shape: int = 0,
    extra_shape: list[int] | None = None,
) -> torch.Tensor:
    if like is None:
        return torch.tensor(values, dtype=torch.float32).reshape(
            *(shape or []), *(extra_shape or [])
        )
    first = integers(like) if input_as_shape else like.shape
    return torch.tensor(values, dtype=torch.float32, device=like.device).reshape(
        *(first or []), *(extra_shape or [])
    )
