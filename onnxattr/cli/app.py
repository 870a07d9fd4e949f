"""The command `onnxattr`."""

from typing import Annotated

import typer

from onnxattr._version import __version__
from onnxattr.cli.inspect import inspect
from onnxattr.cli.rank import compare, rank

app = typer.Typer(
    name="onnxattr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(rank)
app.command()(compare)
app.command()(inspect)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"onnxattr {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Rank neural networks of any framework, from their ONNX files, by their attribution maps."""


def main() -> None:
    """Runs the command line."""
    app()
