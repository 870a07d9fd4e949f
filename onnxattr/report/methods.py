"""The methods of attribution as tables, JSON and markdown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from onnxattr.report import layout
from onnxattr.report.json import SCHEMA_VERSION, plain
from onnxattr.report.markdown import cell

#: A method: `name`, `kind`, `about`, `cost`, `signed`, `seeded`, `source`, and `options`, each with
#: `name`, `default`, `least`, `most`, `choices` and `about`.
Method = Mapping[str, Any]

#: Characters from which on there is room for all of a method on a line.
_WIDE = 100


def print_all(methods: Sequence[Method], reductions: Mapping[str, str], console: Console) -> None:
    """Prints a table of methods and one of reductions."""
    wide = console.width >= _WIDE
    head = ("method", "kind", "maps", "cost a probe", "what it is")
    table = _table(*head) if wide else _table(head[0], head[-1])
    for each in methods:
        title = Text(each["name"], "bold")
        facts: tuple[str, ...] = (each["kind"], _sign(each), each["cost"])
        if wide:
            table.add_row(title, *facts, each["about"])
        else:
            table.add_row(title, Text.assemble(each["about"], "\n", ("; ".join(facts), "dim")))
    layout.show(table, console)
    console.print()
    table = _table("reduction", "T, what is attributed of the units u")
    for name, about in reductions.items():
        table.add_row(Text(name, "bold"), about)
    layout.show(table, console)
    console.print()
    layout.show(Text("onnxattr methods NAME shows the options of a method", "dim"), console)


def print_one(method: Method, console: Console) -> None:
    """Prints all about one method."""
    table = Table.grid(Column("", style="dim"), Column("", overflow="fold"), padding=(0, 2, 0, 0))
    table.add_row("method", Text(method["name"], "bold"))
    table.add_row("what it is", method["about"])
    table.add_row("kind", method["kind"])
    table.add_row("maps", _sign(method))
    table.add_row("cost a probe", method["cost"])
    table.add_row("random", "by --seed" if method["seeded"] else "no")
    table.add_row("source", method["source"])
    layout.show(table, console)
    console.print()
    if not method["options"]:
        layout.show(Text("It has no options.", "dim"), console)
        return
    table = _table("option", "default", "values", "meaning")
    for option in method["options"]:
        table.add_row(
            Text(option["name"], "bold"), _value(option["default"]), _range(option), option["about"]
        )
    layout.show(table, console)
    console.print()
    first = method["options"][0]
    example = f"--method {method['name']}:{first['name']}={_value(first['default']) or '…'}"
    layout.show(Text(example, "dim"), console)


def to_json(methods: Sequence[Method], reductions: Mapping[str, str]) -> str:
    """Returns methods as JSON."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "methods",
        "methods": plain(list(methods)),
        "reductions": plain(reductions),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_markdown(methods: Sequence[Method], reductions: Mapping[str, str]) -> str:
    """Returns methods, their options and the reductions as markdown tables."""
    parts = [
        _markdown(
            ("method", "kind", "maps", "cost a probe", "what it is", "source"),
            [(m["name"], m["kind"], _sign(m), m["cost"], m["about"], m["source"]) for m in methods],
        )
    ]
    options = [
        (m["name"], o["name"], _value(o["default"]), _range(o), o["about"])
        for m in methods
        for o in m["options"]
    ]
    if options:
        parts.append(_markdown(("method", "option", "default", "values", "meaning"), options))
    if reductions:
        parts.append(_markdown(("reduction", "T"), list(reductions.items())))
    return "\n".join(parts)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _sign(method: Method) -> str:
    return "signed" if method["signed"] else "unsigned"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(option: Mapping[str, Any]) -> str:
    """Returns what an option may be: `1 to 64`, `from 0`, `true, false`, `text`."""
    if option["choices"]:
        return ", ".join(option["choices"])
    default, least, most = option["default"], option["least"], option["most"]
    if isinstance(default, bool):
        return "true, false"
    if isinstance(default, str):
        return "text"
    kind = "whole number" if isinstance(default, int) else "number"
    if least is None and most is None:
        return f"any {kind}"
    if most is None:
        return f"{kind} from {least:g}"
    return f"{kind} up to {most:g}" if least is None else f"{least:g} to {most:g}"


def _table(*titles: str) -> Table:
    columns = [Column(title, overflow="fold") for title in titles]
    # What stands in front keeps its words whole; what a thing is, is folded at spaces.
    for column in columns[:-1]:
        column.no_wrap = len(titles) < 5
    columns[0].no_wrap = True
    return layout.table(*columns)
