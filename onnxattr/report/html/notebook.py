"""Results as pieces of HTML for a notebook: what was found, a table, and the same figures.

A piece is whole in itself: pictures are inside, nothing is fetched, nothing runs, and its styles
stand in its elements, so that none reaches the notebook's page. Words take the page's own colour.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup, escape

from onnxattr.report.figure import Figure, to_svg
from onnxattr.report.html.blocks import Banner, Grid, Table
from onnxattr.report.map_figures import plane_figure, tree_figure
from onnxattr.report.profile_figure import profile_figure, profiled
from onnxattr.sanitise import clean
from onnxattr.types import Attributions, Audit, Comparison, ModelMap, Ranking

#: Rows of a table that are shown.
_ROWS = 24

_CELL = Markup('<td style="text-align:{};padding:2px 10px 2px 0">{}</td>')
_HEAD = Markup('<th style="text-align:{};padding:2px 10px 2px 0">{}</th>')
_IMAGE = Markup('<img src="{}" alt="{}" width="{}" style="{}">')


def fragment(result: Any) -> str:
    """Returns a piece of HTML that shows a result.

    Args:
        result: A `Ranking`, a `Comparison`, a `ModelMap`, `Attributions` or an `Audit`.
    """
    return str(Markup("").join([Markup("<div>"), *_parts(result), Markup("</div>")]))


def _parts(result: Any) -> Iterator[Markup]:
    from onnxattr.report.html import attributions, auditing, comparison, mapping, ranking

    figures: list[Figure] = []
    if isinstance(result, Ranking):
        page = ranking.page(result, "")
        shape = ranking.as_map(result)
        figures = _figures(shape) if shape else []
    elif isinstance(result, Comparison):
        page = comparison.page(result, "")
    elif isinstance(result, ModelMap):
        page = mapping.page(result, "")
        figures = _figures(result) if result.leaves else []
    elif isinstance(result, Attributions):
        page = attributions.page(result, "")
    elif isinstance(result, Audit):
        page = auditing.page(result, "")
        drawn = profiled(result.relations)
        figures = [profile_figure(drawn)] if drawn else []
    else:
        raise TypeError(f"{type(result).__name__} has no page")
    yield Markup("<p><b>{}</b><br>{}</p>").format(clean(page.title), clean(page.about))
    yield _banner(page.banner)
    blocks = [block for section in page.sections for block in section.blocks]
    yield from (_table(block) for block in blocks[:1] if isinstance(block, Table))
    for figure in figures:
        data = base64.b64encode(to_svg(figure).encode()).decode()
        style = "max-width:100%;display:block"
        source = f"data:image/svg+xml;base64,{data}"
        yield _IMAGE.format(source, clean(figure.about), figure.width, style)
    yield from (_grid(block) for block in blocks if isinstance(block, Grid))


def _figures(result: ModelMap) -> list[Figure]:
    return [tree_figure(result), plane_figure(result)]


def _banner(banner: Banner) -> Markup:
    lines = Markup("").join(Markup("<li>{}</li>").format(clean(line)) for line in banner.lines)
    return Markup("<p>{}</p><ul>{}</ul>").format(clean(banner.verdict), lines)


def _table(table: Table) -> Markup:
    sides = ["right" if column.number else "left" for column in table.columns]
    rows = [
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                _CELL.format(side, clean(cell.text))
                for side, cell in zip(sides, row.cells, strict=True)
            )
        )
        for row in table.rows[:_ROWS]
    ]
    head = Markup("").join(
        _HEAD.format(side, column.title) for side, column in zip(sides, table.columns, strict=True)
    )
    more = len(table.rows) - len(rows)
    note = Markup("<p>and {} more rows</p>").format(more) if more > 0 else ""
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}").format(
        head, Markup("").join(rows), note
    )


def _grid(grid: Grid) -> Markup:
    style = "background:#fff;border:1px solid rgba(128,128,128,.5)"

    def images(tiles: Sequence[Any]) -> Markup:
        return Markup("").join(
            _CELL.format("left", _IMAGE.format(tile.data, tile.about, 80, style)) for tile in tiles
        )

    rows = [("probe", grid.given), *((name, tiles) for name, _, tiles in grid.rows)]
    body = Markup("").join(
        Markup("<tr>{}{}</tr>").format(_CELL.format("left", clean(name)), images(tiles))
        for name, tiles in rows
        if tiles
    )
    return Markup("<table><tbody>{}</tbody></table><p>{}</p>").format(body, escape(grid.caption))
