"""The parent's side of idle layers: nothing is concluded from weights that do nothing."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence

from onnxattr.errors import WorkerError
from onnxattr.execution.channel import Channel
from onnxattr.execution.local import Workers
from onnxattr.pipeline.job import SERVE, expect, failure_of, place_of
from onnxattr.pipeline.messages import FindIdle, Idle, Source, pack
from onnxattr.pipeline.options import Options
from onnxattr.types import Probes, Relation, Weighed
from onnxattr.types.weights import DERIVED, IDENTICAL, PARTIAL

#: Probes that are enough to see whether a layer does anything.
_PROBES = 4

#: What weights may say of which it is asked whether these weights do anything.
_ACCUSING = (IDENTICAL, DERIVED, PARTIAL)


def accused(suspect: str, relations: Sequence[Relation]) -> list[str]:
    """Returns the models whose weights make the suspect derived, if any do: it and references.

    Where the suspect is the same as a reference, weights have nothing to say any more.
    """
    if any(each.identical for each in relations):
        return []
    found = [e.reference for e in relations if e.finding and e.finding.kind in _ACCUSING]
    return [suspect, *found] if found else []


def without_idle(
    names: Sequence[str],
    weighed: Mapping[str, Weighed],
    sources: Mapping[str, Source],
    probes: Probes,
    options: Options,
    stop: threading.Event,
    say: Callable[[str], None],
) -> dict[str, Weighed]:
    """Returns the models among `names` that have idle layers, without these.

    Args:
        names: The models.
        weighed: Their weights.
        sources: Where they are.
        probes: What they are shown.
        options: Where and within which bounds.
        stop: Ends the work when it is set.
        say: Told of every model that has some, and of those of which it cannot be found out.
    """
    few = pack(probes.values[:_PROBES])
    workers: Workers[tuple[int, ...]] = Workers(
        SERVE,
        ["cpu"] * options.workers,
        memory=place_of(options).memory,
        seconds=options.limits.seconds,
        stop=stop,
    )

    def ask(name: str, channel: Channel) -> tuple[int, ...]:
        place, source = place_of(options), sources[name]
        channel.send(FindIdle(place, source, options.at, options.input, probes.kind, few))
        answer, count = expect(channel, Idle, name), len(weighed[name].weights.layers)
        if answer.layers != count or any(not 0 <= i < count for i in answer.idle):
            raise WorkerError("its worker saw other layers than before", model=name)
        return answer.idle

    asked = [name for name in names if name in weighed and name in sources]
    jobs = [lambda channel, _, n=name: ask(n, channel) for name in asked]
    found = {}
    for number, outcome in sorted(workers.run(jobs), key=lambda pair: pair[0]):
        name = asked[number]
        if isinstance(outcome, Exception):
            reason = failure_of(name, outcome).message
            say(f"{name}: whether its weights do anything was not found out: {reason}")
        elif outcome:
            layers = weighed[name].weights.layers
            count = sum(layers[i].weight.size for i in outcome)
            some = "1 layer" if len(outcome) == 1 else f"{len(outcome)} layers"
            say(
                f"{name}: {some} of {count:,} numbers change nothing that it makes of the probes, "
                "and are not compared"
            )
            kept = tuple(layer for i, layer in enumerate(layers) if i not in set(outcome))
            weights = dataclasses.replace(weighed[name].weights, layers=kept)
            found[name] = dataclasses.replace(weighed[name], weights=weights)
    return found
