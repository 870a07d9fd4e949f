"""Whether a set of probes is far from what the models know, by what the models make of it."""

import dataclasses
import threading
from collections.abc import Mapping

from onnxattr.pipeline.gathered import LeaveOut
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress
from onnxattr.pipeline.space import ModelSpace, examine_all, prepare
from onnxattr.space.domain import FAMILIAR, FEWEST, accord
from onnxattr.space.similarity import similarity
from onnxattr.store import Store
from onnxattr.types import IMAGE, Failure

#: Photographs of the built-in set that probes are held against.
PHOTOGRAPHS = 24


def check_probes(
    space: ModelSpace,
    sources: Mapping[str, Source],
    options: Options,
    store: Store | None,
    progress: Progress,
    stop: threading.Event,
) -> tuple[str, ...]:
    """Returns what is to be said of the probes, a line, or two where a model could not be asked.

    The models are examined on some of the built-in photographs as well. Where they are not alike
    there as they are on the probes, the probes show them something else than photographs do.

    Args:
        space: The models as they were examined on the probes.
        sources: Where they are, by name.
        options: What decides the maps.
        store: Where finished maps are kept.
        progress: Told of what is going on.
        stop: Ends the work when it is set.
    """
    names = [summary.name for summary in space.summaries]
    if space.probes.kind != IMAGE:
        return ("--check-probes says nothing of arrays and tokens: there are no built-in ones",)
    if space.probes.source == "built-in":
        return ("--check-probes says nothing of the built-in probes: others are held against them",)
    if len(names) < FEWEST:
        return (f"--check-probes takes {FEWEST} models or more, and there are {len(names)}",)
    compared = space.similarity
    if compared is None:
        return ("--check-probes compares maps, and none were made: `--measure attribution` does",)
    if not compared.matrix.size:
        return (f"--check-probes says nothing here: {len(names)} models are too many to compare",)
    varied = dataclasses.replace(options, measure=ATTRIBUTION, limit=PHOTOGRAPHS)
    _, photographs = prepare(None, varied, stop)
    progress.begin(len(names), PHOTOGRAPHS, "built-in photographs")
    lost: list[str] = []

    def drop(failure: Failure) -> None:
        lost.append(failure.name)

    leave_out: LeaveOut = drop
    examiner = Examiner(photographs, varied, store, len(names))
    wanted = {name: sources[name] for name in names}
    found, missed = examine_all(wanted, examiner, varied, progress, stop, leave_out)
    both = [number for number, name in enumerate(names) if name in found]
    if missed or len(both) < FEWEST:
        return ("the probes could not be held against photographs: too few models were finished",)
    there = similarity(
        [found[names[number]].maps.values for number in both],
        [names[number] for number in both],
        centred=not options.paper,
    )
    here = compared.matrix[both][:, both]
    value = accord(here, there.matrix)
    if value >= FAMILIAR:
        return ()
    return (
        "the probes are far from photographs to these models: how alike the models are on them "
        f"correlates by {value:.2f} with how alike they are on {PHOTOGRAPHS} built-in photographs, "
        f"and {FAMILIAR} or more is usual; unless the models are made for such inputs, take others",
    )
