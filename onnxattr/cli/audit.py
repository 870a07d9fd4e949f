"""`onnxattr audit`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, warn, write
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.report import check_report, reported
from onnxattr.cli.settings import settings_of, with_settings

Suspect = Annotated[
    Path, typer.Argument(metavar="SUSPECT", help="The model file in question.", show_default=False)
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        "-a",
        metavar="REFERENCES",
        help="The known models: files, directories or globs, one or several.",
        show_default=False,
    ),
]
Twins = Annotated[
    list[str] | None,
    typer.Option(
        "--twins",
        metavar="[REFERENCE=]MODELS",
        help="Models of the same tasks, known to be independent of the references: without them "
        "nothing is concluded from behaviour. Whose task they share is found out, or said by a "
        "reference's name.",
        show_default=False,
    ),
]
Search = Annotated[
    bool,
    typer.Option(
        "--search/--no-search",
        help="Try orders of colours and ranges, on the suspect and on --twins alike.",
    ),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="CONDITION",
        help="Exit with 1 if: identical, derived, closer, undecidable, or a number compares, as in "
        "'similarity>0.9' (similarity, weights, copied, score, p). May be repeated.",
        show_default=False,
    ),
]


Nearest = Annotated[
    str | None,
    typer.Option(
        "--measure",
        metavar="NAME[,NAME…]",
        help="By what the nearest known models are told, in the order of the first (default: all).",
        show_default=False,
        rich_help_panel="Maps and probes",
    ),
]


@with_settings("method", "reduction", "paper", "check_assumptions", measure=Nearest)
def audit(
    suspect: Suspect,
    against: Against = None,
    twins: Twins = None,
    fail_if: FailIf = None,
    search: Search = True,
    probes: options.Probes = None,
    *,
    settings: dict[str, Any],
    form: options.OutputFormat = None,
    output: options.Output = None,
    report: options.Report = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = True,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
) -> None:
    """Say what a model is, and whether it is a known one or derived from one.

    The verdict is one of: identical, weight-derived, behaviourally closer
    than independent models, consistent with independent, undecidable.

    Exit code: 0 audited, 1 a condition of --fail-if is met, or a model or a
    probe was left out, 2 wrong usage, 3 nothing to audit.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        check_report(report, output)
        wanted = settings_of(settings)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.audit(
                suspect,
                against=against or (),
                twins=twins or (),
                probes=probes,
                options=wanted,
                search=search,
                fail_if=fail_if or (),
                progress=bars,
                stop=interruption.event,
            )
        for line in () if quiet else result.warnings:
            warn(line)
        with reported(result, report, quiet=quiet):
            write(result, chosen, output)
        crossed = any(gate.crossed for gate in result.gates)
        if (crossed or result.failures) and not exit_zero:
            raise typer.Exit(INCOMPLETE)
