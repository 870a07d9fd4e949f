"""What a probe is compared with: nothing at all, in one of several senses of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution import baseline_files
from onnxattr.attribution.setting import Setting
from onnxattr.convert.feed import resize
from onnxattr.errors import SupportError, UsageError
from onnxattr.registry import closest
from onnxattr.types import IMAGE, TOKENS

if TYPE_CHECKING:
    #: From canonical probes, or the embedding of token ids, to their baselines, of the same shape.
    Baseline = Callable[[torch.Tensor], torch.Tensor]

#: Standard deviation of `blur`, as a part of the shorter side: 11 pixels of 224.
_BLUR = 0.05


def baselines(setting: Setting, text: str) -> list[Baseline]:
    """Returns the baselines that a text means, which are separated by `+`.

    Of images (canonical values, in [0, 1]): `black`, `white`, `grey` (0.5), `mean` (the probe's own
    mean colour), `blur` (the probe, by a Gaussian of a standard deviation of 5 % of the shorter
    side, with its border repeated), `noise` (uniform, the same for all probes). Of arrays: `black`
    (zeros), `mean` (the probe's own), `noise` (uniform between the probe's least and its largest
    number, from the same draws for all). Of token ids: `black`, the embedding of zeros. Or the file
    of an image, or of an array.

    Args:
        setting: Of the method.
        text: Names, or what `baseline_files.resolve` made of files.

    Raises:
        UsageError: There is no such baseline.
        SupportError: It is none of such probes, or an array of another shape.
    """
    return [_baseline(setting, name) for name in text.split("+")]


def _baseline(setting: Setting, name: str) -> Baseline:
    kind = setting.network.spec.kind
    if name.startswith(baseline_files.PREFIXES):
        return _stored(setting, name)
    if name not in baseline_files.NAMES:
        raise UsageError(f"there is no baseline `{name}`", hint=closest(name, baseline_files.NAMES))
    known = _OF_KIND.get(kind, _OF_ARRAYS)
    if name not in known:
        raise SupportError(
            f"`{name}` is no baseline of {_PLURALS[kind]}",
            hint=f"baselines of {_PLURALS[kind]} are {', '.join(f'`{n}`' for n in known)}",
            model=setting.network.model.name,
        )
    return functools.partial(known[name], setting)


def _stored(setting: Setting, text: str) -> Baseline:
    """Returns the baseline that is what a file holds."""
    spec, values = setting.network.spec, baseline_files.stored(text)
    of_image = text.startswith(baseline_files.PREFIXES[0])
    if (spec.kind == IMAGE) != of_image or spec.kind == TOKENS:
        raise SupportError(
            f"its probes are {_PLURALS[spec.kind]}, and the baseline is an "
            f"{'image' if of_image else 'array'}",
            model=setting.network.model.name,
        )
    if of_image:
        value = resize(torch.from_numpy(values)[None], *spec.map_shape)
    else:
        if values.shape[-len(spec.axes) :] != spec.axes or values.size != math.prod(spec.axes):
            raise SupportError(
                f"the baseline has the shape {list(values.shape)}, and its probes are of "
                f"{list(spec.axes)}",
                model=setting.network.model.name,
            )
        value = torch.from_numpy(values).reshape(1, *spec.axes)
    value = value.to(setting.network.device)
    return lambda x: value.to(x.dtype).expand_as(x)


def _black(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def _white(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x)


def _grey(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return torch.full_like(x, 0.5)


def _mean_colour(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3), keepdim=True).expand_as(x)


def _mean(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return x.mean(tuple(range(1, x.dim())), keepdim=True).expand_as(x)


def _uniform(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    return torch.rand(x.shape[1:], generator=setting.generator()).to(x).expand_as(x)


def _uniform_between(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    axes = tuple(range(1, x.dim()))
    low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    return low + (high - low) * _uniform(setting, x)


def _blurred(setting: Setting, x: torch.Tensor) -> torch.Tensor:
    deviation = _BLUR * min(x.shape[2:])
    reach = math.ceil(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-((places / deviation) ** 2) / 2)
    weights = weights / weights.sum()
    channels = x.shape[1]
    column = weights.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1)
    x = F.conv2d(_edged(x, (0, 0, reach, reach)), column, groups=channels)
    return F.conv2d(_edged(x, (reach, reach, 0, 0)), column.transpose(2, 3), groups=channels)


def _edged(x: torch.Tensor, pads: Sequence[int]) -> torch.Tensor:
    return F.pad(x, list(pads), mode="replicate")


_OF_IMAGES = {
    "black": _black,
    "white": _white,
    "grey": _grey,
    "mean": _mean_colour,
    "blur": _blurred,
    "noise": _uniform,
}
_OF_ARRAYS = {"black": _black, "mean": _mean, "noise": _uniform_between}
_OF_KIND = {IMAGE: _OF_IMAGES, TOKENS: {"black": _black}}
_PLURALS = {IMAGE: "images", "array": "arrays", TOKENS: "token ids"}
