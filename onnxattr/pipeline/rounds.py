"""Has models examined on growing blocks of probes, until their order is decided."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import StoreError, UsageError
from onnxattr.pipeline.gathered import Gathered, LeaveOut
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress
from onnxattr.pipeline.outcome import Examined
from onnxattr.pipeline.space import examine_all
from onnxattr.probes import hash_values
from onnxattr.space import many
from onnxattr.space.looks import planned_looks
from onnxattr.space.sequential import Contest, Standing, StoppingRule
from onnxattr.store import Store
from onnxattr.types import IMAGE, Failure, Parity, Probes, Settled, Stopping


def require_decomposable(options: Options) -> None:
    """Makes sure that what orders the models is a mean of one number a probe.

    Raises:
        UsageError: Another measure is asked for.
    """
    others = [name for name in options.measures if name != ATTRIBUTION]
    if others:
        raise UsageError(
            f"--until-stable stops by `{ATTRIBUTION}` alone: `{others[0]}` is of all probes at "
            "once, and no mean of one number a probe",
            hint=f"leave --until-stable out for `{others[0]}`",
        )


def gather_until_stable(
    sources: Mapping[str, Source],
    given: Probes,
    options: Options,
    store: Store | None,
    progress: Progress,
    stop: threading.Event,
    leave_out: LeaveOut,
    *,
    target: str | None,
    wanted: StoppingRule,
) -> Gathered:
    """Returns the models on as many probes as it takes to decide the closest sources.

    Probes are taken in a random order, drawn by the seed. After each planned number of them, models
    are compared on those so far, centred by the mean map over these; the next block is shown
    only to targets that are not settled and to sources that may still be among their closest. Where
    a model was not shown a probe its map is NaN.

    Args:
        sources: Models by name.
        given: The probes that there are.
        options: What decides the maps.
        store: Where finished maps are kept.
        progress: Told of what is going on.
        stop: Ends the work when it is set; what the rounds before have found is returned.
        leave_out: Told of models that cannot be used, whichever round finds it out.
        target: The model whose sources are to be decided; None for all models.
        wanted: What is to be decided.
    """
    total = len(given.values)
    order = np.random.default_rng(options.seed).permutation(total)
    plan = planned_looks(wanted.minimum, total)
    background = given.values[order[: (plan or (total,))[0]]]
    found: dict[str, Examined] = {}
    unfinished: list[str] = []
    contests: dict[str, _Asked] = {}
    playing, last = set(sources), 0
    error: StoreError | None = None
    for look in plan or (total,):
        block = _some(given, order[last:look])
        wants = {name: sources[name] for name in sources if name in playing}
        examiner = Examiner(
            block, options, store, len(sources), background=background, again=bool(last)
        )
        lost: set[str] = set()

        def drop(failure: Failure, lost: set[str] = lost) -> None:
            lost.add(failure.name)
            leave_out(failure)

        made, missed = examine_all(wants, examiner, options, progress, stop, drop)
        error = error or examiner.store_error
        for name in lost:
            found.pop(name, None)
        for name, one in made.items():
            found[name] = joined(found[name], one) if name in found else one
        last = look
        if missed or stop.is_set():
            unfinished = missed
            break
        names = [name for name in sources if name in playing and name in found]
        if not contests:
            asked = [name for name in names if target in (None, name)]
            contests = {name: _Asked(name, names, plan, wanted) for name in asked}
        cosines = _cosines([found[name] for name in names], options, images=given.kind == IMAGE)
        playing = set()
        for name, contest in contests.items():
            if name in names and not contest.settled:
                playing |= contest.look(cosines(names.index(name)), names)
        if len(playing) < 2:
            break
    shown = {name: len(one.maps.values) for name, one in found.items()}
    return Gathered(
        probes=_some(given, order[:last]),
        outcomes={name: _filled(one, last) for name, one in found.items()},
        unfinished=unfinished,
        store_error=error,
        missing={name: last - count for name, count in shown.items()},
        stopping=Stopping(
            top=wanted.top,
            confidence=wanted.confidence,
            minimum=wanted.minimum,
            probes=last,
            total=total,
            shown=shown,
            targets=tuple(
                outcome
                for name, contest in contests.items()
                if name in found and (outcome := contest.outcome()).closest
            ),
        ),
    )


def _cosines(
    examined: Sequence[Examined], options: Options, *, images: bool
) -> Callable[[int], Float64]:
    """Returns what gives the cosines of all models with one of them, [model, probe].

    Of so many models that the cosines of all pairs have no room, they are made one target at a
    time.
    """
    maps = [one.maps.values for one in examined]
    names = [one.summary.name for one in examined]
    compared = many.compare(maps, names, centred=not options.paper, images=images, whole=False)
    if many.fits(len(maps), len(maps[0]) if maps else 0):
        return compared.per_probe.__getitem__

    def row(place: int) -> Float64:
        return many.column(compared, maps, place, images=images).per_probe[:, 0]

    return row


class _Asked:
    """A target, and how its contest stands."""

    def __init__(
        self, name: str, names: Sequence[str], looks: tuple[int, ...], wanted: StoppingRule
    ) -> None:
        self._name = name
        self._sources = [other for other in names if other != name]
        self._contest = Contest(len(self._sources), looks, wanted)
        self._standing: Standing | None = None

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._standing is not None and self._standing.settled

    def look(self, cosines: Float64, names: Sequence[str]) -> set[str]:
        """Returns which models the next probes must be shown to, for this target.

        Args:
            cosines: Of the target with each of `names`, [model, probe].
            names: Of the models that were shown all probes so far.
        """
        places = {name: place for place, name in enumerate(names)}
        scores = np.full((len(self._sources), cosines.shape[1]), np.nan)
        for number, source in enumerate(self._sources):
            if source in places:
                scores[number] = cosines[places[source]]
        gone = [number for number, source in enumerate(self._sources) if source not in places]
        self._standing = standing = self._contest.look(scores, without=gone)
        if standing.settled or not self._sources:
            return set()
        return {self._name, *(self._sources[number] for number in standing.playing)}

    def outcome(self) -> Settled:
        """Returns what there is to be said of the target."""
        standing = self._standing
        if standing is None:
            return Settled(self._name, 0, (), (), ())
        name = self._sources.__getitem__
        return Settled(
            target=self._name,
            probes=standing.probes,
            closest=tuple(map(name, standing.order)),
            decided=standing.decided,
            ties=tuple((name(one), name(other)) for one, other in standing.ties),
        )


def joined(first: Examined, second: Examined) -> Examined:
    """Returns what is known of a model from two blocks of probes, the second behind the first."""
    before, after = first.summary, second.summary
    parity = before.parity
    if before.parity and after.parity:
        parity = Parity(
            error=max(before.parity.error, after.parity.error),
            tolerance=max(before.parity.tolerance, after.parity.tolerance),
            probes=before.parity.probes + after.parity.probes,
        )
    maps = dataclasses.replace(
        first.maps,
        values=np.concatenate([first.maps.values, second.maps.values]),
        probes=first.maps.probes + second.maps.probes,
        batch=min(first.maps.batch, second.maps.batch),
        settings={**first.maps.settings, **second.maps.settings},
    )
    seconds = {
        part: first.seconds.get(part, 0.0) + second.seconds.get(part, 0.0)
        for part in (*first.seconds, *second.seconds)
    }
    return dataclasses.replace(
        first,
        summary=dataclasses.replace(before, parity=parity, batch=maps.batch),
        made=maps,
        stored=first.stored and second.stored,
        seconds=seconds,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
    )


def _filled(one: Examined, count: int) -> Examined:
    """Returns a model with NaN for the maps of the probes that it was not shown."""
    lacking = count - len(one.maps.values)
    if not lacking:
        return one
    none: Float32 = np.full((lacking, *one.maps.values.shape[1:]), np.nan, np.float32)
    values = np.concatenate([one.maps.values, none])
    return dataclasses.replace(one, made=dataclasses.replace(one.maps, values=values))


def _some(given: Probes, which: np.ndarray) -> Probes:
    """Returns some of the probes, in the order of `which`."""
    values = given.values[which]
    names = tuple(given.names[number] for number in which)
    return dataclasses.replace(given, values=values, names=names, sha256=hash_values(values))
