"""Gradient fields along the way from one probe to another. `attribution.fields` makes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxattr.arrays import Float64
from onnxattr.errors import InputError
from onnxattr.space.canvas import to_canvas
from onnxattr.space.measures.evidence import Evidence, given, same_probes
from onnxattr.space.measures.table import FIELD

#: A way has two ends.
LEAST = 2


@dataclass(frozen=True, eq=False)
class Field:
    """A model as its gradient field.

    Attributes:
        values: [probe, step, y, x] or [probe, step, number]; as they were given: of many models,
            a copy in float64 would take twice the memory that they take already.
        norms: Of each step's field, [probe, step]; 0 where it is zero.
    """

    values: np.ndarray[Any, Any]
    norms: Float64


def references(count: int, seed: int) -> npt.NDArray[np.intp]:
    """Returns for each probe another one, from which the way to it leads, [probe].

    Song et al. 2023: as in the authors' code a random order of the same probes, in which none stays
    in its place. All probes are in one ring, so that each is the end of one way and the start of
    another. The same for every model.

    Args:
        count: Of the probes, two or more.
        seed: Of the order.
    """
    order = np.random.default_rng(seed).permutation(count)
    found = np.empty(count, np.intp)
    found[order] = np.roll(order, 1)
    return found


def prepare(evidence: Evidence) -> Field:
    """Returns a model's field, and its norms.

    Args:
        evidence: Of a model, with its field.

    Raises:
        InputError: The field is missing, not finite, or not [probe, step, …].
        ProbeError: There are fewer than two probes.
    """
    values = given(evidence, FIELD, "modelgif", LEAST)
    if values.ndim < 3:
        raise InputError(
            f"the field of `{evidence.name}` has {values.ndim} axes, and not a probe, a step and "
            "places",
            model=evidence.name,
        )
    if values.dtype != np.float32:
        # Whatever the size of float32, its square is at home in float64.
        values = np.asarray(values, np.float64)
        values = values / (np.abs(values).max() or 1.0)
    return Field(values, np.stack([_norms(_rows(each)) for each in values]))


def compare(source: Field, target: Field) -> Float64:
    """Returns the mean over the steps of the cosine of the two fields, −1..1, [probe].

    1 − the authors' cosine distance (Song et al. 2023). Symmetric; one number a probe, exactly. A
    step where a field is zero is left out, and a probe without a step left is NaN. Fields of images
    of two sizes meet on a canvas of the larger height and width, by area.
    O(probe · step · pixel), after a gradient for every probe and step.

    Raises:
        InputError: The two have not as many steps, or arrays of two sizes.
        ProbeError: They saw different numbers of probes.
    """
    one, other = source.values, target.values
    same_probes(len(one), len(other))
    images = one.ndim == other.ndim == 4
    if one.shape[1] != other.shape[1] or not (images or one.shape == other.shape):
        sizes = ["×".join(map(str, values.shape[1:])) for values in (one, other)]
        raise InputError(f"fields of {' and '.join(sizes)} cannot be compared")
    along = np.empty(source.norms.shape)
    for k in range(len(one)):
        norms = source.norms[k] * target.norms[k]
        if one.shape[2:] == other.shape[2:]:
            rows = _rows(one[k]), _rows(other[k])
        else:
            sides = max(one.shape[2], other.shape[2]), max(one.shape[3], other.shape[3])
            rows = _rows(to_canvas(one[k], *sides)), _rows(to_canvas(other[k], *sides))
            norms = _norms(rows[0]) * _norms(rows[1])
        along[k] = np.einsum("sp,sp->s", *rows)
        along[k] = np.divide(along[k], norms, out=np.full(len(norms), np.nan), where=norms > 0)
    along = np.clip(along, -1.0, 1.0)
    usable = ~np.isnan(along)
    total, steps = np.where(usable, along, 0.0).sum(axis=1), usable.sum(axis=1)
    values: Float64 = np.divide(total, steps, out=np.full(len(total), np.nan), where=steps > 0)
    return values


def _rows(field: np.ndarray[Any, Any]) -> Float64:
    """Returns one probe's field, [step, pixel]."""
    rows: Float64 = field.reshape(len(field), -1).astype(np.float64)
    return rows


def _norms(rows: Float64) -> Float64:
    norms: Float64 = np.sqrt(np.einsum("sp,sp->s", rows, rows))
    return norms
