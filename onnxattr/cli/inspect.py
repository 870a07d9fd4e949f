"""`onnxattr inspect`."""

from typing import Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import check_output, tell, write
from onnxattr.cli.guard import INCOMPLETE, NOTHING, guard
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.sources import export_of, with_sources


@with_limits
@with_sources
@with_input
def inspect(
    models: options.Models,
    at: options.At = "feature",
    check_gradient: options.CheckGradient = False,
    form: options.OutputFormat = None,
    output: options.Output = None,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
    *,
    inputs: dict[str, Any],
    sources: dict[str, Any],
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
        result = pipeline.inspect(
            models,
            at=at,
            input=input_of(inputs),
            export=export_of(sources),
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
