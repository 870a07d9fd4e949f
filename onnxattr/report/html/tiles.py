"""The pictures of a gallery as data URIs of WebP. Imports `drawing`, `types`, numpy and Pillow."""

import base64
import io

import numpy as np
from PIL import Image

from onnxattr.drawing import palette, tiles
from onnxattr.drawing.thumbnails import SIDE
from onnxattr.report.html.blocks import Tile
from onnxattr.sanitise import clean
from onnxattr.types import Gallery

#: Of WebP, 0..100: lower ones show their blocks in smooth maps.
_QUALITY = 70


def limit(gallery: Gallery) -> float:
    """Returns where the colours of all maps of a gallery end, in their root mean squares."""
    return palette.limit_of(np.concatenate([maps.ravel() for maps in gallery.maps]))


def of_maps(gallery: Gallery) -> list[tuple[Tile, ...]]:
    """Returns a picture of each map, one row a model; all have the same colours."""
    end = limit(gallery)
    rows = []
    for model, maps in zip(gallery.models, gallery.maps, strict=True):
        size = tiles.size_of(maps.shape[1:], SIDE, square=gallery.image)
        rows.append(
            tuple(
                _tile(
                    tiles.draw_map(one, end, size, signed=gallery.signed),
                    f"{gallery.method} map of {clean(model)} on {clean(probe)}",
                )
                for probe, one in zip(gallery.probes, maps, strict=True)
            )
        )
    return rows


def of_probes(gallery: Gallery) -> tuple[Tile, ...]:
    """Returns a picture of each probe; none of token ids."""
    if gallery.given is None:
        return ()
    return tuple(
        _tile(Image.fromarray(values), f"probe {clean(name)}")
        for name, values in zip(gallery.probes, gallery.given, strict=True)
    )


def _tile(image: Image.Image, about: str) -> Tile:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=6)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Tile(f"data:image/webp;base64,{data}", *image.size, about)
