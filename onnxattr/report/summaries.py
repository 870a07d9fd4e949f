"""What rankings and comparisons both show: their models, and how these were compared."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Column, Table

from onnxattr.report import layout, measures, text
from onnxattr.sanitise import clean
from onnxattr.types import Comparison, Ranking, Summary


def models_tables(models: Iterable[Summary], console: Console) -> Iterator[Table]:
    """Yields one table, or two where the line has no room for all of it."""
    models = list(models)
    known = (Column("origin"), *map(layout.right, ("opset", "params", "parity")))
    places = (Column("input"), Column("range"), layout.folded("attributed at"))
    table = layout.table(layout.folded("model"), *known, *places)
    first = layout.table(layout.folded("model"), *(c.copy() for c in known))
    second = layout.table(layout.folded("model"), *(c.copy() for c in places))
    for m in models:
        about = (m.origin.framework, *facts(m))
        fed = (text.fed(m.spec), text.value_range(m.spec), m.representation.value)
        layout.add_row(table, m.name, *about, *fed)
        layout.add_row(first, m.name, *about)
        layout.add_row(second, m.name, *fed)
    if layout.fits(table, console):
        yield table
    else:
        yield first
        yield second


def facts(model: Summary) -> tuple[str, str, str]:
    """Returns the opset of a model, how many parameters it has, and its parity."""
    # Where nothing was attributed there is nothing that a conversion could have got wrong.
    parity = "black box" if model.batch else "-"
    parity = f"{model.parity.error:.0e}" if model.parity else parity
    return str(model.opset), text.short_count(model.parameters), parity


def footer(result: Ranking | Comparison) -> str:
    """Returns by what models were compared, on which probes, and what the signs mean."""
    settings = result.settings
    shared = f"; = shares a rank{measures.legend(result)}" if isinstance(result, Ranking) else ""
    doubtful = sum("range" in text.assumptions(m.spec) for m in result.models)
    everyone = "all models" if doubtful == len(result.models) else f"{doubtful} models"
    starred = isinstance(result, Comparison) or settings["target"] is None
    what = "* is" if starred else "the input range is"
    assumed = f"; {what} assumed for {everyone}" if doubtful else ""
    given = ", ".join(
        # Longer ones are what a file held.
        f"{key} {value if len(str(value)) <= 40 else 'of a file'}"
        for key, value in settings.get("method_options", {}).items()
    )
    by = f" ({clean(given)})" if given else ""
    reduction = settings.get("reduction", "sum")
    of = "" if reduction == "sum" else f" of {clean(reduction)}"
    how = ", centred" if settings["centred"] else ", the paper's arithmetic"
    what = f"{settings['method']}{by} maps{of}"
    if settings["method"] is None:  # No measure compares maps.
        what, how = f"compared{of}", ""
    return (
        f"{what} at {clean(str(settings['at']))}{how}; "
        f"{text.probes(settings)}; "
        f"interval: {settings['confidence']:.0%} of {settings['resamples']} "
        f"resamples of the probes{shared}{assumed}"
    )
