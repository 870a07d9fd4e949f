"""The sections of pages that compare many models: heat maps, pairs, tree, plane, stability."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from onnxattr.report.figure import inline_svg
from onnxattr.report.html.blocks import (
    Block,
    Cell,
    Column,
    Columns,
    Drawing,
    Heat,
    HeatCell,
    Pair,
    Row,
    Section,
    Table,
    Words,
)
from onnxattr.report.html.colors import heat_class, scale
from onnxattr.report.html.sections import count
from onnxattr.report.html.spans import span
from onnxattr.report.map_figures import branch_figure, plane_figure
from onnxattr.report.mapped import about_points
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Gallery, ModelMap, Pairs, Similarity, Stability

#: More models than these are no table of numbers: it would be larger than all the rest of the page.
TABLED = 60

#: More models than these have no tree on a page.
DRAWN = 200


def heat_section(
    names: Sequence[str],
    measures: Sequence[Pairs],
    leaves: Sequence[int],
    first: tuple[int, int] | None,
) -> Section:
    """Returns a heat map a measure, in the order of the tree, and room for a pair.

    Args:
        names: Of the models.
        measures: Those of which most pairs have a number are shown.
        leaves: The models in the order in which they are shown.
        first: The pair that is shown first; None where no pair can be.
    """
    blocks: list[Block] = []
    if len(names) > TABLED:
        says = f"{count(len(names), 'model')} are too many for a table of numbers"
        blocks.append(Words(f"{says}: they are in this file as JSON."))
    else:
        heats: list[Block] = [
            _heat(names, one, leaves, number) for number, one in enumerate(measures) if _full(one)
        ]
        pair: list[Block] = [Pair(tuple(names), first)] if first is not None else []
        blocks.append(Columns((*heats[:1], *pair, *heats[1:])))
    lead = (
        "How alike every two models are, in the order of the tree, so that groups are blocks. "
        "Choose a cell to see the two side by side."
    )
    return Section("similarity", "Similarity", lead, tuple(blocks))


def _full(measure: Pairs) -> bool:
    """Returns whether a measure has numbers for most pairs: not where one target was asked for."""
    numbers = [value for row in measure.matrix.tolist() for value in row]
    known = sum(math.isfinite(value) for value in numbers)
    return known > len(numbers) / 2


def _heat(names: Sequence[str], measure: Pairs, leaves: Sequence[int], number: int) -> Heat:
    matrix = measure.matrix.tolist()
    apart = [
        abs(value)
        for i, row in enumerate(matrix)
        for j, value in enumerate(row)
        if i != j and math.isfinite(value)
    ]
    limit = max(math.ceil(max(apart, default=1.0) * 10) / 10, 0.2)
    what = "Mean cosine over the probes" if measure.measure == "attribution" else measure.measure
    sides = ("source", "target") if measure.directed else ("model", "model")
    clipped = f"; what is beyond {limit:g}, as a model with itself, is clipped" * (limit < 1)
    return Heat(
        name=f"heat-{number}",
        caption=f"{what}. 0 is white, red positive, blue negative; colours end at ±{limit:g}, the "
        f"largest of two different models, rounded up{clipped}.",
        rows=sides,
        names=tuple(names[i] for i in leaves),
        places=tuple(leaves),
        cells=tuple(
            tuple(HeatCell(_two(matrix[i][j]), heat_class(matrix[i][j], limit)) for j in leaves)
            for i in leaves
        ),
        scale=scale(f"−{limit:g}", f"{limit:g}", signed=True),
        measure=measure.measure,
    )


def _two(value: float) -> str:
    """Returns a number in as few letters as a cell has room for: `.83`, `−.12`, `1`."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:z.2f}".replace("-", "−")
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text.removesuffix(".00")


