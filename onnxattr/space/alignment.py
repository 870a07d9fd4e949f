"""The models that a truth and similarities have in common, and what stands in the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import RankingError, ScoresError, UsageError
from onnxattr.registry import suggestion
from onnxattr.types import Scores

#: Models without which there is no order: a target and two sources.
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Aligned:
    """A truth and similarities of the same sources and targets, both ordered by name.

    Attributes:
        sources: Names.
        targets: Names.
        truth: [source, target].
        scores: One array a similarity, likewise.
        missing: Names of the truth that are not in every similarity.
        unknown: Names of the similarities that are not in the truth.
        flat: Targets that were left out, because all of their sources have the same truth.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    truth: Float64
    scores: tuple[Float64, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    flat: tuple[str, ...]


def align(truth: Scores, similarities: Sequence[Scores], only: Sequence[str] = ()) -> Aligned:
    """Returns what can be evaluated: sources and targets that stand everywhere.

    A row or a column of the truth without any number is none.

    Args:
        truth: Measured transfer.
        similarities: One or more.
        only: Names of the models that count; empty for all.

    Raises:
        RankingError: Fewer than three models are left.
        ScoresError: A pair of those that are left has no number.
        UsageError: A name of `only` is not in the truth.
    """
    known = {*truth.sources, *truth.targets}
    for name in only:
        if name not in known:
            raise UsageError(
                f"there is no model `{name}` in the truth `{truth.name}`",
                hint=suggestion(name, known).strip(),
            )
    wanted = {*only} or {name for one in (truth, *similarities) for name in _names(one)}
    measured = _measured(truth.values, truth)
    sources = [s for s, row in zip(truth.sources, measured, strict=True) if row.any()]
    targets = [t for t, column in zip(truth.targets, measured.T, strict=True) if column.any()]
    everywhere, anywhere = _names(similarities[0]), _names(similarities[0])
    for one in similarities[1:]:
        everywhere, anywhere = everywhere & _names(one), anywhere | _names(one)
    sources = _common(sources, [one.sources for one in similarities], wanted)
    targets = _common(targets, [one.targets for one in similarities], wanted)
    # A target alone has no sources, and goes with them.
    targets = [t for t in targets if any(s != t for s in sources)]
    models = {*sources, *targets}
    if not targets or len(models) < FEWEST or len(sources) < FEWEST - 1:
        raise _too_few(truth, similarities, len(models))
    values = _picked(truth, sources, targets, "truth")
    flat = [t for t, column in zip(targets, values.T, strict=True) if _flat(column, sources, t)]
    targets, values = _without(targets, flat), values[:, [t not in flat for t in targets]]
    if not targets:
        raise ScoresError(f"the truth `{truth.name}` is the same for all sources of every target")
    return Aligned(
        sources=tuple(sources),
        targets=tuple(targets),
        truth=values,
        scores=tuple(_picked(one, sources, targets, "similarity") for one in similarities),
        missing=tuple(sorted((known & wanted).difference(everywhere))),
        unknown=tuple(sorted((anywhere & wanted) - known)),
        flat=tuple(flat),
    )


def _flat(column: Float64, sources: Sequence[str], target: str) -> bool:
    others = column[[s != target for s in sources]]
    return bool((others == others[0]).all())


def _without(names: Sequence[str], dropped: Sequence[str]) -> list[str]:
    return [name for name in names if name not in dropped]


def _names(scores: Scores) -> set[str]:
    return {*scores.sources, *scores.targets}


def _measured(values: Float64, scores: Scores) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Returns which pairs have a number, [source, target]; a model and itself are no pair."""
    same = np.array(scores.sources)[:, None] == np.array(scores.targets)[None, :]
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = np.isfinite(values) & ~same
    return found


def _common(mine: Sequence[str], others: Sequence[Sequence[str]], wanted: set[str]) -> list[str]:
    return sorted(set(mine).intersection(wanted, *map(set, others)))


def _picked(scores: Scores, sources: list[str], targets: list[str], kind: str) -> Float64:
    """Returns the numbers of some sources and targets, in their order.

    Raises:
        ScoresError: A pair has none. What a model is to itself may be missing.
    """
    rows = {name: i for i, name in enumerate(scores.sources)}
    columns = {name: i for i, name in enumerate(scores.targets)}
    chosen = np.ix_([rows[s] for s in sources], [columns[t] for t in targets])
    values: Float64 = np.asarray(scores.values, np.float64)[chosen]
    lacking = [
        (sources[i], targets[j])
        for i, j in zip(*np.nonzero(~np.isfinite(values)), strict=True)
        if sources[i] != targets[j]
    ]
    if lacking:
        source, target = lacking[0]
        more = f", nor for {len(lacking) - 1} other pairs" if len(lacking) > 1 else ""
        raise ScoresError(
            f"the {kind} `{scores.name}` has no number for source `{source}` and target "
            f"`{target}`{more}",
            hint="--only names the models that are complete",
        )
    return values


def _too_few(truth: Scores, similarities: Sequence[Scores], count: int) -> RankingError:
    names = {*truth.sources, *truth.targets}
    strangers = sorted(set.union(*(_names(one) for one in similarities)) - names)
    hint = ""
    if strangers:
        hint = f"the truth has no `{strangers[0]}`"
        hint += f" and {len(strangers) - 1} other names" if len(strangers) > 1 else ""
        close = suggestion(strangers[0], names).strip()
        hint += f"; {close}" if close else ""
    noun = "model is" if count == 1 else "models are"
    return RankingError(
        f"an evaluation needs {FEWEST} models, and {count} {noun} both in the truth "
        f"`{truth.name}` and in every similarity",
        hint=hint,
    )
