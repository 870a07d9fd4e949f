"""`onnxattr compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, deliver
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.report import check_report, reported
from onnxattr.cli.settings import settings_of, with_settings


@with_settings("check_assumptions")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model file.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.", show_default=False)],
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
    """Compare two models: similarity, interval, and where they agree and differ most.

    Exit code: 0 compared, 1 a probe was left out, 2 wrong usage, 3 a model cannot be used.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        check_report(report, output)
        wanted = settings_of(settings)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.compare(
                first,
                second,
                probes=probes,
                options=wanted,
                progress=bars,
                stop=interruption.event,
            )
        with reported(result, report, quiet=quiet):
            deliver(result, chosen, output, quiet=quiet, verbosity=verbose)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
