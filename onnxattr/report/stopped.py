"""In words: how many probes it took to decide a ranking."""

from collections.abc import Iterator

from onnxattr.sanitise import clean
from onnxattr.types import Ranking, Settled, Source, Stopping

#: Names that a line lists.
_LISTED = 3


def stopped_lines(stopping: Stopping, *, one: bool) -> Iterator[str]:
    """Yields what it took, a line each.

    Args:
        stopping: Of a ranking.
        one: Whether one target was named.
    """
    if one and stopping.targets:
        yield _of_target(stopping.targets[0], stopping)
        return
    done = [t for t in stopping.targets if t.decided and all(t.decided)]
    what = _what(stopping.top)
    counts = sorted({t.probes for t in done})
    span = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0]) if counts else ""
    after = f", after {span} of {stopping.total} probes" if span else ""
    yield (
        f"{what} is decided for {len(done)} of {len(stopping.targets)} models"
        f"{after}, at {_sure(stopping)}"
    )
    for target in stopping.targets:
        if target not in done:
            yield f"{clean(target.target)}: {_of_target(target, stopping)}"


def shown_titles(result: Ranking) -> list[str]:
    """Returns the title of a column that says how many probes a source was shown, if there is."""
    return ["probes"] if result.stopping is not None else []


def shown_cells(source: Source, result: Ranking) -> list[str]:
    """Returns how many probes a source was shown: one that was out early was shown fewer."""
    return [str(result.stopping.shown[source.name])] if result.stopping is not None else []


def _of_target(target: Settled, stopping: Stopping) -> str:
    every = target.probes >= stopping.total
    after = f"{target.probes} of {stopping.total} probes"
    after = f"after all {stopping.total} probes" if every else f"after {after}"
    if target.decided and all(target.decided):
        top = len(target.decided)
        return f"{_what(top)} is decided {after}, at {_sure(stopping)}"
    if target.probes < stopping.minimum:
        return f"not decided {after}: {stopping.minimum} or more are needed"
    open_places = [k for k, done in enumerate(target.decided) if not done]
    parts = []
    for place in open_places:
        name = target.closest[place]
        rivals = [other for one, other in target.ties if one == name]
        if rivals:
            parts.append(f"place {place + 1} is {_listed([name, *rivals])}")
        else:
            parts.append(f"place {place + 1} is {clean(name)} or one behind it")
    why = "" if every else "; the probes left would hardly tell"
    return f"not decided {after}: {', '.join(parts)}{why}"


def _what(top: int) -> str:
    return "the closest source" if top == 1 else f"the order of the {top} closest sources"


def _sure(stopping: Stopping) -> str:
    return f"{100 * stopping.confidence:.4g}% confidence"


def _listed(names: list[str]) -> str:
    shown = [clean(name) for name in names[:_LISTED]]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} or {more} more"
    return " or ".join([", ".join(shown[:-1]), shown[-1]])
