"""`onnxattr inspect`."""

from typing import Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import check_output, say, tell, write
from onnxattr.cli.guard import INCOMPLETE, NOTHING, guard
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.sources import export_of, with_sources


@with_limits
@with_sources
@with_input
def inspect(
    models: options.Models,
    at: options.At = None,
    check_gradient: options.CheckGradient = False,
    write_spec: options.WriteSpec = False,
    force: options.Force = False,
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
    --write-spec writes what was found into a file beside each, to be edited.

    Exit code: 0 all can be ranked, 1 some cannot, 3 no file is a model.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline
        from onnxattr.pipeline import specs

        chosen = options.choose_format(form, output)
        check_output(output)
        if write_spec:
            specs.require_no_sidecars(models, force=force)
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
        for model in result.models if write_spec else ():
            if model.spec is not None:  # The table says why there is none.
                say(f"wrote `{specs.write_found(model, force=force)}`")
        if not result.models:
            raise typer.Exit(NOTHING)
        if not exit_zero and (result.failures or any(m.problems for m in result.models)):
            raise typer.Exit(INCOMPLETE)
