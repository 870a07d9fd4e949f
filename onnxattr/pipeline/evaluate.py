"""Measures beside measured transfer: joins tables, rankings and the arithmetic of `space`."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxattr.errors import UsageError
from onnxattr.pipeline.job import versions
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress, Silent
from onnxattr.pipeline.rank import rank
from onnxattr.pipeline.space import ProbeSource
from onnxattr.registry import suggestion
from onnxattr.scores import load_scores
from onnxattr.scores.ranked import from_pairs, from_similarity
from onnxattr.space import evaluation
from onnxattr.space.alignment import Aligned, align
from onnxattr.space.ranking import CONFIDENCE, RESAMPLES
from onnxattr.types import Evaluation, Failure, Ranking, Scores, Similarity

#: Fewer targets than these leave intervals that are far too narrow.
FEW_TARGETS = 10

#: Names that a warning lists.
_LISTED = 8

#: A file, a table, a ranking, or its similarity.
ScoreSource = str | Path | Scores | Ranking | Similarity


def evaluate(
    truth: str | Path | Scores,
    similarity: ScoreSource | Mapping[str, ScoreSource] | Sequence[ScoreSource] | None = None,
    *,
    models: str | Path | Sequence[str | Path] | None = None,
    probes: ProbeSource = None,
    options: Options | None = None,
    only: Iterable[str] = (),
    relevant: int | None = None,
    lower_is_better: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Evaluation:
    """Returns how well similarities predict measured transfer.

    Tables are [source, target]: a row is the model that is transferred from, a column the model, or
    its task, that is transferred to. Models are matched by name. A model that stands in one of the
    tables only is left out, and named.

    Args:
        truth: Measured transfer, higher is better: a file that `load_scores` takes, or a table.
        similarity: What to evaluate, higher is nearer: a file, a table, a ranking, or several, with
            their names in a mapping. The others are compared with the first.
        models: Models to rank first, as for `rank`; `Options.measure` says by which measures, which
            come first.
        probes: As for `rank`.
        options: What decides the ranking; its `seed` is that of the bootstrap here, too.
        only: Names of the models that count; all by default.
        relevant: How many of the best sources of a target are relevant; by default 5 as in the
            paper, or half of 5 sources or fewer.
        lower_is_better: The truth is a loss.
        progress: Told of what is going on.
        stop: Ends the ranking of models when it is set.

    Raises:
        ScoresError: A table cannot be read, or has no number for a pair of models.
        RankingError: Fewer than three models are in all of the tables.
        UsageError: There is nothing to evaluate, a name stands for two measures, or a number is
            out of range.
        OnnxattrError: As for `rank`.

    Example:
        >>> import numpy as np, onnxattr
        >>> names = ("depth", "edges", "normals", "random")
        >>> truth = np.array([[1, .2, .8, .1], [.3, 1, .4, .2], [.9, .5, 1, .1], [.1, .1, .2, 1]])
        >>> table = onnxattr.Scores("transfer", names, names, truth)
        >>> guess = onnxattr.Scores("guess", names, names, (truth + truth.T) / 2)
        >>> result = onnxattr.evaluate(table, guess)
        >>> round(result.measures[0].figures["spearman"].value, 3)
        0.875
    """
    options, progress = options or Options(), progress or Silent()
    started = time.perf_counter()
    if similarity is None and models is None:
        raise UsageError("there is nothing to evaluate", hint="give models, or similarities")
    # Before anything is ranked, which may take long.
    measured = truth if isinstance(truth, Scores) else load_scores(truth)
    if lower_is_better:
        measured = dataclasses.replace(measured, values=-measured.values)
    tables = [] if similarity is None else _tables(similarity)
    ranking = None
    if models is not None:
        ranking = rank(models, probes=probes, options=options, progress=progress, stop=stop)
        tables = [*map(from_pairs, ranking.measures), *tables]
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two measures are called `{name}`", hint="name them: NAME=FILE")
    aligned = align(measured, tables, tuple(only))
    relevant, lowered = _relevant(relevant, aligned)
    measures, references = evaluation.evaluate(aligned, names, relevant=relevant, seed=options.seed)
    unknown = _unknown(aligned, {*measured.sources, *measured.targets})
    for failure in unknown:
        progress.failed(failure)
    return Evaluation(
        measures=measures,
        references=references,
        sources=aligned.sources,
        targets=aligned.targets,
        relevant=relevant,
        missing=aligned.missing,
        failures=(*(ranking.failures if ranking else ()), *unknown),
        warnings=(
            *(ranking.warnings if ranking else ()),
            *_interrupted(ranking),
            *lowered,
            *_warnings(aligned, names, relevant),
        ),
        settings={
            "truth": _described(measured),
            "lower_is_better": lower_is_better,
            "measures": [_described(table) for table in tables],
            "relevant": relevant,
            "only": sorted(only),
            "seed": options.seed,
            "resamples": RESAMPLES,
            "confidence": CONFIDENCE,
            "ranking": ranking.settings if ranking else None,
        },
        versions=versions(),
        stored=ranking.stored if ranking else (),
        seconds={**(ranking.seconds if ranking else {}), "total": time.perf_counter() - started},
    )


def _tables(given: ScoreSource | Mapping[str, ScoreSource] | Sequence[ScoreSource]) -> list[Scores]:
    """Returns each similarity as a table with a name."""
    if isinstance(given, Mapping):
        return [_table(source, name) for name, source in given.items()]
    if isinstance(given, Ranking):
        return _each(given)
    if isinstance(given, str | Path | Scores | Ranking | Similarity):
        return [_table(given, None)]
    tables = [table for source in given for table in _each(source)]
    if not tables:
        raise UsageError("there is nothing to evaluate", hint="give models, or similarities")
    return tables


def _each(source: ScoreSource) -> list[Scores]:
    """Returns the table of a source without a name of its own; of a ranking, each measure."""
    if isinstance(source, Ranking) and source.measures:
        return [*map(from_pairs, source.measures)]
    return [_table(source, None)]


def _table(source: ScoreSource, name: str | None) -> Scores:
    if isinstance(source, Ranking):
        if source.measures:
            named = [pairs for pairs in source.measures if pairs.measure == name]
            pairs = (*named, *source.measures)[0]
            return dataclasses.replace(from_pairs(pairs), name=name or pairs.measure)
        assert source.similarity is not None  # Of a ranking without measures.
        source = source.similarity
    if isinstance(source, Similarity):
        return from_similarity(source, name or ATTRIBUTION)
    if isinstance(source, Scores):
        return source if name is None else dataclasses.replace(source, name=name)
    return load_scores(source, name=name)


def _relevant(asked: int | None, aligned: Aligned) -> tuple[int, list[str]]:
    """Returns how many sources of a target are relevant, and what is to be said of that."""
    depth = evaluation.depth(aligned)
    if asked is None:
        chosen = evaluation.default_relevant(aligned)
        lowered = chosen < evaluation.RELEVANT
        noun = "source is" if chosen == 1 else "sources are"
        line = (
            f"a target has only {depth} sources, so its {chosen} best {noun} relevant, not "
            f"{evaluation.RELEVANT}"
        )
        return chosen, [line] if lowered else []
    if not 1 <= asked < depth:
        raise UsageError(
            f"{asked} relevant sources are asked for, and a target has {depth}",
            hint=f"1 to {depth - 1} tell good sources from others",
        )
    return asked, []


def _unknown(aligned: Aligned, known: set[str]) -> tuple[Failure, ...]:
    return tuple(
        Failure(name, "the truth has no such model", suggestion(name, known).strip())
        for name in aligned.unknown
    )


def _interrupted(ranking: Ranking | None) -> list[str]:
    if ranking is None or not ranking.unfinished:
        return []
    return [f"partial: {_list(ranking.unfinished)} not finished before the interruption"]


def _warnings(aligned: Aligned, names: Sequence[str], relevant: int) -> list[str]:
    lines = []
    if aligned.missing:
        lines.append(f"in the truth and not among the models: {_list(aligned.missing)}")
    if aligned.flat:
        lines.append(f"targets whose sources all have the same truth: {_list(aligned.flat)}")
    if len(aligned.targets) < FEW_TARGETS:
        noun = "target leaves" if len(aligned.targets) == 1 else "targets leave"
        lines.append(f"{len(aligned.targets)} {noun} intervals too narrow or none")
    border, counts = evaluation.ties(aligned, relevant)
    if border:
        lines.append(
            f"the truth has equal numbers at the border of what is relevant for {border} of "
            f"{len(aligned.targets)} targets; their order is that of the names"
        )
    lines += [
        f"{name} gives sources equal numbers for {count} of {len(aligned.targets)} targets; "
        "their order is that of the names"
        for name, count in zip(names, counts, strict=True)
        if count
    ]
    return lines


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"`{name}`" for name in names[:_LISTED]) + more


def _described(scores: Scores) -> dict[str, Any]:
    return {"name": scores.name, "file": scores.origin, "sha256": scores.sha256}
