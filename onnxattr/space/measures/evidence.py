"""What a measure is told of one model, and the checks that all measures share."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import InputError, ProbeError


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one model made of the probes; a part that no measure asks for may be left out.

    Attributes:
        name: Of the model, for messages.
        maps: Attribution maps, [probe, y, x], or [probe, …] of arrays.
        representation: [probe, unit], or [probe, channel, y, x] of a model that keeps places.
        outputs: What the model says of each probe, [probe, unit] or [probe, channel, y, x].
        field: Integrated gradients up to each step of the way to a probe, [probe, step, y, x] of
            images, [probe, step, number] of others; see `modelgif`.
    """

    name: str
    maps: np.ndarray[Any, Any] | None = None
    representation: np.ndarray[Any, Any] | None = None
    outputs: np.ndarray[Any, Any] | None = None
    field: np.ndarray[Any, Any] | None = None


def given(evidence: Evidence, which: str, measure: str, least: int) -> np.ndarray[Any, Any]:
    """Returns one part of the evidence as it is, [probe, …], once it can be compared.

    Args:
        evidence: Of a model.
        which: One of `table.PARTS`.
        measure: Who asks, for messages.
        least: Probes that the measure takes at least.

    Raises:
        InputError: The part is missing, empty or not finite.
        ProbeError: There are fewer than `least` probes.
    """
    found = getattr(evidence, which)
    if found is None:
        raise InputError(
            f"`{measure}` compares models by their {which}, and `{evidence.name}` has none",
            model=evidence.name,
        )
    values = np.asarray(found)
    count = values.shape[0] if values.ndim else 0
    if count < least:
        raise ProbeError(
            f"`{count}` probes are too few for `{measure}`",
            hint=f"it takes {least} or more",
            model=evidence.name,
        )
    values = values.reshape(count, -1) if values.ndim < 2 else values
    if not values.size:
        raise InputError(f"the {which} of `{evidence.name}` has no units", model=evidence.name)
    bad = count - int(np.isfinite(values).reshape(count, -1).all(axis=1).sum())
    if bad:
        raise InputError(
            f"`{evidence.name}` has values that are not finite in its {which}, on `{bad}` of "
            f"`{count}` probes",
            hint="leave out the model, or those probes for all models",
            model=evidence.name,
        )
    return values


def part(evidence: Evidence, which: str, measure: str, least: int) -> Float64:
    """Returns one part of the evidence as float64, [probe, …], at most 1 in size.

    All values are divided by the largest, so that no model is too faint or too strong to be squared
    twice. A part that is all zero stays so. Arguments and errors are those of `given`.
    """
    values: Float64 = np.asarray(given(evidence, which, measure, least), np.float64)
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


def flat(evidence: Evidence, which: str, measure: str, least: int) -> Float64:
    """Returns one part of the evidence with its units in a row: float64, [probe, unit]."""
    values = part(evidence, which, measure, least)
    return values.reshape(len(values), -1)


def same_probes(one: int, other: int) -> None:
    """Makes sure that two models saw as many probes.

    Raises:
        ProbeError: They did not.
    """
    if one != other:
        raise ProbeError(
            f"one model was shown `{one}` probes and the other `{other}`",
            hint="models are compared on the same probes, in the same order",
        )
