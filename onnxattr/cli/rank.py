"""`onnxattr rank`."""

from typing import Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, deliver
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.report import check_report, reported
from onnxattr.cli.settings import settings_of, with_settings


@with_settings()
def rank(
    models: options.Models,
    target: options.Target = None,
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
    """Rank models by how alike their attribution maps are.

    Each model is shown with its three closest sources; with --target,
    that model's sources, closest first.

    Exit code: 0 all ranked, 1 a model or a probe was left out, 2 wrong
    usage, 3 nothing to rank, 130 or 143 interrupted.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        check_report(report, output)
        wanted = settings_of(settings)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.rank(
                models,
                target=target,
                probes=probes,
                options=wanted,
                progress=bars,
                stop=interruption.event,
            )
        with reported(result, report, quiet=quiet):
            deliver(result, chosen, output, quiet=quiet, verbosity=verbose)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
