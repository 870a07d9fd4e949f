"""The parent's side of watching: models run on probes by ONNX Runtime alone, in workers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.attribution.units import MOST
from onnxattr.errors import WorkerError
from onnxattr.execution.channel import MAX_MESSAGE, Channel
from onnxattr.execution.local import Workers
from onnxattr.graph.options import InputOptions
from onnxattr.pipeline.job import MAX_MAPS, SERVE, expect, failure_of, place_of
from onnxattr.pipeline.messages import Source, Units, Watch, Watched, Way, pack, unpack
from onnxattr.pipeline.options import Options
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Failure, Finding, InputSpec, Probes

#: Axes of the units of one probe, at most; findings of a file, at most.
_AXES, _FINDINGS = 3, 100


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model made of the probes, fed in one way.

    Attributes:
        spec: The way; None where there is no such one.
        units: float32 [probe, …] by part: `representation`, `outputs`, `early:I`, `late:I`.
        lacking: Why a part is missing, by part.
        refusal: Why there are none at all; '' where the way is the same as an earlier one, too.
        deterministic: Whether two runs gave the same bits; None where there was one.
    """

    spec: InputSpec | None
    units: Mapping[str, Float32] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    deterministic: bool | None = None

    def layers(self, group: str) -> tuple[Float32, ...]:
        """Returns the layers of a group, `early` or `late`, in their order."""
        parts = sorted(part for part in self.units if part.startswith(f"{group}:"))
        return tuple(self.units[part] for part in parts)


@dataclass(frozen=True, eq=False)
class Observation:
    """What was seen of one model: a way each, and what its file holds."""

    ways: tuple[Seen, ...]
    findings: tuple[Finding, ...]


def watch_all(
    sources: Mapping[str, Source],
    inputs: Mapping[str, Sequence[InputOptions]],
    probes: Probes,
    options: Options,
    stop: threading.Event,
    leave_out: Callable[[Failure], None],
    *,
    layers: bool,
) -> dict[str, Observation]:
    """Returns what models make of probes, by name; what fails costs only itself.

    Args:
        sources: Models by name; those that `inputs` names are run.
        inputs: The ways in which each is fed.
        probes: The probes.
        options: Where and within which bounds.
        stop: Ends the work when it is set.
        leave_out: Told of models that cannot be run.
        layers: Whether tensors within the models are wanted, too.
    """
    workers: Workers[Observation] = Workers(
        SERVE,
        ["cpu"] * options.workers,
        memory=place_of(options).memory,
        seconds=options.limits.seconds,
        stop=stop,
    )

    def ask(name: str, channel: Channel) -> Observation:
        ways = tuple(inputs[name])
        channel.send(
            Watch(
                place_of(options),
                sources[name],
                options.at,
                ways,
                probes.kind,
                pack(probes.values),
                layers,
            )
        )
        most = 8 * len(ways) * min(4 * MOST * len(probes.values), MAX_MAPS)
        answer = expect(channel, Watched, name, MAX_MESSAGE + most)
        if len(answer.ways) != len(ways):
            raise WorkerError("its worker saw other ways to feed it than there are", model=name)
        return Observation(
            tuple(_seen(way, len(probes.values), name) for way in answer.ways),
            tuple(
                Finding(clean(f.kind), clean(f.text, MAX_TEXT)) for f in answer.findings[:_FINDINGS]
            ),
        )

    names = [name for name in sources if name in inputs]
    jobs = [lambda channel, _, n=name: ask(n, channel) for name in names]
    found = {}
    for number, outcome in workers.run(jobs):
        if isinstance(outcome, Exception):
            leave_out(failure_of(names[number], outcome))
        else:
            found[names[number]] = outcome
    return found


def _seen(way: Way, count: int, name: str) -> Seen:
    units, lacking = {}, {}
    for part, given in way.units.items():
        values = _values(given, count, name)
        if values is None:
            lacking[clean(part)] = clean(given.lacking, MAX_TEXT)
        else:
            units[clean(part)] = values
    return Seen(way.spec, units, lacking, clean(way.refusal, MAX_TEXT), way.deterministic)


def _values(given: Units, count: int, name: str) -> Float32 | None:
    """Returns units that a worker sent, once they make sense.

    Raises:
        WorkerError: They do not.
    """
    if given.values is None:
        return None
    inner = given.values.shape[1:]
    sensible = 1 <= len(inner) <= _AXES and min(inner) > 0 and math.prod(inner) <= MOST
    values = unpack(given.values, np.float32, (count, *inner)) if sensible else None
    if values is None or not np.isfinite(values).all():
        raise WorkerError("its worker sent units that make no sense", model=name)
    return values
