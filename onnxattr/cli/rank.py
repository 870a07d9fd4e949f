"""`onnxattr rank`."""

from typing import Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, deliver
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.sources import export_of, with_sources


@with_limits
@with_sources
@with_input
def rank(
    models: options.Models,
    target: options.Target = None,
    probes: options.Probes = None,
    limit: options.Limit = None,
    method: options.Method = "saliency",
    measure: options.Measure = None,
    reduction: options.Reduction = "sum",
    at: options.At = None,
    paper: options.Paper = False,
    seed: options.Seed = 0,
    check_assumptions: options.CheckAssumptions = False,
    device: options.Device = "auto",
    workers: options.Workers = 1,
    batch_size: options.BatchSize = None,
    precision: options.Precision = "float32",
    compiled: options.Compile = False,
    store: options.Store = None,
    no_store: options.NoStore = False,
    form: options.OutputFormat = None,
    output: options.Output = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = True,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
    *,
    inputs: dict[str, Any],
    sources: dict[str, Any],
    limits: dict[str, str],
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
        settings = pipeline.Options(
            method=method,
            measure=measure,
            reduction=reduction,
            precision=precision,
            compile=compiled,
            at=at,
            input=input_of(inputs),
            export=export_of(sources),
            device=device,
            workers=workers,
            batch_size=batch_size,
            limit=limit,
            paper=paper,
            seed=seed,
            check_assumptions=check_assumptions,
            limits=limits_of(limits),
            store=None if no_store else store or "default",
        )
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.rank(
                models,
                target=target,
                probes=probes,
                options=settings,
                progress=bars,
                stop=interruption.event,
            )
        deliver(result, chosen, output, quiet=quiet, verbosity=verbose)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
