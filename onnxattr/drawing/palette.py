"""Colours for maps, and the numbers that stand at their ends. Imports `arrays`, and numpy.

Signed values go from blue over white to red, symmetrically around zero; unsigned ones from white
over orange and purple to nearly black. So zero is white in both, whatever the map. Both are
computed: CIE lightness falls evenly with the size of a value, hue and chroma are those of OKLab
(Ottosson, *A perceptual color space for image processing*, 2020). Printed grey, dark is large; blue
and red are told apart by all usual kinds of colour-blindness.
"""

from functools import cache

import numpy as np

from onnxattr.arrays import Float32, Float64, UInt8

#: Percentile of |value| at which colours end, where nobody says.
CLIP = 99.5

#: How far one pair of ends holds: for each map, for all maps of a model, or for all models.
SCALES = ("map", "model", "all")

#: Steps on each side of zero.
STEPS = 255

#: Of values that are not finite: no palette has a grey.
NOT_FINITE = (128, 128, 128)

#: Of a ramp from white: CIE lightness of the strongest colour, the highest chroma in OKLab, and hue
#: in degrees of small and large values. Within what sRGB has, which a test tells.
_BLUE, _RED, _HEAT = (22, 0.185, 250, 264), (22, 0.185, 42, 22), (10, 0.185, 75, -65)

#: OKLab → the cube roots of cone responses → linear sRGB, from the paper.
_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)

#: Of linear sRGB, how much each primary adds to the luminance.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def limit_of(values: Float32, clip: float = CLIP) -> float:
    """Returns the value at which colours end: a percentile of |value|, 0 of maps that are zero.

    Where more values than are let through are zero, it is the largest |value|. What is not finite
    does not count.

    Args:
        values: Maps of any shape.
        clip: The percentile, above 0 and up to 100.
    """
    finite = np.abs(values[np.isfinite(values)]).astype(np.float64)
    if not finite.size:
        return 0.0
    return float(np.percentile(finite, clip)) or float(finite.max())


def colour(values: Float32, limit: float, *, signed: bool) -> UInt8:
    """Returns RGB colours, uint8 [*values.shape, 3].

    Args:
        values: Maps, or parts of them, of any shape. What is beyond `limit` gets the last colour;
            what is below zero in unsigned maps, where it means nothing, gets that of zero.
        limit: From `limit_of`.
        signed: Which palette.
    """
    table = palette(signed)
    finite = np.isfinite(values)
    shares = np.where(finite, values, 0).astype(np.float64) / (limit or 1.0)
    shares = np.clip(shares, -1.0 if signed else 0.0, 1.0)
    # Halves round away from zero, so that the two signs are treated alike.
    steps = np.copysign(np.floor(np.abs(shares) * STEPS + 0.5), shares).astype(np.intp)
    colours: UInt8 = table[steps + (STEPS if signed else 0)]
    colours[~finite] = NOT_FINITE
    return colours


@cache
def palette(signed: bool) -> UInt8:
    """Returns the colours from the lowest to the highest value, uint8 [step, 3]; zero is white.

    Signed ones have 2 · `STEPS` + 1, of which the one in the middle is zero's; unsigned ones
    `STEPS` + 1, of which the first is.
    """
    if not signed:
        return _ramp(*_HEAT)
    table: UInt8 = np.concatenate([_ramp(*_BLUE)[:0:-1], _ramp(*_RED)])
    return table


def _ramp(darkest: float, chroma: float, near: float, far: float) -> UInt8:
    """Returns colours from white on, of evenly falling CIE lightness: even also in grey."""
    share = np.linspace(0.0, 1.0, STEPS + 1)
    lightness = 100 + (darkest - 100) * share
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    hue = np.radians(near + (far - near) * share)
    # Highest at seven tenths of the way: sRGB has no full colours near white and near black.
    full = chroma * np.sin(0.75 * np.pi * share**1.2)
    low, high = np.zeros_like(share), np.ones_like(share)
    for _ in range(40):  # Bisection: OKLab's lightness is not quite CIE's.
        middle = (low + high) / 2
        darker = _linear(middle, full, hue) @ _LUMINANCE < luminance
        low, high = np.where(darker, middle, low), np.where(darker, high, middle)
    rgb = np.clip(_linear(high, full, hue), 0, 1)
    encoded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    table: UInt8 = np.rint(encoded * 255).astype(np.uint8)
    return table


def _linear(light: Float64, chroma: Float64, hue: Float64) -> Float64:
    """Returns linear sRGB, [step, 3], of colours in OKLCh."""
    lab = np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    rgb: Float64 = (lab @ _CONES.T) ** 3 @ _LINEAR.T
    return rgb
