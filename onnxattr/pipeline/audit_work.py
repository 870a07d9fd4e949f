"""An audit under way: its models, and what it has workers do with them."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from onnxattr.arrays import Float32
from onnxattr.graph.options import InputOptions
from onnxattr.pipeline import job
from onnxattr.pipeline.audited_models import Cast
from onnxattr.pipeline.idle import without_idle
from onnxattr.pipeline.input_search import Searched, search_inputs
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.pipeline.space import examine_all
from onnxattr.pipeline.watch import Observation, watch_all
from onnxattr.pipeline.weigh import weights_of
from onnxattr.space.measures.table import REPRESENTATION
from onnxattr.store import Store
from onnxattr.types import Failure, Inspection, Probes, Weighed

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

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of what is done within to that of a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

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
        with self.timed("weights"):
            paths = {
                name: Path(os.fsdecode(source.path))
                for name, source in self.sources.items()
                if source.path is not None and name != self.roles.suspect
            }
            self.take_weights(*weights_of(paths, limits=self.options.limits, stop=self.stop))
        return self.weighed

    def working(self, names: Sequence[str]) -> dict[str, Weighed]:
        """Returns those of the models that have layers which do nothing, without these."""
        if not names:
            return {}
        say = self.notes.append
        with self.timed("idle"):
            return without_idle(
                names, self.weighed, self.sources, self.probes, self.options, self.stop, say
            )

    def look(self) -> Inspection | None:
        """Returns what the suspect is, run on a few probes with all checks."""
        with self.timed("inspect"):
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
        return found.models[0] if found.models else None

    def watch(self, ways: Mapping[str, Sequence[InputOptions]]) -> dict[str, Observation]:
        """Returns what models make of the probes, and their layers, fed in each of their ways."""
        with self.timed("run"):
            found = watch_all(
                self.sources,
                ways,
                self.probes,
                self.options,
                self.stop,
                self.leave_out,
                layers=True,
            )
        for name, observation in found.items():
            if any(REPRESENTATION in way.units for way in observation.ways):
                continue
            first = observation.ways[0]
            why = first.refusal or first.lacking.get(REPRESENTATION, "")
            self.refusals[name] = why or "it makes nothing that can be compared"
        return found

    def search(self, names: Sequence[str], references: Mapping[str, Float32]) -> Searched:
        """Returns how each model is fed to be compared with each reference."""
        with self.timed("search"):
            sources = {name: self.sources[name] for name in names if name in self.sources}
            return search_inputs(
                sources, references, self.probes, self.options, self.stop, self.leave_out
            )

    def attribute(self, wanted: Sequence[Fed]) -> dict[Fed, Float32]:
        """Returns the maps of lineage, [probe, …], of models as they are fed.

        Those of the suspect and the references, fed as they feed themselves, are kept with all that
        a ranking takes. A model without a gradient has no maps, and is compared by all else.
        """
        with self.timed("attribute"):
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
                        if name in ranked:
                            self.examined[name] = one
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

        def goes_on(name: str, error: Exception) -> bool:
            """Says why there are no gradients; the model is compared by all else."""
            about = f"{name}: gradients are not compared: "
            # Of a model that is fed in several ways it is said once.
            if not any(note.startswith(about) for note in self.notes):
                lost.append(about + job.failure_of(name, error).message)
            return True

        found, missing = examine_all(
            sources, examiner, options, self.progress, self.stop, self.leave_out, goes_on
        )
        self.notes += sorted(lost)
        self.unfinished += [name for name in missing if name not in self.unfinished]
        return found

    def shown(self, references: Sequence[str]) -> list[Examined]:
        """Returns the suspect and these references, as far as they have maps."""
        names = dict.fromkeys((self.roles.suspect, *references))
        return [self.examined[name] for name in names if name in self.examined]
