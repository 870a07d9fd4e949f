"""What is wrong with a set of probes, as far as the probes themselves tell."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64

#: Fewer probes than these leave most rankings undecided.
FEW = 50

#: Two probes are copies above this correlation of their thumbnails, if they are as bright; a set is
#: uniform if half of its pairs correlate above the other one: frames of one film do.
COPY, UNIFORM = 0.999, 0.7

#: Power of natural images falls with the square of the frequency, give or take a half (Field 1987).
#: Below this exponent neighbouring pixels have hardly to do with each other: noise.
NOISE = 0.5

#: Side of a thumbnail, in pixels; and probes that are looked at, evenly over the set: all pairs are
#: compared.
_SIDE, _MOST = 16, 1000

#: Spectra, which take longest, of this many of these; and values of a probe that is no image.
_SPECTRA, _VALUES = 32, 4096


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a set of probes.

    Attributes:
        kind: `few`, `copies`, `blank`, `uniform` or `noise`.
        value: Of `few`, the number of probes that are no copies; of `copies` and `blank`, how many
            there are; of `uniform`, the median correlation; of `noise`, the median exponent.
        limit: What the value was held against.
        probes: Whose fault it is, by their numbers; empty where it is that of the whole set.
    """

    kind: str
    value: float
    limit: float
    probes: tuple[int, ...] = ()


def faults(values: npt.NDArray[np.generic], *, images: bool = True) -> tuple[Fault, ...]:
    """Returns what is wrong with a set of probes, the worst first.

    Whether the models have ever seen the like of these probes, the probes cannot tell; noise, blank
    images and copies are what nobody meant to show them.

    Args:
        values: [probe, y, x, channel] of images, else [probe, …].
        images: Whether neighbouring values are neighbouring places: only then is noise a fault.

    Returns:
        In this order, those that there are: `few`, `noise`, `uniform`, `blank`, `copies`.
    """
    count = len(values)
    some = np.unique(np.linspace(0, max(count - 1, 0), min(count, _MOST)).astype(np.intp))
    seen: npt.NDArray[Any] = np.asarray(values)[some]
    small = _thumbnails(seen) if images else _some(seen)
    level = small.mean(axis=1)
    spread = small.std(axis=1)
    scale = np.abs(small).max(initial=0.0)
    blank = spread <= 1e-3 * scale
    alike = _correlations(small, blank)
    as_bright = np.abs(level - level[:, None]) <= 0.01 * scale
    same = np.triu(((alike > COPY) | (blank & blank[:, None])) & as_bright, 1)
    copies = same.any(axis=0)
    # Of a set that was looked at in part, as many of the rest are taken for copies.
    others = round(count * float(1 - copies.mean())) if len(seen) else 0
    found = []
    if others < FEW:
        found.append(Fault("few", others, FEW))
    if images and len(seen) and (exponent := _exponent(seen)) < NOISE:
        found.append(Fault("noise", exponent, NOISE))
    pairs = alike[np.triu_indices(len(seen), 1)]
    if len(pairs) and (middle := float(np.median(pairs))) > UNIFORM:
        found.append(Fault("uniform", middle, UNIFORM))
    for kind, which in (("blank", blank), ("copies", copies)):
        if which.any():
            numbers = tuple(int(some[i]) for i in np.flatnonzero(which))
            found.append(Fault(kind, len(numbers), 0, numbers))
    return tuple(found)


def _some(values: npt.NDArray[Any]) -> Float64:
    """Returns some values of each probe, evenly over it, [probe, value]."""
    rows = values.reshape(len(values), int(np.prod(values.shape[1:])))
    step = max(1, -(-rows.shape[1] // _VALUES))
    return rows[:, ::step].astype(np.float64)


def _exponent(images: npt.NDArray[Any]) -> float:
    """Returns the median exponent of some of the images, evenly over them."""
    return float(np.median(_exponents(images[:: -(-len(images) // _SPECTRA)])))


def _thumbnails(images: npt.NDArray[Any]) -> Float64:
    """Returns small images, [probe, 16 · 16 · channel], by area interpolation."""
    from onnxattr.space.canvas import overlap

    count, height, width, channels = images.shape
    rows, columns = overlap(height, _SIDE), overlap(width, _SIDE)
    result = np.empty((count, channels, _SIDE, _SIDE))
    for k, image in enumerate(images):
        result[k] = rows @ image.astype(np.float64).transpose(2, 0, 1) @ columns.T
    return result.reshape(count, channels * _SIDE**2)


def _correlations(rows: Float64, blank: npt.NDArray[np.bool_]) -> Float64:
    """Returns Pearson's r between every two rows; 0 of a blank one."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.sqrt((rows**2).sum(axis=1))
    norms[blank | (norms == 0)] = np.inf
    units = rows / norms[:, None]
    result: Float64 = units @ units.T
    return result


def _exponents(images: npt.NDArray[Any]) -> Float64:
    """Returns a of power ∝ frequency⁻ᵃ for each image, by least squares in logarithms, [probe].

    Over the mean power of rings from two cycles a side to a third of the sampling rate. A blank
    image has none, and is said to have 2, the usual.
    """
    _, height, width, _ = images.shape
    side = min(height, width)
    window = np.outer(np.hanning(side), np.hanning(side))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)) * side
    ring = np.rint(frequency).astype(int)
    rings = np.arange(2, side // 3 + 1)
    result = np.full(len(images), 2.0)
    if len(rings) < 3:
        return result
    number = np.bincount(ring.ravel())
    for k, image in enumerate(images):
        grey = image[:side, :side].astype(np.float64).mean(axis=2)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        means = (np.bincount(ring.ravel(), power.ravel()) / number)[rings]
        if means.min() > 0:
            result[k] = -np.polyfit(np.log(rings), np.log(means), 1)[0]
    return result
