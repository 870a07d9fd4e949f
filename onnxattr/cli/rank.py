"""`onnxattr rank`."""

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, check_output, deliver
from onnxattr.cli.guard import INCOMPLETE, guard


def rank(
    models: options.Models,
    target: options.Target = None,
    probes: options.Probes = None,
    limit: options.Limit = None,
    method: options.Method = "saliency",
    at: options.At = "feature",
    paper: options.Paper = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    layout: options.Layout = None,
    size: options.Size = None,
    value_range: options.Range = None,
    mean: options.Mean = None,
    std: options.Std = None,
    form: options.OutputFormat = None,
    output: options.Output = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = True,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
) -> None:
    """Rank models by how alike their attribution maps are.

    Each model is shown with its three closest sources; with --target, that model's sources, closest
    first. Exit code: 0 all ranked, 1 a model or a probe was left out, 2 wrong usage, 3 nothing to
    rank.
    """
    with guard(debug):
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        settings = pipeline.Options(
            method=method,
            at=at,
            input=options.input_options(layout, size, value_range, mean, std),
            device=device,
            batch_size=batch_size,
            limit=limit,
            paper=paper,
            seed=seed,
        )
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.rank(
                models, target=target, probes=probes, options=settings, progress=bars
            )
        deliver(result, chosen, output, quiet=quiet, verbosity=verbose)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
