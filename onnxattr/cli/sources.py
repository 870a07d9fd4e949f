"""The options that say how models that are no ONNX files are exported."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxattr.cli.signature import grouped

if TYPE_CHECKING:
    from onnxattr.pipeline.adapters import ExportOptions

_PANEL = "Sources that are no ONNX files"

_OPTIONS: dict[str, Any] = {
    "trust_source": Annotated[
        bool | None,
        typer.Option(
            "--trust-source",
            help="Let code in a source run, with your rights; only .tflite and .skops hold none.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "adapter": Annotated[
        str | None,
        typer.Option(
            "--adapter",
            metavar="NAME",
            help="pytorch, keras, tensorflow, jax, paddle, sklearn, or one of a package.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "example": Annotated[
        list[str] | None,
        typer.Option(
            "--example",
            metavar="SHAPE|FILE",
            help="An input: 2x3x224x224, 2x7:int64 or a .npy file; repeated for several.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "python": Annotated[
        str | None,
        typer.Option(
            "--python",
            metavar="FILE",
            help="The Python of another environment, which has the framework.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
}


def with_sources(command: Callable[..., None]) -> Callable[..., None]:
    """Returns `command` with the options of exports in the place of its parameter `sources`."""
    return grouped(command, "sources", _OPTIONS)


def export_of(given: dict[str, Any]) -> "ExportOptions":
    """Returns what the user says of exports."""
    from onnxattr.pipeline.adapters import ExportOptions

    return ExportOptions(**given | {"example": tuple(given.get("example", ()))})
