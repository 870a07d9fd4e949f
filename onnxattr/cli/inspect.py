"""`onnxattr inspect`."""

import typer

from onnxattr.cli import options
from onnxattr.cli.console import check_output, tell, write
from onnxattr.cli.guard import INCOMPLETE, NOTHING, guard
from onnxattr.cli.limits import limits_of, with_limits


@with_limits
def inspect(
    models: options.Models,
    at: options.At = "feature",
    layout: options.Layout = None,
    size: options.Size = None,
    value_range: options.Range = None,
    mean: options.Mean = None,
    std: options.Std = None,
    check_gradient: options.CheckGradient = False,
    form: options.OutputFormat = None,
    output: options.Output = None,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
    *,
    limits: dict[str, str],
) -> None:
    """Show what models are, what would be attributed, and what stops them from being ranked.

    Models are converted, and not run unless --check-gradient asks for it.

    Exit code: 0 all can be ranked, 1 some cannot, 3 no file is a model.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        chosen = options.choose_format(form, output)
        check_output(output)
        given = options.input_options(layout, size, value_range, mean, std)
        result = pipeline.inspect(
            models,
            at=at,
            input=given,
            limits=limits_of(limits),
            check_gradient=check_gradient,
            stop=interruption.event,
        )
        for failure in result.failures:
            tell(failure)
        write(result, chosen, output)
        if not result.models:
            raise typer.Exit(NOTHING)
        if not exit_zero and (result.failures or any(m.problems for m in result.models)):
            raise typer.Exit(INCOMPLETE)
