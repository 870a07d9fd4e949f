"""The options that commands share, each defined once, and what turns them into library options."""

from pathlib import Path
from typing import Annotated

import typer

from onnxattr.cli.console import Format
from onnxattr.errors import UsageError
from onnxattr.registry import closest
from onnxattr.space.measures.table import WHOLE_MEASURES

_PROBING, _OUTPUT = "Maps and probes", "Output"

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODELS...",
        help="Model files, directories with .onnx files, globs, or what `export` takes.",
        show_default=False,
    ),
]
Probes = Annotated[
    list[str] | None,
    typer.Option(
        "--probes",
        "-p",
        metavar="DIR|FILE",
        help="Images instead of the built-in ones, may be repeated; or one .npy or .npz of arrays.",
        rich_help_panel=_PROBING,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        help="Use the first N probes (default: 64 of the 200 built-in, all of yours).",
        metavar="N",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME[:OPT=VALUE]",
        help="How maps are made; `onnxattr methods` lists methods and options.",
        rich_help_panel=_PROBING,
    ),
]
Methods = Annotated[
    str,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME[:OPT=VALUE],…",
        help="One method or several; `onnxattr methods` lists them and options.",
        rich_help_panel=_PROBING,
    ),
]
Measure = Annotated[
    str | None,
    typer.Option(
        "--measure",
        metavar="NAME[,NAME…]",
        help=f"How models are compared, in the order of the first: {', '.join(WHOLE_MEASURES)} "
        "(default: attribution; with --target predictability, too).",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
Reduction = Annotated[
    str,
    typer.Option(
        "--reduction",
        metavar="NAME",
        help="What is made of the units: sum, squared-norm, abs, rms, projection[:K] or unit:I.",
        rich_help_panel=_PROBING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Of gradients: float32, bf16, tf32 or float64.",
        rich_help_panel=_PROBING,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Let torch compile the networks: slower to start, for many probes.",
        rich_help_panel=_PROBING,
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="PLACE|NAME",
        help="What is attributed: feature (default), logits, output or bottleneck, with :OUTPUT "
        "behind it for a certain output; or the name of a tensor.",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
Paper = Annotated[
    bool,
    typer.Option(
        "--paper",
        help="The paper's own arithmetic: maps are not centred.",
        rich_help_panel=_PROBING,
    ),
]
CheckAssumptions = Annotated[
    bool,
    typer.Option(
        "--check-assumptions",
        help="Try models whose range is assumed in others: would the ranking change?",
        rich_help_panel=_PROBING,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        help="Of the bootstrap intervals, and of all that methods draw.",
        rich_help_panel=_PROBING,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda[:n] or mps; several with commas.",
        rich_help_panel=_PROBING,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        help="Worker processes a device; on the CPU they share its cores.",
        metavar="N",
        rich_help_panel=_PROBING,
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where finished maps are kept (default: $ONNXATTR_STORE, or the user's cache).",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
NoStore = Annotated[
    bool,
    typer.Option(
        "--no-store", help="Neither use nor keep finished maps.", rich_help_panel=_PROBING
    ),
]
CheckGradient = Annotated[
    bool,
    typer.Option(
        "--check-gradient",
        help="Run models on a few probes, and check their gradients by finite differences.",
    ),
]
WriteSpec = Annotated[
    bool,
    typer.Option(
        "--write-spec",
        help="Write how each model is fed, and why, into a .toml file beside it.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Let --write-spec write over a file that is there.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        help="Probes at a time (default: 8).",
        metavar="N",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help=f"{', '.join(Format)} (default: table, or by the suffix of -o).",
        autocompletion=lambda: list(Format),
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the result to a file (- is stdout).",
        rich_help_panel=_OUTPUT,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write the result as a page, too: one file, with figures, that fetches nothing.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where maps, pictures and index.json go; made if it is not there.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Let files in DIR be replaced; those of other names stay.",
        rich_help_panel=_OUTPUT,
    ),
]
Save = Annotated[
    str,
    typer.Option(
        "--save",
        metavar="FORM",
        help="npy, a file a method, or npz, one a model.",
        rich_help_panel=_OUTPUT,
    ),
]
Pictures = Annotated[
    bool,
    typer.Option(
        "--pictures/--no-pictures",
        help="Draw each map, and a contact sheet a method.",
        rich_help_panel=_OUTPUT,
    ),
]
Scale = Annotated[
    str,
    typer.Option(
        metavar="map|model|all",
        help="What shares the value at which colours end: nothing, a model's maps, or all.",
        rich_help_panel=_OUTPUT,
    ),
]
Clip = Annotated[
    float,
    typer.Option(
        metavar="PERCENTILE",
        help="Of |value|, at which colours end; 100 is the largest.",
        rich_help_panel=_OUTPUT,
    ),
]
Preview = Annotated[
    bool | None,
    typer.Option(
        "--preview/--no-preview",
        help="Show a few maps in the terminal (default: where stdout is one).",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Results and errors only.", rich_help_panel=_OUTPUT),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Say what was decided for each model, and why.",
        show_default=False,
        metavar="",
        rich_help_panel=_OUTPUT,
    ),
]
ShowProgress = Annotated[
    bool,
    typer.Option("--progress/--no-progress", help="Progress bar.", rich_help_panel=_OUTPUT),
]
ExitZero = Annotated[
    bool,
    typer.Option(
        "--exit-zero",
        help="Exit with 0 even if a model was left out.",
        rich_help_panel=_OUTPUT,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_OUTPUT)]

Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="MODEL",
        help="Rank the sources of this model only: its name or path.",
        show_default=False,
    ),
]

CheckProbes = Annotated[
    bool,
    typer.Option(
        "--check-probes",
        help="Try the models on photographs, too: are your images far from what they know?",
        rich_help_panel=_PROBING,
    ),
]
UntilStable = Annotated[
    bool,
    typer.Option(
        "--until-stable",
        help="Take probes, of all there are, only until the closest sources are decided.",
        rich_help_panel=_PROBING,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        help="With --until-stable: decide the order of the K closest (default: 1).",
        metavar="K",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        help="With --until-stable: at which it is decided (default: 0.95).",
        metavar="C",
        show_default=False,
        rich_help_panel=_PROBING,
    ),
]

_BY_SUFFIX = {
    ".json": Format.json,
    ".jsonl": Format.jsonl,
    ".csv": Format.csv,
    ".tsv": Format.tsv,
    ".md": Format.markdown,
}


def choose_format(form: str | None, output: Path | None) -> Format:
    """Returns the format asked for, or the one that the suffix of `output` means.

    Raises:
        UsageError: There is no such format.
    """
    if form is not None:
        if form.lower() not in list(Format):
            raise UsageError(f"there is no format `{form}`", hint=closest(form, Format))
        return Format(form.lower())
    return _BY_SUFFIX.get(output.suffix.lower(), Format.table) if output else Format.table
