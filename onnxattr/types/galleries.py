"""A few maps of some models, small: what the pictures of a report are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxattr.arrays import Float32, UInt8


@dataclass(frozen=True, eq=False)
class Gallery:
    """Maps of the first models on a few probes, on one scale.

    Each map is divided by its own root mean square first, as a cosine does not see how strong a map
    is either; then it is made small, by means. What is left can share one scale.

    Attributes:
        method: By which the maps were made, with its options.
        signed: Whether they have both signs.
        models: Names of the models, at most as many as fit a page.
        probes: Names of the probes.
        places: Where these probes are among all of them.
        maps: float32 [probe, y, x] or [probe, axis], one a model; in multiples of the root mean
            square of the whole map.
        given: The probes themselves, drawn: uint8 [probe, y, x, 3]; None of token ids.
        image: Whether a map covers a square, as that of an image does, whatever its sizes.
        every: Number of models and of probes that there are.
    """

    method: str
    signed: bool
    models: tuple[str, ...]
    probes: tuple[str, ...]
    places: tuple[int, ...]
    maps: tuple[Float32, ...]
    given: UInt8 | None
    image: bool
    every: tuple[int, int]
