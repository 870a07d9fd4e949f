"""Maps as a piece of HTML for a notebook. Imports `palette`, `tiles`, `sanitise`.

It is whole in itself: pictures are inside, nothing is fetched, nothing runs. Words take the page's
own colour and maps stand on white, so that it reads on a dark page, too.
"""

import base64
import io
from collections.abc import Sequence
from html import escape

from onnxattr.arrays import Float32
from onnxattr.drawing import palette, tiles
from onnxattr.sanitise import clean

#: Maps that are shown of each method, and pixels a side.
SHOWN, SIDE = 8, 112

#: Letters of a probe's name below its map.
_NAME = 24


def html(title: str, methods: Sequence[tuple[str, bool, Float32]], probes: Sequence[str]) -> str:
    """Returns HTML with the first maps of each method.

    Args:
        title: What they are.
        methods: Names, whether maps are signed, and maps, float32 [probe, …].
        probes: Names of the probes.
    """
    parts = [f"<div><p><code>{_shown(title)}</code></p>"]
    for method, signed, values in methods:
        count = min(SHOWN, len(values))
        how = "0 is white, red positive, blue negative" if signed else "0 is white, dark is large"
        says = (
            f"<b>{_shown(method)}</b>, {'signed' if signed else 'unsigned'}: {how}. Colours of each"
            f" map end at the {palette.CLIP:g}th percentile of its |value|, and what is beyond is "
            f"clipped. {count} of {len(values)} probes."
        )
        if tiles.can_draw(values.ndim - 1):
            shown = zip(probes[:count], values[:count], strict=True)
            figures = "".join(_figure(name, one, signed=signed) for name, one in shown)
        else:
            figures = f"Maps of {values.ndim - 1} axes are not drawn."
        row = '<div style="display:flex;flex-wrap:wrap;gap:8px">'
        parts.append(f"<p>{says}</p>{row}{figures}</div>")
    return "".join(parts) + "</div>"


def _figure(name: str, values: Float32, *, signed: bool) -> str:
    limit = palette.limit_of(values)
    end = f"{'±' if signed else ''}{limit:.2e}" if limit else "all 0"
    size = tiles.size_of(values.shape, SIDE, square=False)
    buffer = io.BytesIO()
    tiles.draw_map(values, limit, size, signed=signed).save(buffer, "WEBP", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    name = clean(name)
    short = name if len(name) <= _NAME else f"{name[: _NAME - 9]}…{name[-8:]}"
    return (
        f'<figure style="margin:0;width:{SIDE}px" title="{escape(name)}">'
        f'<img src="data:image/webp;base64,{data}" width="{size[0]}" height="{size[1]}" '
        f'alt="map of {escape(name)}, colours end at {end}" '
        'style="border:1px solid rgba(128,128,128,.5);background:#fff">'
        '<figcaption style="font-size:smaller;color:inherit;overflow-wrap:anywhere">'
        f"{escape(short)}<br>{end}</figcaption></figure>"
    )


def _shown(text: str) -> str:
    return escape(clean(text))
