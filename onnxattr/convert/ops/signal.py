"""Fourier transforms, the windows they are taken in, and the weights of the mel scale."""

import math

import torch
from onnx import TensorProto

from onnxattr.convert.ops.numbers import Stored, number
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.tensors import dtype_of


@operator("DFT", 17, stored=(1,))
def _dft_along_attribute(
    x: torch.Tensor,
    length: Stored = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> torch.Tensor:
    return _transform(x, length, axis, bool(inverse), bool(onesided))


@operator("DFT", 20, stored=(1, 2))
def _dft(
    x: torch.Tensor,
    length: Stored = None,
    axis: Stored = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> torch.Tensor:
    along = number(axis)
    return _transform(x, length, -2 if along is None else int(along), bool(inverse), bool(onesided))


def _transform(
    x: torch.Tensor, length: Stored, axis: int, inverse: bool, onesided: bool
) -> torch.Tensor:
    """Returns the transform of numbers whose last axis holds the real and any imaginary part."""
    along = range(x.ndim)[axis]
    # torch transforms half precision on some GPUs alone, and there by powers of two.
    wide = x.float() if x.itemsize == 2 else x
    signal = wide[..., 0] if x.shape[-1] == 1 else torch.complex(wide[..., 0], wide[..., 1])
    if length is None:
        size = 2 * (x.shape[along] - 1) if inverse and onesided else x.shape[along]
    else:
        size = int(number(length) or 0)
    if inverse and onesided:
        real: torch.Tensor = torch.fft.irfft(signal, size, along)
        return real.unsqueeze(-1).to(x.dtype)
    if inverse:
        y = torch.fft.ifft(signal, size, along)
    elif onesided and not signal.is_complex():
        y = torch.fft.rfft(signal, size, along)
    else:
        y = torch.fft.fft(signal, size, along)
        y = y.narrow(along, 0, size // 2 + 1) if onesided else y
    # What torch computes as a conjugate it has not yet written down.
    return torch.view_as_real(y.resolve_conj()).to(x.dtype)


@operator("STFT", 17, stored=(1, 3))
def _stft(
    x: torch.Tensor,
    step: Stored,
    window: torch.Tensor | None = None,
    length: Stored = None,
    *,
    onesided: int = 1,
) -> torch.Tensor:
    if length is not None:
        size = int(number(length) or 0)
    else:
        size = x.shape[1] if window is None else window.shape[0]
    frames = x.unfold(1, size, int(number(step) or 0))
    frames = frames if window is None else frames * window
    return _transform(frames.transpose(2, 3), None, 2, False, bool(onesided))


@operator("HannWindow", 17, stored=(0,), gradient=False)
def _hann_window(
    size: Stored, *, output_datatype: int = TensorProto.FLOAT, periodic: int = 1
) -> torch.Tensor:
    return _window(size, periodic, output_datatype, (0.5, -0.5))


@operator("HammingWindow", 17, stored=(0,), gradient=False)
def _hamming_window(
    size: Stored, *, output_datatype: int = TensorProto.FLOAT, periodic: int = 1
) -> torch.Tensor:
    return _window(size, periodic, output_datatype, (25 / 46, -21 / 46))


@operator("BlackmanWindow", 17, stored=(0,), gradient=False)
def _blackman_window(
    size: Stored, *, output_datatype: int = TensorProto.FLOAT, periodic: int = 1
) -> torch.Tensor:
    return _window(size, periodic, output_datatype, (0.42, -0.5, 0.08))


def _window(size: Stored, periodic: int, kind: int, factors: tuple[float, ...]) -> torch.Tensor:
    """Returns a sum of cosines, whose period is as long as the window or one number shorter."""
    device = size.device if isinstance(size, torch.Tensor) else torch.device("cpu")
    count = int(number(size) or 0)
    steps = torch.arange(count, dtype=torch.float64, device=device)
    turns = steps / (count if periodic else count - 1)
    # The smallest first: so the peak of Blackman's is one, of which integers leave something.
    total = torch.zeros_like(turns)
    for i, factor in reversed(list(enumerate(factors))):
        total = total + factor * torch.cos(2 * math.pi * i * turns)
    return total.to(dtype_of(kind))


@operator("MelWeightMatrix", 17, stored=(0, 1, 2, 3, 4), gradient=False)
def _mel_weight_matrix(
    bands: Stored,
    length: Stored,
    rate: Stored,
    lowest: Stored,
    highest: Stored,
    *,
    output_datatype: int = TensorProto.FLOAT,
) -> torch.Tensor:
    """Returns one triangle a band over the bins of a spectrum: it rises to its centre, and falls.

    The corners are whole bins, evenly spaced on the mel scale.
    """
    count, size = int(number(bands) or 0), int(number(length) or 0)
    low, high = (2595 * math.log10(1 + float(number(f) or 0) / 700) for f in (lowest, highest))
    mels = low + (high - low) / (count + 2) * torch.arange(count + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    corners = ((size + 1) * hertz / float(number(rate) or 0)).floor()
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    bins = torch.arange(size // 2 + 1, dtype=torch.float64).unsqueeze(1)
    rising = torch.where(centre > left, (bins - left) / (centre - left), 1)
    falling = torch.where(right > centre, (right - bins) / (right - centre), 1)
    # The centre is the last bin of the rising side, unless there is a falling one, of equal value.
    weights = torch.where((bins >= left) & (bins <= centre), rising, 0)
    weights = torch.where((bins > centre) & (bins < right), falling, weights)
    return weights.to(dtype_of(output_datatype))
