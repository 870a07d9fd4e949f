"""Whether a ranking hangs on what was assumed of its models' inputs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence

from onnxattr.graph.options import InputOptions
from onnxattr.graph.range import DEVIATIONS, MEANS, RANGES
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.pipeline.space import ModelSpace, examine_all
from onnxattr.space import ranking
from onnxattr.space.similarity import similarity
from onnxattr.store import Store
from onnxattr.types import ASSUMED, Assumption, Failure, Summary, Target

#: What is put in the place of an assumed range: the others, and what ImageNet's pipelines give.
ALTERNATIVES = {
    **{f"{low:g} to {high:g}": InputOptions(range=(low, high)) for low, high in RANGES},
    "standardised": InputOptions(range=(0.0, 1.0), mean=MEANS, std=DEVIATIONS),
}


def undecided(summary: Summary) -> bool:
    """Whether nobody said, and nothing shows, which range a model wants."""
    return summary.spec.sources.get("range", "").startswith(ASSUMED)


def check_assumptions(
    space: ModelSpace,
    targets: Sequence[Target],
    sources: Mapping[str, Source],
    options: Options,
    store: Store | None,
    progress: Progress,
    stop: threading.Event,
) -> tuple[Assumption, ...]:
    """Returns what becomes of the closest source of each target under other plausible ranges.

    Each undecided model is fed in each other way, one model at a time: the others stay as they are.

    Args:
        space: The models as they were ranked.
        targets: The ranking itself, by the models' maps.
        sources: Where the models are, by name.
        options: What decided the numbers.
        store: Where finished maps are kept.
        progress: Told of what is going on.
        stop: Ends the work when it is set; what is finished is returned.
    """
    doubtful = {s.name: sources[s.name] for s in space.summaries if undecided(s)}
    found = []
    for label, other in ALTERNATIVES.items():
        given = dataclasses.replace(
            options.input, range=other.range, mean=other.mean, std=other.std
        )
        varied = dataclasses.replace(options, input=given, measure=ATTRIBUTION)
        # Undecided models are fed the range from 0 to 1, and nothing else is done.
        asked = doubtful if given.range != RANGES[0] or given.mean else {}
        if not asked or stop.is_set():
            continue
        progress.begin(len(asked), len(space.probes.images), f"range {label}")
        failures: dict[str, Failure] = {}
        examiner = Examiner(space.probes, varied, store, len(sources))

        def leave_out(failure: Failure, failures: dict[str, Failure] = failures) -> None:
            failures[failure.name] = failure

        examined, _ = examine_all(asked, examiner, varied, progress, stop, leave_out)
        for name in asked:
            if name in examined:
                changes = tuple(_changes(space, targets, name, examined[name], options))
                found.append(Assumption(name, "range", label, changes, ""))
            elif name in failures:
                found.append(Assumption(name, "range", label, (), failures[name].message))
    return tuple(sorted(found, key=lambda a: [s.name for s in space.summaries].index(a.model)))


def _changes(
    space: ModelSpace, targets: Sequence[Target], name: str, other: Examined, options: Options
) -> Iterator[str]:
    """Yields in words which targets have another closest source with the maps of one replaced."""
    names = [each.summary.name for each in space.examined]
    maps = [other if each.summary.name == name else each for each in space.examined]
    compared = similarity([e.maps.values for e in maps], names, centred=not options.paper)
    for target in targets:
        before = target.sources
        after = ranking.rank_sources(compared, names.index(target.name), seed=options.seed).sources
        if before and after and before[0].name != after[0].name:
            yield f"closest to {target.name}: {after[0].name} instead of {before[0].name}"


def lines(found: Sequence[Assumption]) -> Iterator[str]:
    """Yields what a reader must know of assumptions that were checked, a line each model."""
    for model in dict.fromkeys(a.model for a in found):
        about = [a for a in found if a.model == model]
        changing = [a for a in about if a.changes]
        for a in changing:
            yield f"{model} fed {a.value} would change the ranking: {'; '.join(a.changes)}"
        for a in about:
            if a.failure:
                yield f"{model} fed {a.value} could not be checked: {a.failure}"
        if not changing and not any(a.failure for a in about):
            yield (
                f"the closest sources stay the same whether {model} is fed "
                + ", ".join(a.value for a in about)
            )
