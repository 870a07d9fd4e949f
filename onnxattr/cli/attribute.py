"""`onnxattr attribute`."""

from typing import TYPE_CHECKING, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, explain, show, warn
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.sources import export_of, with_sources

if TYPE_CHECKING:
    from rich.console import Console


@with_limits
@with_sources
@with_input
def attribute(
    models: options.Models,
    output: options.Folder,
    probes: options.Probes = None,
    limit: options.Limit = None,
    method: options.Methods = "saliency",
    reduction: options.Reduction = "sum",
    at: options.At = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: options.Workers = 1,
    batch_size: options.BatchSize = None,
    precision: options.Precision = "float32",
    compiled: options.Compile = False,
    store: options.Store = None,
    no_store: options.NoStore = False,
    overwrite: options.Overwrite = False,
    save: options.Save = "npy",
    draw: options.Pictures = True,
    scale: options.Scale = "map",
    clip: options.Clip = 99.5,
    preview: options.Preview = None,
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
    """Write attribution maps, as numbers and as pictures.

    DIR gets index.json, MODEL/METHOD.npy (float32, a map a probe),
    MODEL/METHOD/PROBE.png and contact-METHOD.png.

    Exit code: 0 all attributed, 1 a model or a probe was left out,
    2 wrong usage, 3 nothing to attribute, 130 or 143 interrupted.
    """
    with guard(debug) as interruption:
        import sys

        from onnxattr import pipeline
        from onnxattr.cli import folder

        plan = folder.Plan(save, draw, scale, clip)
        settings = pipeline.Options(
            method=method,
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
            seed=seed,
            limits=limits_of(limits),
            store=None if no_store else store or "default",
        )
        folder.check_folder(output, overwrite=overwrite)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.attribute_many(
                models,
                probes=probes,
                options=settings,
                progress=bars,
                stop=interruption.event,
            )
            bars.start("drawing", sum(len(maps.probes) * len(maps.methods) for maps in result.maps))
            known = interruption.event.is_set()  # Then this is the rest of an orderly end.

            def advance(count: int) -> None:
                if interruption.event.is_set() and not known:
                    raise KeyboardInterrupt
                bars.advance(count)

            written = folder.fill(output, result, plan, advance)
        explain(result, quiet=quiet, verbosity=verbose)
        drawn = folder.drawable(result)
        if draw and not drawn and not quiet:
            warn("maps of three axes and more are not drawn, nor shown")
        if preview is None:
            preview = sys.stdout.isatty()

        def draw_all(out: "Console") -> None:
            from onnxattr.report.preview import preview as few
            from onnxattr.report.table import render_attributions

            render_attributions(result, written, out)
            if preview and drawn:
                out.print()
                out.print(few(result, folder.looks(result, plan), out))

        show(draw_all)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
