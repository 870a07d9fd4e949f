"""`onnxattr store`: what is kept of earlier runs."""

import json
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxattr.cli import options
from onnxattr.cli.console import print_text, say, show, tell
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.limits import parse_bytes, parse_seconds
from onnxattr.errors import OnnxattrError, UsageError
from onnxattr.registry import closest

if TYPE_CHECKING:
    from onnxattr.store import Store
    from onnxattr.types import StoredMaps

app = typer.Typer(help="List, check and prune the store of finished maps.", no_args_is_help=True)

Place = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="By default $ONNXATTR_STORE, or a directory in the user's cache.",
        show_default=False,
    ),
]


class Form(StrEnum):
    """How entries are listed."""

    table = "table"
    json = "json"


@app.command("list")
def list_entries(
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"{' or '.join(Form)}.",
            autocompletion=lambda: list(Form),
        ),
    ] = Form.table,
    store: Place = None,
    debug: options.Debug = False,
) -> None:
    """Show what is kept: model, method, probes, size, and when it was last used."""
    with guard(debug):
        if form.lower() not in list(Form):
            raise UsageError(f"there is no format `{form}`", hint=closest(form, Form))
        opened = open_store(store)
        entries = opened.entries()
        if form.lower() == Form.json:
            print_text(_as_json(opened.root, entries))
        elif entries:
            _print_table(entries)
        else:
            say(f"the store `{opened.root}` is empty")


@app.command()
def check(store: Place = None, debug: options.Debug = False) -> None:
    """Verify the checksum of every entry; damaged ones are put aside.

    Exit code: 0 all are intact, 1 some were damaged.
    """
    with guard(debug):
        opened = open_store(store)
        intact, damaged = opened.check()
        for line in opened.damaged:
            tell(OnnxattrError(line))
        typer.echo(f"{intact} intact, {len(damaged)} damaged")
        if damaged:
            raise typer.Exit(INCOMPLETE)


@app.command()
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Remove what was not used for so long: 30d, 12h."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove the least recently used beyond so much: 5GiB."),
    ] = None,
    store: Place = None,
    debug: options.Debug = False,
) -> None:
    """Remove maps by age, by size, or both."""
    with guard(debug):
        if older_than is None and max_size is None:
            raise UsageError("nothing says what to remove", hint="give --older-than or --max-size")
        age = None if older_than is None else parse_seconds("--older-than", older_than)
        most = None if max_size is None else parse_bytes("--max-size", max_size)
        removed, freed = open_store(store).prune(older_than=age, max_bytes=most)
        files = "1 file" if removed == 1 else f"{removed} files"
        typer.echo(f"{files} removed, {freed / 2**20:.1f} MiB freed")


def open_store(place: Path | None) -> "Store":
    """Returns the store at `place`, or the user's."""
    from onnxattr.store import Store, default_root

    return Store(place or default_root())


def _as_json(root: Path, entries: "Sequence[StoredMaps]") -> str:
    from onnxattr.report.json import SCHEMA_VERSION, plain

    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "store",
        "store": plain(str(root)),
        "entries": plain(entries),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _print_table(entries: "Sequence[StoredMaps]") -> None:
    from onnxattr.report import layout
    from onnxattr.report.table import stored_table

    table = stored_table(entries, time.time())
    # What a record says is no markup, and no name of an emoji.
    show(lambda out: layout.show(table, out))
