"""How alike two models behave, by measures that see what disguises leave. Numpy on arrays.

It imports measures of `space`, and nothing that touches a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxattr.arrays import Float32, Float64
from onnxattr.errors import InputError, ProbeError
from onnxattr.space.canvas import overlap
from onnxattr.space.measures import cka, predictability, rsa
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.similarity import mean_cosines, similarity

#: Side of the grid at most, in places, on which channels of two models meet.
SIDE = 8

#: A channel that varies less than this, as a part of the largest of its layer, is dead.
_DEAD = 1e-6


@dataclass(frozen=True, eq=False)
class Traces:
    """What one model made of the probes; a part that there is not is None.

    Attributes:
        name: Of the model.
        gradients: Signed gradient × input, whitened over the representation: maps [probe, y, x] by
            the method `whitened`, or [probe, …] of arrays.
        representation: [probe, unit] or [probe, channel, y, x].
        outputs: What it says of each probe, likewise.
        early: Layers near the input, each [probe, channel, y, x], [probe, channel, place] or
            [probe, channel]; the first one is the model's own.
        late: Some near the representation, likewise.
        kept: What measures made of it.
    """

    name: str
    gradients: Float32 | None = None
    representation: Float32 | None = None
    outputs: Float32 | None = None
    early: tuple[Float32, ...] = ()
    late: tuple[Float32, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Measure:
    """One way to compare a suspect with a reference.

    Attributes:
        compare: From the traces of a reference and a suspect to a number, 1 for the same; None
            where one of them lacks what is compared.
        decides: Whether a verdict may hang on it.
        about: What it says, in one line.
    """

    compare: Callable[[Traces, Traces], float | None]
    decides: bool
    about: str


def gradients(reference: Traces, suspect: Traces) -> float | None:
    """Returns the mean cosine over the probes of the whitened gradient × input, −1..1.

    It does not change under an invertible linear map of the representation's channels, up to the
    ridge of the whitening, and not at all under a rotation.
    """
    one, other = reference.gradients, suspect.gradients
    if one is None or other is None or (one.ndim != 3 and one.shape != other.shape):
        return None
    if one.ndim != other.ndim:
        return None
    both = similarity([one, other], ["", ""], centred=False, images=one.ndim == 3)
    return _mean(both.per_probe[0, 1])


def early(reference: Traces, suspect: Traces) -> float | None:
    """Returns how well channels of an early layer match, 0..1; as `late`."""
    return _best(reference.early, suspect.early)


def late(reference: Traces, suspect: Traces) -> float | None:
    """Returns how well channels of a late layer of the reference match, 0..1.

    They are matched with each of some layers of the suspect, of which one may have been put in or
    taken away, and the best of these counts: see `matched`.
    """
    return _best(reference.late, suspect.late)


def predicts(reference: Traces, suspect: Traces) -> float | None:
    """Returns how well the reference's representation predicts the suspect's, about 0..1."""
    return _predicted(reference, suspect)


def predicted(reference: Traces, suspect: Traces) -> float | None:
    """Returns how well the suspect's representation predicts the reference's, about 0..1."""
    return _predicted(suspect, reference)


def representations(reference: Traces, suspect: Traces) -> float | None:
    """Returns RSA of the two representations, −1..1 (Dwivedi & Roig 2019)."""
    return _of_space(reference, suspect, "rsa", rsa)


def kernels(reference: Traces, suspect: Traces) -> float | None:
    """Returns the linear CKA of the two representations, unbiased (Kornblith et al. 2019)."""
    return _of_space(reference, suspect, "cka", cka)


#: By name, in the order in which they are shown. Early layers are alike where models merely share
#: an initial seed, or a task of edges and colours: they are shown and decide nothing.
MEASURES: Mapping[str, Measure] = {
    "whitened gradients": Measure(gradients, True, "signed gradient × input, whitened"),
    "late channels": Measure(late, True, "channels of a late layer, matched"),
    "reference predicts": Measure(predicts, True, "the suspect, from the reference"),
    "suspect predicts": Measure(predicted, True, "the reference, from the suspect"),
    "rsa": Measure(representations, True, "whether the same probes are alike to both"),
    "cka": Measure(kernels, True, "linear alignment of the representations"),
    "early channels": Measure(early, False, "channels of an early layer, matched"),
}


def compare(reference: Traces, suspect: Traces) -> dict[str, float]:
    """Returns what each measure says of two models, NaN where it says nothing.

    Args:
        reference: A known model.
        suspect: Another, shown the same probes in the same order.
    """
    found = {}
    for name, measure in MEASURES.items():
        value = measure.compare(reference, suspect)
        found[name] = float("nan") if value is None else value
    return found


def release(traces: Traces) -> None:
    """Lets go of what a model is predicted from, which is some hundred megabytes and made again."""
    if (known := traces.kept.get("predictability")) is not None:
        predictability.release(known)


def headroom(value: float, baseline: float) -> float:
    """Returns (value − baseline) / (1 − baseline), at least −1; NaN where there is no room.

    How much of what a baseline leaves is reached: 1 is the same model, 0 as close as the baseline.
    This makes scores of references comparable, some of which are like any other model and some
    like none.
    """
    room = 1.0 - baseline
    if not room > 1e-9:
        return float("nan")
    return max(-1.0, (value - baseline) / room)


def combined(headrooms: Mapping[str, float]) -> float:
    """Returns one number for all measures that decide: the mean of their two largest headrooms.

    Each disguise leaves traces in some of the measures and none in others, so that a mean of all
    would drown them; a single largest one would follow whichever measure errs. NaN where no measure
    says anything.

    Args:
        headrooms: By the names of `MEASURES`; NaN where a measure says nothing.
    """
    values = sorted(
        (v for name, v in headrooms.items() if MEASURES[name].decides and not np.isnan(v)),
        reverse=True,
    )
    return float(np.mean(values[:2])) if values else float("nan")


def matched(one: Float64, other: Float64) -> float:
    """Returns the mean |correlation| of channels that are matched one to one, 0..1.

    The assignment is the best there is (Hungarian method); correlation is over all probes and
    places, so that neither the order of channels nor their scale, sign or offset counts. Channels
    that never change are left out; where one model has more than the other, the rest is too.

    Args:
        one: [probe, channel, y, x], [probe, channel, place] or [probe, channel].
        other: Likewise; maps of other sides meet on a grid of 8×8 at most.
    """
    from scipy.optimize import linear_sum_assignment

    first, second = (_standardised(rows) for rows in _together(one, other))
    if not len(first) or not len(second):
        return 0.0
    found = np.abs(first @ second.T) / first.shape[1]
    return float(np.clip(found[linear_sum_assignment(found, maximize=True)].mean(), 0.0, 1.0))


def _best(reference: Sequence[Float32], suspect: Sequence[Float32]) -> float | None:
    if not reference or not suspect:
        return None
    own = np.asarray(reference[0], np.float64)
    return max(matched(own, np.asarray(layer, np.float64)) for layer in suspect)


def _together(one: Float64, other: Float64) -> Sequence[Float64]:
    """Returns both as [channel, sample], with the same samples."""
    if one.ndim != other.ndim or (one.ndim == 3 and one.shape[2] != other.shape[2]):
        # A map and a vector, or rows of other lengths: what is left of both is a probe's mean.
        one, other = (v.reshape(*v.shape[:2], -1).mean(axis=2) for v in (one, other))
    if one.ndim == 4:
        height, width = (min(one.shape[axis], other.shape[axis], SIDE) for axis in (2, 3))
        one, other = (
            np.asarray(overlap(v.shape[2], height) @ v @ overlap(v.shape[3], width).T)
            for v in (one, other)
        )
    return [np.moveaxis(v, 1, 0).reshape(v.shape[1], -1) for v in (one, other)]


def _standardised(rows: Float64) -> Float64:
    """Returns the rows that vary, at mean 0 and variance 1."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt((rows**2).mean(axis=1))
    live = spread > _DEAD * max(float(spread.max(initial=0.0)), np.finfo(np.float64).tiny)
    result: Float64 = rows[live] / spread[live, None]
    return result


def _predicted(source: Traces, target: Traces) -> float | None:
    if source.representation is None or target.representation is None:
        return None
    known = [_kept(traces, "predictability", predictability.prepare) for traces in (source, target)]
    if any(each is None for each in known):
        return None
    return _mean(predictability.of_representation(*known))


def _of_space(reference: Traces, suspect: Traces, name: str, measure: Any) -> float | None:
    if reference.representation is None or suspect.representation is None:
        return None
    known = [_kept(traces, name, measure.prepare) for traces in (reference, suspect)]
    if any(each is None for each in known):
        return None
    return _mean(measure.compare(*known))


def _kept(traces: Traces, name: str, prepare: Callable[[Evidence], Any]) -> Any:
    """Returns what a measure makes of a model, once; None where it can make nothing of it."""
    if name not in traces.kept:
        evidence = Evidence(name=traces.name, representation=traces.representation)
        try:
            traces.kept[name] = prepare(evidence)
        except (InputError, ProbeError):
            traces.kept[name] = None
    return traces.kept[name]


def _mean(per_probe: Float64) -> float | None:
    value = float(mean_cosines(per_probe))
    return None if np.isnan(value) else value
