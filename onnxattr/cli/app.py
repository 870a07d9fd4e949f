"""The command `onnxattr`."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from onnxattr._version import __version__
from onnxattr.cli.attribute import attribute
from onnxattr.cli.audit import audit
from onnxattr.cli.compare import compare
from onnxattr.cli.console import tell
from onnxattr.cli.evaluate import evaluate
from onnxattr.cli.export import export
from onnxattr.cli.guard import OK, USAGE
from onnxattr.cli.inspect import inspect
from onnxattr.cli.lists import gathering
from onnxattr.cli.map import map_models
from onnxattr.cli.methods import methods
from onnxattr.cli.rank import rank
from onnxattr.cli.report import remember
from onnxattr.cli.stamp import stamp
from onnxattr.cli.store import app as store
from onnxattr.errors import UsageError

#: The class of all complaints about a command line. It is click's, of which some versions of Typer
#: carry a copy of their own; the one public class below it leads to either.
_Complaint: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="onnxattr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(rank)
app.command()(compare)
app.command(cls=gathering("--against", "-a", "--twins"))(audit)
app.command()(attribute)
app.command()(methods)
app.command("map")(map_models)
app.command()(evaluate)
app.command()(inspect)
app.command()(stamp)
app.command()(export)
app.add_typer(store, name="store")


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        arguments: What stands behind the program's name; by default that of this process.
    """
    remember(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=arguments, prog_name="onnxattr", standalone_mode=False)
    except _Complaint as complaint:
        _complain(complaint)
        code = USAGE
    sys.exit(code or OK)


def _complain(complaint: Exception) -> None:
    """Prints what is wrong with a command line in the form of all our errors."""
    message = complaint.format_message() if hasattr(complaint, "format_message") else ""
    context = getattr(complaint, "ctx", None)
    command = context.command_path if context else "onnxattr"
    if not message or type(complaint).__name__ == "NoArgsIsHelpError":
        return  # The help is on the screen already.
    message = " ".join(message.split()).removesuffix(".")
    tell(UsageError(message[:1].lower() + message[1:], hint=f"`{command} --help` shows the usage"))