def shape_section(result: ModelMap) -> Section:
    """Returns the tree, and the models in the plane with the share of the variance that it keeps.

    Args:
        result: With a tree.
    """
    plane = plane_figure(result, titled=False)
    shares = ", ".join(f"{share:.0%}" for share in result.kept)
    tree = Drawing(
        Markup(inline_svg(branch_figure(result), "tree-figure")),
        f"Tree by {result.linkage} linkage of the rows of cosines: models whose cosines to all "
        "models are alike are joined early, on the right.",
    )
    points = Drawing(
        Markup(inline_svg(plane, "plane-figure")),
        f"Classical multidimensional scaling of the same rows: {about_points(result)} ({shares}). "
        "What is near here may be far in the rest.",
    )
    lead = "Which groups the models form, and where they stand."
    return Section("space", "Tree and plane", lead, (Columns((tree, points)),))


def stability_section(stability: Sequence[Stability], seed: object) -> Section:
    """Returns how far the order depends on the number of probes, and on the measure."""
    by_probes = [one for one in stability if one.what.endswith(" probes")]
    by_measure = [one for one in stability if one not in by_probes]
    blocks: list[Block] = []
    if by_probes:
        blocks.append(
            _stability_table(
                "by-probes",
                "Two orders of the same sources, each by other probes",
                "probes each",
                [(one.what.removesuffix(" probes"), one) for one in by_probes],
                f"Means over targets and 50 draws of two sets of probes without one in common "
                f"(seed {seed}), maps centred by the mean of all probes. The whole set is "
                "more stable than its halves.",
            )
        )
    if by_measure:
        blocks.append(
            _stability_table(
                "by-measure",
                "Two orders of the same sources, by two measures",
                "measures",
                [(f"{one.measure}, {one.what}", one) for one in by_measure],
                "Means over targets.",
            )
        )
    lead = "Would other probes, or another measure, order the models the same way?"
    if not blocks:
        lead = "Too few models or probes to say how far the order depends on them."
    return Section("stability", "Sensitivity", lead, tuple(blocks))


def _stability_table(
    name: str, caption: str, first: str, rows: Sequence[tuple[str, Stability]], note: str
) -> Table:
    return Table(
        name=name,
        caption=caption,
        columns=(
            Column(first),
            Column("Spearman’s ρ", number=True, about="of the two orders; 1 is the same order"),
            Column("same closest source", number=True),
        ),
        rows=tuple(
            Row(
                (
                    Cell(what),
                    Cell(
                        f"{one.spearman:z.2f}",
                        figure=span(one.spearman, math.nan, math.nan, (0.0, 1.0)),
                    ),
                    Cell(
                        f"{one.same_first:.0%}",
                        order=round(one.same_first, 4),
                        figure=span(one.same_first, math.nan, math.nan, (0.0, 1.0)),
                    ),
                )
            )
            for what, one in rows
        ),
        note=note,
        titled=True,
    )


def pair_data(
    names: Sequence[str],
    measures: Sequence[Pairs],
    similarity: Similarity,
    gallery: Gallery | None,
) -> dict[str, object]:
    """Returns what the script looks up where it shows two models: numbers in JSON's types."""
    number = {name: place for place, name in enumerate(names)}
    data: dict[str, object] = {
        "names": [clean(name, MAX_TEXT) for name in names],
        "measures": [
            {
                "name": one.measure,
                "directed": one.directed,
                "matrix": [[_short(v) for v in row] for row in one.matrix.tolist()],
            }
            for one in measures
        ],
        "gallery": [number[name] for name in gallery.models] if gallery else [],
        "probes": [clean(name, MAX_TEXT) for name in gallery.probes] if gallery else [],
        "cosines": [],
    }
    if gallery and similarity.per_probe.shape[2]:
        shown = similarity.per_probe[:, :, list(gallery.places)].tolist()
        # Below the diagonal alone: they are the same both ways.
        data["cosines"] = [
            [[_short(v) for v in shown[i][j]] for j in range(i + 1)] for i in range(len(names))
        ]
    return data


def _short(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def nearest_lines(pairs: Mapping[str, float]) -> list[str]:
    """Returns what a card says of the nearest models: names and numbers, nearest first."""
    return [f"{name} {value:z.3f}" for name, value in pairs.items()]
