"""The stages of an audit: weights, ways to feed models, traces, twins, gradients, relations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxattr.arrays import Float32
from onnxattr.graph.options import InputOptions
from onnxattr.lineage.behaviour import Traces
from onnxattr.lineage.calibration import LEAST_TWINS
from onnxattr.lineage.twins import UNLIKE, assign
from onnxattr.pipeline.audit_work import Fed, Work
from onnxattr.pipeline.audited_models import same_by
from onnxattr.pipeline.false_twins import false_twins, same_functions
from onnxattr.pipeline.idle import accused
from onnxattr.pipeline.input_search import Searched, in_words
from onnxattr.pipeline.measures import compare_by
from onnxattr.pipeline.relations import Matches, Pairs, relations, same_function
from onnxattr.pipeline.suspect import suspect_of
from onnxattr.pipeline.watch import Observation, Seen
from onnxattr.space import ranking
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION
from onnxattr.space.similarity import similarity
from onnxattr.types import (
    IMAGE,
    Failure,
    Inspection,
    Otherwise,
    Relation,
    Suspect,
    Target,
    Twin,
)

#: Names of a reference and of a model that is compared with it.
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Found:
    """What the stages came to.

    Attributes:
        suspect: The suspect.
        relations: One a reference that could be compared.
        twins: What became of the models that were given as independent.
        nearest: The references, ranked; None where the suspect has no maps.
        sensitivity: What becomes of the suspect fed in other ways.
    """

    suspect: Suspect
    relations: tuple[Relation, ...]
    twins: tuple[Twin, ...]
    nearest: Target | None
    sensitivity: tuple[Otherwise, ...]


@dataclass(frozen=True, eq=False)
class Traced:
    """What is known of models that were run, in the ways in which they are compared.

    Attributes:
        own: The way in which a model feeds itself.
        ways: How the suspect and independent models are fed to be compared with each reference.
        by_way: Traces of models as they were fed.
    """

    own: InputOptions
    ways: Mapping[Pair, InputOptions]
    by_way: Mapping[Fed, Traces]

    def references(self) -> dict[str, Traces]:
        """Returns the traces of the references, which feed themselves, by name."""
        names = dict.fromkeys(reference for reference, _ in self.ways)
        return {name: self.by_way[name, self.own] for name in names}

    def others(self) -> dict[Pair, Traces]:
        """Returns those of the suspect and independent models, as fed for each reference."""
        found = {pair: self.by_way.get((pair[1], way)) for pair, way in self.ways.items()}
        return {pair: traces for pair, traces in found.items() if traces is not None}


def run(work: Work, *, search: bool) -> Found:
    """Returns what all stages came to.

    Args:
        work: The audit.
        search: Whether orders of colours and ranges are tried.
    """
    inspection = work.look()
    matches = Matches(work.weigh())
    unfit, doubts = false_twins(work.roles, work.weighed, matches)
    work.notes += doubts
    independent = [name for name in work.roles.twins if name not in unfit]
    own = (work.options.input,)
    seen = work.watch(dict.fromkeys((*work.roles.references, work.roles.suspect), own))
    searched = _ways_to_feed(work, seen, independent, search=search)
    traced = _traced(work, seen, searched.ways)
    unfit |= same_functions(independent, traced.references(), traced.others())
    independent = [name for name in independent if name not in unfit]
    alike = _alike(traced, independent)
    twins, twins_of = _twins(work, traced, alike, unfit)
    traced = _with_gradients(work, traced, _judging(alike, twins_of))
    with work.timed("compare"):
        made = _relations(work, traced, matches, twins_of, independent)
        return Found(
            suspect=_suspect(work, inspection, seen.get(work.roles.suspect)),
            relations=made,
            twins=twins,
            nearest=_nearest(work),
            sensitivity=searched.sensitivity.get(work.roles.suspect, ()),
        )


def _ways_to_feed(
    work: Work, seen: Mapping[str, Observation], independent: Sequence[str], *, search: bool
) -> Searched:
    """Returns how suspect and independent models are fed beside each reference that was run."""
    references = _representations(work, seen)
    others = [work.roles.suspect, *independent]
    own = {(r, name): work.options.input for r in references for name in others}
    if not search or work.probes.kind != IMAGE:
        return Searched(own)
    found = work.search(others, references)
    return dataclasses.replace(found, ways={**own, **found.ways})


def _representations(work: Work, seen: Mapping[str, Observation]) -> dict[str, Float32]:
    """Returns those of the references that could be run, by name."""
    units = {name: seen[name].ways[0].units for name in work.roles.references if name in seen}
    return {name: known[REPRESENTATION] for name, known in units.items() if REPRESENTATION in known}


def _traced(
    work: Work, seen: Mapping[str, Observation], chosen: Mapping[Pair, InputOptions]
) -> Traced:
    """Returns what is known of models in all ways in which they are compared, but gradients.

    Args:
        work: The audit.
        seen: Models that were run already, as they feed themselves.
        chosen: How models are fed beside each reference.
    """
    own = work.options.input
    ways: dict[str, list[InputOptions]] = {}
    for (_, name), way in chosen.items():
        asked = ways.setdefault(name, [])
        if way not in asked and not (name in seen and way == own):
            asked.append(way)
    more = work.watch({name: asked for name, asked in ways.items() if asked})
    made = {(name, own): _traces_of(name, one.ways[0]) for name, one in seen.items()}
    for name, observation in more.items():
        for way, one in zip(ways[name], observation.ways, strict=True):
            made[name, way] = _traces_of(name, one)
    known = {fed: one for fed, one in made.items() if one.representation is not None}
    return Traced(own, chosen, known)


def _traces_of(name: str, seen: Seen) -> Traces:
    return Traces(
        name=name,
        representation=seen.units.get(REPRESENTATION),
        outputs=seen.units.get(OUTPUTS),
        early=seen.layers("early"),
        late=seen.layers("late"),
    )


def _alike(traced: Traced, independent: Sequence[str]) -> dict[Pair, float]:
    """Returns how much references and independent models seem to do the same, of those run."""
    references = traced.references()
    pairs = Pairs(references, traced.others())
    return {(r, n): pairs.alike(r, n) for r in references for n in independent if pairs.has(r, n)}


def _twins(
    work: Work, traced: Traced, alike: Mapping[Pair, float], unfit: Mapping[str, str]
) -> tuple[tuple[Twin, ...], dict[str, tuple[str, ...]]]:
    """Returns what becomes of the models given as independent, and the twins of each reference."""
    run = {twin for _, twin in alike}
    lost = {failure.name: failure.message for failure in work.failures} | work.refusals
    references = list(traced.references())
    misfits = dict(unfit)
    for twin in work.roles.twins:
        if references and twin not in run and twin not in unfit:
            misfits[twin] = f"it cannot be run: {lost[twin]}" if twin in lost else "it was not run"
    return assign(alike, references, work.roles.twins, misfits, work.roles.declared)


def _judging(alike: Mapping[Pair, float], twins_of: Mapping[str, Sequence[str]]) -> list[Pair]:
    """Returns the independent models by which a reference's score and its p-value are made.

    Where it has enough twins to judge anybody, these are its own and those of other such references
    that may do the same; see `calibration.null_scores`.
    """
    judging = {r: names for r, names in twins_of.items() if len(names) >= LEAST_TWINS}
    counted = {name for names in judging.values() for name in names}
    return [
        (reference, name)
        for (reference, name), value in alike.items()
        if reference in judging and name in counted
        if name in judging[reference] or value >= UNLIKE
    ]


def _with_gradients(work: Work, traced: Traced, independent: Sequence[Pair]) -> Traced:
    """Returns traces with the maps of all models that are compared by them."""
    suspect = work.roles.suspect
    references = list(traced.references())
    wanted = [(name, traced.own) for name in (*references, suspect)]
    wanted += [(suspect, traced.ways[reference, suspect]) for reference in references]
    wanted += [(name, traced.ways[reference, name]) for reference, name in independent]
    maps = work.attribute([fed for fed in dict.fromkeys(wanted) if fed in traced.by_way])
    full = {
        fed: dataclasses.replace(one, gradients=maps.get(fed)) for fed, one in traced.by_way.items()
    }
    return dataclasses.replace(traced, by_way=full)


def _relations(
    work: Work,
    traced: Traced,
    matches: Matches,
    twins_of: Mapping[str, Sequence[str]],
    independent: Sequence[str],
) -> tuple[Relation, ...]:
    """Returns what is known of the suspect and each reference of which anything is."""
    suspect, references = work.roles.suspect, traced.references()
    pairs, same = Pairs(references, traced.others()), _identical(work, traced)
    fed = {r: in_words(traced.ways[r, suspect], traced.own) for r in references}

    def related(matches: Matches) -> tuple[Relation, ...]:
        known = work.roles.references
        return relations(suspect, known, twins_of, pairs, matches, same, fed, independent)

    made = related(matches)
    if working := work.working(accused(suspect, made)):
        made = related(Matches({**work.weighed, **working}))
    _tell(work, made, independent)
    if work.roles.same:
        made = (*made, Relation(suspect, identical="file"))
    return tuple(each for each in made if each.identical or each.match or each.behaviour)


def _identical(work: Work, traced: Traced) -> dict[str, str]:
    """Returns by what a reference is the same as the suspect, by the reference's name."""
    suspect = work.roles.suspect
    found = {}
    for reference in work.roles.references:
        if by := same_by(work.weighed, suspect, reference):
            found[reference] = by
            continue
        one = traced.by_way.get((reference, traced.own))
        ways = (traced.own, traced.ways.get((reference, suspect), traced.own))
        others = [traced.by_way[suspect, way] for way in ways if (suspect, way) in traced.by_way]
        if one is not None and any(same_function(one, other) for other in others):
            found[reference] = "function"
    return found


