"""`onnxattr map`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import Bars, explain, say, write
from onnxattr.cli.guard import INCOMPLETE, guard
from onnxattr.cli.report import check_report, reported
from onnxattr.cli.settings import settings_of, with_settings

Linkage = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How far apart two groups are: single (their nearest pair, as in the paper), average "
        "or ward.",
    ),
]
Clusters = Annotated[
    int | None,
    typer.Option(
        metavar="K", help="Cut the tree into K groups, and mark them.", show_default=False
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Write matrix, tree and figures there, with index.json; made if it is not there.",
        show_default=False,
        rich_help_panel="Output",
    ),
]


@with_settings("measure", "check_assumptions")
def map_models(
    models: options.Models,
    probes: options.Probes = None,
    *,
    settings: dict[str, Any],
    linkage: Linkage = "single",
    clusters: Clusters = None,
    output: Folder = None,
    overwrite: options.Overwrite = False,
    report: options.Report = None,
    form: options.OutputFormat = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = True,
    exit_zero: options.ExitZero = False,
    debug: options.Debug = False,
) -> None:
    """Show models as a tree: which are alike, and which groups are.

    DIR gets index.json, similarity.csv, distances.csv, nearest.csv,
    map.npz, tree.nwk, and the figures tree and plane, .svg and .png.

    Exit code: 0 all mapped, 1 a model or a probe was left out, 2 wrong
    usage, 3 nothing to map, 130 or 143 interrupted.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline
        from onnxattr.cli import folder, map_folder

        chosen = options.choose_format(form, None)
        wanted = settings_of(settings)
        if output is not None:
            folder.check_folder(output, overwrite=overwrite)
        check_report(report, folder=output)
        with Bars(quiet=quiet, show=progress) as bars:
            result = pipeline.map_models(
                models,
                probes=probes,
                linkage=linkage,
                groups=clusters,
                options=wanted,
                progress=bars,
                stop=interruption.event,
            )
        explain(result, quiet=quiet, verbosity=verbose)
        if output is not None:
            written = map_folder.fill(output, result)
            if not quiet:
                say(f"wrote {len(written) + 1} files into {output}")
        with reported(result, report, quiet=quiet):
            write(result, chosen, None)
        if result.failures and not exit_zero:
            raise typer.Exit(INCOMPLETE)
