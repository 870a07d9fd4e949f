"""The page of a map of models."""

from onnxattr.report.html import sections, spaces
from onnxattr.report.html.blocks import (
    Badge,
    Banner,
    Block,
    Cell,
    Column,
    Figure,
    Literal,
    Page,
    Row,
    Section,
    Table,
)
from onnxattr.report.json import to_json
from onnxattr.report.mapped import about_points
from onnxattr.types import ModelMap, Pairs

#: Neighbours of each model in the table.
_NEAREST = 3


def page(result: ModelMap, command: str) -> Page:
    """Returns the page: verdict and nearest models first, then what they rest on."""
    names = [model.name for model in result.models]
    links = sections.link_of(result.models)
    groups = {}
    if result.clusters:
        groups = {
            name: (Badge(f"group {number}"),)
            for name, number in zip(names, result.clusters, strict=True)
        }
    parts = [
        _nearest(result, links),
        sections.coverage(result),
        sections.assumptions(result.models),
    ]
    drawn = bool(result.leaves)
    cosines = Pairs("attribution", result.similarity.names, result.similarity.matrix,
                    result.similarity.per_probe, directed=False)  # fmt: skip
    if drawn:
        first = names.index(result.nearest[0][0].name) if result.nearest[0] else 0
        parts.append(spaces.heat_section(names, [cosines], result.leaves, (0, first)))
    if drawn and len(names) <= spaces.DRAWN:
        parts.append(spaces.shape_section(result))
    if result.gallery:
        parts.append(sections.gallery_section([result.gallery], links))
    near = {
        name: spaces.nearest_lines({one.name: one.similarity for one in found[:3]})
        for name, found in zip(names, result.nearest, strict=True)
    }
    parts.append(sections.cards(result.models, near, groups))
    tree: list[Block] = []
    if result.newick and len(names) <= spaces.DRAWN:
        tree.append(Literal("The tree in Newick’s format", result.newick, folded=True))
    parts.append(
        sections.method(
            result.settings,
            result.versions,
            result.seconds,
            command=command,
            says=_says(result),
            more=tree,
        )
    )
    tabled = drawn and len(names) <= spaces.TABLED
    return Page(
        kind="map",
        title=f"A map of {sections.count(len(names), 'model')}",
        about=_about(result),
        banner=_banner(result),
        sections=tuple(parts),
        result=to_json(result),
        data=spaces.pair_data(names, [cosines], result.similarity, result.gallery)
        if tabled
        else {},
    )


def _about(result: ModelMap) -> str:
    settings = result.settings
    return (
        f"{sections.made_by(settings)}, on "
        f"{sections.count(settings['probes']['count'], 'probe')}; {result.linkage} linkage"
    )


def _banner(result: ModelMap) -> Banner:
    pairs = [
        (found[0].similarity, model.name, found[0].name)
        for model, found in zip(result.models, result.nearest, strict=True)
        if found
    ]
    verdict = "No two of the models can be compared."
    if pairs:
        value, one, other = max(pairs)
        verdict = (
            f"{sections.short(one)} and {sections.short(other)} are the most alike: {value:z.3f}."
        )
    lines = []
    if result.clusters:
        made = max(result.clusters)
        lines.append(f"The tree is cut into {sections.count(made, 'group')}.")
    if result.leaves:
        says = about_points(result)
        lines.append(f"In the plane {says}.")
    if result.unfinished:
        left = sections.count(len(result.unfinished), "model")
        lines.append(f"The map is partial: {left} not reached before the interruption.")
    lost = sum(1 for failure in result.failures if failure.name)
    figures = (
        sections.number_of(len(result.models), "model", "#models"),
        Figure(str(lost), "left out", "#coverage"),
        sections.number_of(result.settings["probes"]["count"], "probe"),
        sections.number_of(len(result.warnings), "warning", "#coverage"),
    )
    return Banner("doubt" if result.unfinished else "plain", verdict, tuple(lines), figures)


def _nearest(result: ModelMap, links: dict[str, str]) -> Section:
    groups = bool(result.clusters)
    order = result.leaves or range(len(result.models))
    rows = []
    for place in order:
        model, found = result.models[place], result.nearest[place]
        cells = [Cell(model.name, link=links[model.name]), Cell(model.origin.framework)]
        if groups:
            cells.append(Cell(str(result.clusters[place])))
        for one in found[:_NEAREST]:
            cells += [Cell(one.name, link=links.get(one.name, "")), Cell(f"{one.similarity:z.3f}")]
        cells += [Cell("")] * 2 * (_NEAREST - len(found[:_NEAREST]))
        rows.append(Row(tuple(cells)))
    near = [
        column
        for title in ("nearest", "second", "third")
        for column in (Column(title), Column("cosine", number=True))
    ]
    table = Table(
        name="nearest",
        caption="The nearest models of each",
        columns=(
            Column("model"),
            Column("origin"),
            *([Column("group", number=True, lowest=True)] if groups else []),
            *near,
        ),
        rows=tuple(rows),
        filtered=len(rows) > 8,
    )
    lead = "In the order of the tree." if result.leaves else "The nearest models of each."
    return Section("nearest-models", "Nearest models", lead, (table,))


def _says(result: ModelMap) -> list[str]:
    return [
        f"Each model is attributed on the same unlabelled probes by {result.settings['method']}; "
        "the similarity of two models is the mean over the probes of the cosine of their maps.",
        f"The tree joins rows of the matrix of cosines by {result.linkage} linkage; points are "
        "classical multidimensional scaling of the same rows.",
        "Before any map is made, a model’s outputs are compared with ONNX Runtime’s.",
    ]