def _tell(work: Work, made: Sequence[Relation], independent: Sequence[str]) -> None:
    """Tells whose behaviour or weights are not compared, and which models were not reached."""
    compared = {each.reference for each in made if each.match or each.identical}
    for name in sorted(work.refusals):
        if name in compared or name == work.roles.suspect:
            work.notes.append(f"{name}: its behaviour is not compared: {work.refusals[name]}")
        elif name not in independent:
            work.leave_out(Failure(name, work.refusals[name], ""))
    lost = {failure.name for failure in work.failures}
    for failure in work.unweighed:
        # Of one that is left out, or was not reached, that is said.
        if failure.name not in lost and not work.stop.is_set():
            about = "its weights cannot be compared"
            work.notes.append(f"{failure.name}: {about}: {failure.message}")
    if work.stop.is_set():
        behaved = {each.reference for each in made if each.behaviour}
        work.unfinished += [
            name
            for name in work.roles.references
            if name not in behaved | lost and name not in (*work.unfinished, *work.refusals)
        ]


def _suspect(work: Work, inspection: Inspection | None, seen: Observation | None) -> Suspect:
    name = work.roles.suspect
    return suspect_of(
        name,
        work.roles.paths[name],
        work.weighed.get(name),
        inspection,
        seen,
        [failure.message for failure in work.failures if failure.name == name],
        work.refusals.get(name, ""),
    )


def _nearest(work: Work) -> Target | None:
    """Returns the references as sources of the suspect, by each measure of a ranking."""
    name = work.roles.suspect
    if name not in work.examined or len(work.examined) < 2:
        return None
    names = [name, *sorted(n for n in work.examined if n != name)]
    examined = [work.examined[n] for n in names]
    alone = [dataclasses.replace(e, made=e.maps.by_method()[0]) for e in examined]
    compared = similarity(
        [e.maps.values for e in alone],
        names,
        centred=not work.options.paper,
        images=work.probes.kind == IMAGE,
    )
    measures, said = compare_by(
        work.options.measures,
        alone,
        compared,
        len(work.probes.values),
        [0],
        images=work.probes.kind == IMAGE,
    )
    work.notes += said
    hashes = [e.summary.sha256 for e in alone]
    return ranking.rank_by(measures, compared, 0, seed=work.options.seed, hashes=hashes)
