"""`onnxattr methods`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import print_text, show
from onnxattr.cli.guard import guard
from onnxattr.errors import UsageError
from onnxattr.registry import closest

if TYPE_CHECKING:
    from onnxattr.attribution.entries import Entry


class Form(StrEnum):
    """How methods are listed."""

    table = "table"
    json = "json"
    markdown = "markdown"


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show the options of this method.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"{', '.join(Form)}.",
            autocompletion=lambda: list(Form),
        ),
    ] = Form.table,
    debug: options.Debug = False,
) -> None:
    """List attribution methods, or the options of one.

    An option is written behind its method: --method occlusion:grid=4:span=2.
    """
    with guard(debug):
        from onnxattr.attribution.methods import METHODS
        from onnxattr.attribution.reductions import REDUCTIONS
        from onnxattr.report import methods as report

        if form.lower() not in list(Form):
            raise UsageError(f"there is no format `{form}`", hint=closest(form, Form))
        chosen = METHODS if name is None else {name: METHODS[name]}
        listed = [_listed(key, entry) for key, entry in chosen.items()]
        reductions = {} if name else dict(REDUCTIONS)
        if form.lower() == Form.json:
            print_text(report.to_json(listed, reductions))
        elif form.lower() == Form.markdown:
            print_text(report.to_markdown(listed, reductions))
        elif name is None:
            show(lambda out: report.print_all(listed, reductions, out))
        else:
            show(lambda out: report.print_one(listed[0], out))


def _listed(name: str, entry: "Entry") -> dict[str, Any]:
    """Returns a row of the table as a report takes it."""
    options = [
        {
            "name": key,
            "default": option.default,
            "least": option.least,
            "most": option.most,
            "choices": list(option.choices),
            "about": option.about,
        }
        for key, option in entry.options.items()
    ]
    return {
        "name": name,
        "kind": entry.kind,
        "about": entry.about,
        "cost": entry.cost,
        "signed": entry.signed,
        "seeded": entry.draws,
        "source": entry.source,
        "options": options,
    }
