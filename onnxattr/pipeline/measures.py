"""The measures that were asked for, of the models that were examined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import InputError
from onnxattr.pipeline.options import ATTRIBUTION
from onnxattr.pipeline.outcome import Examined
from onnxattr.space import ranking
from onnxattr.space.measures.all_pairs import all_pairs
from onnxattr.space.measures.ensemble import WEIGHTS
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import ENSEMBLE, FIELD, MEASURES, OUTPUTS, REPRESENTATION
from onnxattr.space.similarity import mean_cosines
from onnxattr.types import Pairs, Similarity


def compare_by(
    names: Sequence[str],
    examined: Sequence[Examined],
    compared: Similarity | None,
    count: int,
    targets: Sequence[int] | None = None,
) -> tuple[tuple[Pairs, ...], tuple[str, ...]]:
    """Returns each measure that can be had, and what is to be said of the others, a line each.

    A model without what a measure needs has no values by it. It stays in the ranking.

    Args:
        names: Of the measures.
        examined: The models.
        compared: The cosines of their maps; None where nobody asked for maps.
        count: Of the probes.
        targets: Places of the models that are asked for as targets; None for all.
    """
    models = tuple(each.summary.name for each in examined)
    others, lines = [], []
    for name in names:
        if name == ATTRIBUTION:
            continue
        if count < (least := _least(name)):
            noun = "1 probe is" if count == 1 else f"{count} probes are"
            lines.append(f"`{name}` is left out: {noun} too few, it takes {least} or more")
        else:
            others.append(name)
    found: dict[str, Float64] = {}
    for part in (REPRESENTATION, FIELD):
        alike = [name for name in others if _part(name) == part]
        if alike:
            values, why = _compare(alike, part, examined, count, targets)
            found |= values
            lines += why
    made = []
    for name in names:
        if name == ATTRIBUTION and compared is not None:
            made.append(ranking.of_similarity(compared))
        elif name in found and not np.isnan(found[name]).all():
            made.append(_pairs(name, models, found[name]))
        elif name in others:
            lines.append(f"`{name}` is left out: it has no value for any two of the models")
    unknown = [line for pairs in made for line in _silent(pairs, examined, targets)]
    return tuple(made), (*lines, *unknown)


def _part(name: str) -> str:
    """Returns what a measure cannot do without, beside maps."""
    return FIELD if name != ENSEMBLE and FIELD in MEASURES[name].needs else REPRESENTATION


def _least(name: str) -> int:
    parts = WEIGHTS if name == ENSEMBLE else (name,)
    return max(MEASURES[part].least for part in parts)


def _pairs(name: str, models: tuple[str, ...], values: Float64) -> Pairs:
    directed = name == ENSEMBLE or MEASURES[name].directed
    return Pairs(name, models, mean_cosines(values), values, directed)


def _compare(
    names: Sequence[str],
    part: str,
    examined: Sequence[Examined],
    probes: int,
    targets: Sequence[int] | None,
) -> tuple[dict[str, Float64], list[str]]:
    """Returns the values of each measure, [source, target, probe], and what to say of models.

    Args:
        names: Of measures.
        part: What all of them need.
        examined: The models.
        probes: How many there are.
        targets: As for `compare_by`.
    """
    lines = []
    usable = []
    for place, each in enumerate(examined):
        if part in each.units:
            usable.append(place)
        else:
            lines.append(
                _without(each, names, part, each.lacking.get(part, "its worker sent none"))
            )
    count = len(examined)
    while len(usable) > 1:
        evidence = [_evidence(examined[place]) for place in usable]
        asked = usable if targets is None else [place for place in usable if place in targets]
        try:
            found = all_pairs(names, evidence, [usable.index(place) for place in asked])
        except InputError as error:
            lost = next((p for p in usable if examined[p].summary.name == error.model), None)
            if lost is None:
                raise
            usable.remove(lost)
            lines.append(_without(examined[lost], names, part, error.message))
            continue
        whole = {}
        for name, values in found.items():
            whole[name] = np.full((count, count, probes), np.nan)
            if values.shape[2]:
                whole[name][np.ix_(usable, usable)] = values
        return whole, lines
    return {}, lines


def _evidence(one: Examined) -> Evidence:
    return Evidence(
        name=one.summary.name,
        maps=None if one.made is None else one.made.values,
        representation=one.units.get(REPRESENTATION),
        outputs=one.units.get(OUTPUTS),
        field=one.units.get(FIELD),
    )


def _without(one: Examined, names: Sequence[str], part: str, reason: str) -> str:
    of = ", ".join(f"`{name}`" for name in names)
    name, value = one.summary.name, one.summary.representation.value
    if part == FIELD:
        return f"{name} has no {of}: `{value}` has no gradient field ({reason})"
    return f"{name} has no {of}: the units of `{value}` cannot be compared ({reason})"


def _silent(
    pairs: Pairs, examined: Sequence[Examined], targets: Sequence[int] | None
) -> Iterator[str]:
    """Yields what is to be said of models of which a measure says nothing, though it could."""
    if pairs.measure == ATTRIBUTION:
        return
    part = _part(pairs.measure)
    every = np.isnan(pairs.matrix)
    np.fill_diagonal(every, val=True)
    for place, each in enumerate(examined):
        name = each.summary.name
        if part not in each.units or (targets is not None and place not in targets):
            continue
        if every[:, place].all() and not every.all():
            yield f"`{pairs.measure}` says nothing of {name}: {_reason(pairs.measure, part, each)}"


def _reason(measure: str, part: str, one: Examined) -> str:
    if part == FIELD:
        return "its gradient field is zero"
    if measure in MEASURES and OUTPUTS in MEASURES[measure].needs:
        return one.lacking.get(OUTPUTS) or "it has no outputs beside its representation"
    units = one.units[part]
    same = "its representation is the same on all probes"
    return same if (units == units[:1]).all() else "no two numbers of it can be compared"
