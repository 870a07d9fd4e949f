"""`onnxattr evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, deliver, write_text
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.settings import settings_of, with_settings
from onnxattr.errors import UsageError

Truth = Annotated[
    str,
    typer.Option(
        "--truth",
        metavar="FILE",
        help="Measured transfer, higher is better: a matrix with a row a source and a column a "
        "target, or lines of source,target,value, as .csv, .tsv or .npz; or Taskonomy's .pkl.",
        show_default=False,
    ),
]
Similarity = Annotated[
    list[str] | None,
    typer.Option(
        "--similarity",
        metavar="[NAME=]FILE",
        help="What to evaluate: a table as for --truth, or what `rank -o x.json` wrote; may be "
        "repeated, the first is what others are compared with.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODELS]...",
        help="Models to rank and to evaluate, as for `rank`.",
        show_default=False,
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--models", metavar="MODELS...", help="The same, as an option.", show_default=False
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME...",
        help="Models that count, as sources and as targets.",
        show_default=False,
    ),
]
Relevant = Annotated[
    int | None,
    typer.Option(
        metavar="R",
        help="Best sources of a target that are relevant (default: 5, or half of 5 or fewer).",
        show_default=False,
    ),
]
Lower = Annotated[bool, typer.Option("--lower-is-better", help="The truth is a loss.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Say which source was chosen for each target, and which was best.",
        show_default=False,
        metavar="",
        rich_help_panel="Output",
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        "--figure",
        metavar="FILE.svg",
        help="Draw P@K and R@K, with oracle, random and symmetric ceiling.",
        show_default=False,
    ),
]


@with_settings("check_assumptions")
def evaluate(
    truth: Truth,
    models: Models = None,
    more_models: ModelsOption = None,
    similarity: Similarity = None,
    only: Only = None,
    relevant: Relevant = None,
    lower_is_better: Lower = False,
    figure: Figure = None,
    probes: options.Probes = None,
    *,
    settings: dict[str, Any],
    form: options.OutputFormat = None,
    output: options.Output = None,
    quiet: options.Quiet = False,
    verbose: Verbose = 0,
    progress: options.ShowProgress = True,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
) -> None:
    """Say how well similarities predict measured transfer.

    A table has a row for each source, the model that is transferred
    from, and a column for each target. Models are matched by name.

    Precision and recall among the first K sources as in the paper,
    rank correlations, and what it costs to take the first source.

    Exit code: 0 all evaluated, 1 a model was left out, 2 wrong usage,
    3 nothing to evaluate, 130 or 143 interrupted.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        _check_figure(figure, output)
        given = [*(more_models or []), *(models or [])]
        wanted = settings_of(settings)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.evaluate(
                truth,
                _named(similarity) if similarity else None,
                models=given or None,
                probes=probes,
                options=wanted,
                only=_names(only),
                relevant=relevant,
                lower_is_better=lower_is_better,
                progress=bars,
                stop=interruption.event,
            )
        if figure is not None:
            from onnxattr.report.curves import to_svg

            write_text(figure, to_svg(result))
        deliver(result, chosen, output, quiet=quiet, verbosity=verbose)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)


def _check_figure(figure: Path | None, output: Path | None) -> None:
    """Makes sure, before any work is done, that the figure can be written.

    Raises:
        UsageError: It cannot, is no SVG by its name, or is where the result goes.
    """
    if figure is None:
        return
    if figure.suffix.lower() != ".svg":
        raise UsageError(f"the figure `{figure}` is no .svg file", hint="figures are SVG")
    if output is not None and output.absolute() == figure.absolute():
        raise UsageError(f"the figure and the result are both to be `{figure}`")
    check_output(figure)


def _names(only: str | None) -> list[str]:
    return [name for part in (only or "").split(",") if (name := part.strip())]


def _named(given: list[str]) -> dict[str, str]:
    """Returns the files of similarities by the names of their measures.

    Raises:
        UsageError: Two have the same name.
    """
    found: dict[str, str] = {}
    for one in given:
        name, sign, file = one.partition("=")
        # A path may hold an equals sign: then it is one, or its name has a separator in it.
        if not sign or not name or not file or "/" in name or Path(one).exists():
            name, file = Path(one).stem, one
        if name in found:
            raise UsageError(f"two measures are called `{name}`", hint="name them: NAME=FILE")
        found[name] = file
    return found
