"""The page of the maps of many models."""

from typing import Any

from onnxattr.report.html import sections
from onnxattr.report.html.blocks import (
    Banner,
    Cell,
    Column,
    Figure,
    Page,
    Row,
    Section,
    Table,
)
from onnxattr.report.index import to_index
from onnxattr.types import Attributions


def page(result: Attributions, command: str) -> Page:
    """Returns the page: what was attributed, then the maps."""
    links = sections.link_of(result.models)
    parts = [
        _made(result, links),
        sections.coverage(result),
        sections.assumptions(result.models),
        sections.gallery_section(result.galleries, links),
        sections.cards(result.models),
        sections.method(
            result.settings,
            result.versions,
            result.seconds,
            command=command,
            says=[
                "Each model is attributed on the same unlabelled probes, at its own input size; "
                "maps are raw, neither centred nor scaled.",
                "Before any map is made, a model’s outputs are compared with ONNX Runtime’s.",
            ],
        ),
    ]
    methods = list(result.by_method())
    lost = sum(1 for failure in result.failures if failure.name)
    return Page(
        kind="maps",
        title=f"What {sections.count(len(result.models), 'model')} look"
        f"{'s' * (len(result.models) == 1)} at",
        about=f"{', '.join(methods)} maps at {result.settings['at']} on "
        f"{sections.count(len(result.probes.names), 'probe')}",
        banner=Banner(
            "doubt" if result.unfinished or lost else "plain",
            _verdict(result),
            (f"{sections.count(lost, 'model')} left out.",) if lost else (),
            (
                sections.number_of(len(result.models), "model", "#models"),
                sections.number_of(len(methods), "method", "#gallery"),
                sections.number_of(len(result.probes.names), "probe"),
                Figure(str(lost), "left out", "#coverage"),
            ),
        ),
        sections=tuple(parts),
        result=to_index(result, (), {}),
    )


def _verdict(result: Attributions) -> str:
    made = sum(len(maps.probes) * len(maps.methods) for maps in result.maps)
    lost = sum(map(sum, result.unusable))
    usable = f"{lost:,} are zero or not finite" if lost else "all are usable"
    return (
        f"{sections.count(made, 'map')} of {sections.count(len(result.models), 'model')}; {usable}."
    )


def _made(result: Attributions, links: dict[str, str]) -> Section:
    rows = []
    for model, maps, lost in zip(result.models, result.maps, result.unusable, strict=True):
        shape: tuple[Any, ...] = maps.values.shape[1 + (len(maps.methods) > 1) :]
        for method, signed, count in zip(maps.methods, maps.signed, lost, strict=True):
            rows.append(
                Row(
                    (
                        Cell(model.name, link=links[model.name]),
                        Cell(model.origin.framework),
                        Cell(method),
                        Cell("signed" if signed else "unsigned"),
                        Cell(str(len(maps.probes))),
                        Cell("×".join(map(str, shape))),
                        Cell(str(count)),
                    )
                )
            )
    table = Table(
        name="made",
        caption="Maps of each model and method",
        columns=(
            Column("model"),
            Column("origin"),
            Column("method"),
            Column("sign"),
            Column("maps", number=True),
            Column("size", number=True),
            Column("unusable", number=True, about="zero or not finite"),
        ),
        rows=tuple(rows),
        filtered=len(rows) > 8,
    )
    return Section("made-maps", "What was made", "", (table,))
