"""The stages of an audit: weights read, ways to feed tried, models run, attributed, compared."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnxattr.arrays import Float32
from onnxattr.graph.options import InputOptions
from onnxattr.lineage import behaviour
from onnxattr.lineage.behaviour import Traces
from onnxattr.lineage.calibration import LEAST_TWINS
from onnxattr.lineage.twins import UNLIKE, assign
from onnxattr.pipeline import job
from onnxattr.pipeline.audited_models import Cast, same_by
from onnxattr.pipeline.false_twins import false_twins, same_functions
from onnxattr.pipeline.idle import accused, without_idle
from onnxattr.pipeline.input_search import Searched, in_words, search_inputs
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.measures import compare_by
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.pipeline.relations import Matches, Pairs, relations, same_function
from onnxattr.pipeline.space import examine_all
from onnxattr.pipeline.suspect import suspect_of
from onnxattr.pipeline.watch import Observation, Seen, watch_all
from onnxattr.pipeline.weigh import weights_of
from onnxattr.space import ranking
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION
from onnxattr.space.similarity import similarity
from onnxattr.store import Store
from onnxattr.types import (
    IMAGE,
    Failure,
    Inspection,
    Otherwise,
    Probes,
    Relation,
    Suspect,
    Target,
    Twin,
    Weighed,
)

#: By which maps are made: those that nearest models are ranked by, and those of lineage.
RANKED, LINEAGE = "saliency", "whitened"

#: A model as it is fed.
Fed = tuple[str, InputOptions]


@dataclass(eq=False)
class Work:
    """An audit under way.

    Attributes:
        roles: Its models.
        sources: Where they are.
        probes: What they are shown.
        options: What decides the numbers.
        progress: Told of what is going on.
        stop: Ends the work when it is set.
        failures: Models and probes that were left out.
        device: Where gradients are computed, in words.
        notes: What the reader must know, a line each.
        seconds: Wall time of the stages.
        unfinished: Models that were not reached before an interruption.
        examined: The suspect and the references, with their maps, as they feed themselves.
        weighed: Weights and identities, of the models that have any.
        unweighed: Why others have none.
        refusals: Why models make nothing of the probes, by name.
    """

    roles: Cast
    sources: Mapping[str, Source]
    probes: Probes
    options: Options
    progress: Progress
    stop: threading.Event
    failures: list[Failure]
    device: str
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    examined: dict[str, Examined] = field(default_factory=dict)
    weighed: dict[str, Weighed] = field(default_factory=dict)
    unweighed: list[Failure] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)

    def leave_out(self, failure: Failure) -> None:
        """Tells of a model that cannot be used, once."""
        if failure.name and failure.name in {known.name for known in self.failures}:
            return
        self.failures.append(failure)
        self.progress.failed(failure)

    def take_weights(self, found: Mapping[str, Weighed], lost: Sequence[Failure]) -> None:
        """Takes weights and identities of some models, and why others have none."""
        self.weighed |= found
        self.unweighed += lost

    def weigh(self) -> dict[str, Weighed]:
        """Returns weights and identities, of the models that have any."""
        started = time.perf_counter()
        paths = {
            name: Path(os.fsdecode(source.path))
            for name, source in self.sources.items()
            if source.path is not None and name != self.roles.suspect
        }
        self.take_weights(*weights_of(paths, limits=self.options.limits, stop=self.stop))
        self._spent("weights", started)
        return self.weighed

    def working(self, names: Sequence[str]) -> dict[str, Weighed]:
        """Returns those of the models that have layers which do nothing, without these."""
        if not names:
            return {}
        started = time.perf_counter()
        say = self.notes.append
        found = without_idle(
            names, self.weighed, self.sources, self.probes, self.options, self.stop, say
        )
        self._spent("weights", started)
        return found

    def look(self) -> Inspection | None:
        """Returns what the suspect is, run on a few probes with all checks."""
        started = time.perf_counter()
        source = self.sources[self.roles.suspect]
        assert source.path is not None
        found = inspect(
            os.fsdecode(source.path),
            at=self.options.at,
            input=self.options.input,
            limits=self.options.limits,
            check_gradient=True,
            stop=self.stop,
        )
        for failure in found.failures:
            self.leave_out(dataclasses.replace(failure, name=self.roles.suspect))
        self._spent("inspect", started)
        return found.models[0] if found.models else None

    def watch(self, ways: Mapping[str, Sequence[InputOptions]]) -> dict[str, Observation]:
        """Returns what models make of the probes, and their layers, fed in each of their ways."""
        started = time.perf_counter()
        found = watch_all(
            self.sources, ways, self.probes, self.options, self.stop, self.leave_out, layers=True
        )
        for name in ways:
            if name not in found:
                continue
            if not any(REPRESENTATION in way.units for way in found[name].ways):
                way = found[name].ways[0]
                why = way.refusal or way.lacking.get(REPRESENTATION, "")
                self.refusals[name] = why or "it makes nothing that can be compared"
        self._spent("run", started)
        return found

    def search(self, names: Sequence[str], references: Mapping[str, Float32]) -> Searched:
        """Returns how each model is fed to be compared with each reference."""
        started = time.perf_counter()
        sources = {name: self.sources[name] for name in names if name in self.sources}
        found = search_inputs(
            sources, references, self.probes, self.options, self.stop, self.leave_out
        )
        self._spent("search", started)
        return found

    def attribute(self, wanted: Sequence[Fed]) -> dict[Fed, Float32]:
        """Returns the maps of lineage, [probe, …], of models as they are fed.

        Those of the suspect and the references, fed as they feed themselves, are kept with all that
        a ranking takes. A model without a gradient has no maps, and is compared by all else.
        """
        started = time.perf_counter()
        own = self.options.input
        store = job.open_store(self.options.store)
        by_way: dict[InputOptions, list[str]] = {}
        for name, way in dict.fromkeys(wanted):
            by_way.setdefault(way, []).append(name)
        self.progress.begin(len(wanted), len(self.probes.values), self.device)
        made: dict[Fed, Float32] = {}
        for way, names in by_way.items():
            ranked = (self.roles.suspect, *self.roles.references) if way == own else ()
            for group, method in (
                ([n for n in names if n in ranked], f"{RANKED},{LINEAGE}"),
                ([n for n in names if n not in ranked], LINEAGE),
            ):
                for name, one in self._examined(group, way, method, store).items():
                    made[name, way] = one.maps.by_method()[-1].values
                    if group and name in ranked:
                        self.examined[name] = one
        self._spent("attribute", started)
        return made

    def _examined(
        self, names: Sequence[str], way: InputOptions, method: str, store: Store | None
    ) -> dict[str, Examined]:
        if not names:
            return {}
        measure = self.options.measure if RANKED in method else "attribution"
        options = dataclasses.replace(self.options, method=method, input=way, measure=measure)
        examiner = Examiner(self.probes, options, store, len(self.sources))
        sources = {name: self.sources[name] for name in names}
        lost: list[str] = []

        def takes(name: str, error: Exception) -> bool:
            about = f"{name}: gradients are not compared: "
            # Of a model that is fed in several ways it is said once.
            if not any(note.startswith(about) for note in self.notes):
                lost.append(about + job.failure_of(name, error).message)
            return True

        found, missing = examine_all(
            sources, examiner, options, self.progress, self.stop, self.leave_out, takes
        )
        self.notes += sorted(lost)
        self.unfinished += [name for name in missing if name not in self.unfinished]
        return found

    def shown(self, references: Sequence[str]) -> list[Examined]:
        """Returns the suspect and these references, as far as they have maps."""
        names = dict.fromkeys((self.roles.suspect, *references))
        return [self.examined[name] for name in names if name in self.examined]

    def _spent(self, stage: str, started: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


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


def run(work: Work, *, search: bool) -> Found:
    """Returns what all stages came to.

    Args:
        work: The audit.
        search: Whether orders of colours and ranges are tried.
    """
    roles, own = work.roles, work.options.input
    inspection = work.look()
    weighed = work.weigh()
    matches = Matches(weighed)
    same, doubts = false_twins(roles, weighed, matches)
    work.notes += doubts
    independent = [name for name in roles.twins if name not in same]
    seen = work.watch({name: [own] for name in (*roles.references, roles.suspect)})
    known = {
        name: observation.ways[0].units[REPRESENTATION]
        for name, observation in seen.items()
        if REPRESENTATION in observation.ways[0].units
    }
    references = {name: known[name] for name in roles.references if name in known}
    others = [roles.suspect, *independent]
    chosen = {(r, name): own for r in references for name in others}
    searched = Searched(chosen)
    if search and work.probes.kind == IMAGE:
        searched = work.search(others, references)
        chosen |= searched.ways
    traces = _traces(work, seen, chosen, others)
    own_traces = {name: traces[name, own] for name in references}
    by_pair = {(r, n): traces[n, way] for (r, n), way in chosen.items() if (n, way) in traces}
    same |= same_functions(independent, own_traces, by_pair)
    independent = [name for name in independent if name not in same]
    alike = _alike(own_traces, by_pair, independent)
    twins, of_reference = _twins(work, own_traces, alike, same)
    wanted = [(name, own) for name in (*references, roles.suspect)]
    wanted += [(roles.suspect, chosen[r, roles.suspect]) for r in references]
    wanted += [
        (t, chosen[r, t])
        for r, known_twins in of_reference.items()
        for t in independent
        if (r, t) in alike
        if t in known_twins or (len(known_twins) >= LEAST_TWINS and alike[r, t] >= UNLIKE)
    ]
    maps = work.attribute([fed for fed in dict.fromkeys(wanted) if fed in traces])
    full = {fed: dataclasses.replace(one, gradients=maps.get(fed)) for fed, one in traces.items()}
    started = time.perf_counter()
    pairs = Pairs(
        {name: full[name, own] for name in references},
        {(r, n): full[n, way] for (r, n), way in chosen.items() if (n, way) in full},
    )
    fed = {r: in_words(chosen[r, roles.suspect], own) for r in references}
    same_as = _identical(roles, weighed, full, chosen, own)

    def related(matches: Matches) -> tuple[Relation, ...]:
        return relations(
            roles.suspect,
            roles.references,
            of_reference,
            pairs,
            matches,
            same_as,
            fed,
            independent,
        )

    made = related(matches)
    if working := work.working(accused(roles.suspect, made)):
        made = related(Matches({**weighed, **working}))
    _tell(work, made, independent)
    if roles.same:
        made = (*made, Relation(roles.suspect, identical="file"))
    found = Found(
        suspect=suspect_of(
            roles.suspect,
            roles.paths[roles.suspect],
            weighed.get(roles.suspect),
            inspection,
            seen.get(roles.suspect),
            [failure.message for failure in work.failures if failure.name == roles.suspect],
            work.refusals.get(roles.suspect, ""),
        ),
        relations=tuple(r for r in made if r.identical or r.match or r.behaviour),
        twins=twins,
        nearest=_nearest(work),
        sensitivity=searched.sensitivity.get(roles.suspect, ()),
    )
    work.seconds["compare"] = time.perf_counter() - started
    return found


def _traces(
    work: Work,
    seen: Mapping[str, Observation],
    chosen: Mapping[tuple[str, str], InputOptions],
    others: Sequence[str],
) -> dict[Fed, Traces]:
    """Returns what is known of each model in each way in which it is compared, but gradients."""
    own = work.options.input
    ways: dict[str, list[InputOptions]] = {name: [] for name in others}
    for (_, name), way in chosen.items():
        if way not in ways[name] and not (name in seen and way == own):
            ways[name].append(way)
    more = work.watch({name: asked for name, asked in ways.items() if asked})
    made = {(name, own): _of(name, one.ways[0]) for name, one in seen.items()}
    for name, observation in more.items():
        for way, one in zip(ways[name], observation.ways, strict=True):
            made[name, way] = _of(name, one)
    return {fed: one for fed, one in made.items() if one.representation is not None}


def _of(name: str, seen: Seen) -> Traces:
    return Traces(
        name=name,
        representation=seen.units.get(REPRESENTATION),
        outputs=seen.units.get(OUTPUTS),
        early=seen.layers("early"),
        late=seen.layers("late"),
    )


def _alike(
    references: Mapping[str, Traces],
    others: Mapping[tuple[str, str], Traces],
    twins: Sequence[str],
) -> dict[tuple[str, str], float]:
    """Returns how much references and models given as independent seem to do the same."""
    found = {}
    for reference, one in references.items():
        for twin in twins:
            if (other := others.get((reference, twin))) is not None:
                value = behaviour.representations(one, other)
                found[reference, twin] = float("nan") if value is None else value
    return found


def _twins(
    work: Work,
    references: Mapping[str, Traces],
    alike: Mapping[tuple[str, str], float],
    same: Mapping[str, str],
) -> tuple[tuple[Twin, ...], dict[str, tuple[str, ...]]]:
    """Returns what becomes of the models given as independent, and the twins of each reference."""
    run = {twin for _, twin in alike}
    lost = {failure.name: failure.message for failure in work.failures} | work.refusals
    misfits = dict(same)
    for twin in work.roles.twins:
        if references and twin not in run and twin not in same:
            misfits[twin] = f"it cannot be run: {lost[twin]}" if twin in lost else "it was not run"
    return assign(alike, list(references), work.roles.twins, misfits, work.roles.declared)


def _identical(
    roles: Cast,
    weighed: Mapping[str, Weighed],
    traces: Mapping[Fed, Traces],
    chosen: Mapping[tuple[str, str], InputOptions],
    own: InputOptions,
) -> dict[str, str]:
    """Returns by what a reference is the same as the suspect, by the reference's name."""
    found = {}
    for reference in roles.references:
        if by := same_by(weighed, roles.suspect, reference):
            found[reference] = by
        else:
            one = traces.get((reference, own))
            ways = (own, chosen.get((reference, roles.suspect), own))
            others = [traces[roles.suspect, way] for way in ways if (roles.suspect, way) in traces]
            if one is not None and any(same_function(one, other) for other in others):
                found[reference] = "function"
    return found


def _tell(work: Work, made: Sequence[Relation], independent: Sequence[str]) -> None:
    """Tells of models that make nothing of the probes, and of those that were not reached."""
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
