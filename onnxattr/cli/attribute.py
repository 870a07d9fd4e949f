"""`onnxattr attribute`."""

from typing import TYPE_CHECKING, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, explain, show, warn
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.report import check_report, reported
from onnxattr.cli.settings import settings_of, with_settings

if TYPE_CHECKING:
    from rich.console import Console


@with_settings("measure", "paper", "check_assumptions", method=options.Methods)
def attribute(
    models: options.Models,
    output: options.Folder,
    probes: options.Probes = None,
    *,
    settings: dict[str, Any],
    overwrite: options.Overwrite = False,
    report: options.Report = None,
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
        wanted = settings_of(settings)
        folder.check_folder(output, overwrite=overwrite)
        check_report(report, folder=output)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.attribute_many(
                models,
                probes=probes,
                options=wanted,
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

        with reported(result, report, quiet=quiet):
            show(draw_all)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
