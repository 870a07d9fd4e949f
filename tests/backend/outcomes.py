"""What becomes of each case in each mode, worked out once."""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cases import Case, arranged, is_float, same_in_both_modes, suite
from compare import ATOL, RTOL, difference, to_torch
from exclusions import GEOMETRY
from gradients import (
    ENGINES,
    SHIFTS,
    STEP,
    TOLERANCE,
    Engine,
    Run,
    Slope,
    Total,
    directions,
    flat,
    moved,
    slope,
    wide,
    widened,
)
from torch import nn

import onnxattr
from onnxattr.errors import OnnxattrError

#: How far the gradient of the model in its own type may be from that in float64.
OWN_TYPE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class Outcome:
    """What became of a case in a mode.

    Attributes:
        problem: What is wrong, or an empty string.
        checked: Inputs whose gradient was compared.
        zero: Those of them whose gradient is zero everywhere it was looked at.
        engine: The other engine that agrees, by input; empty where none could say.
        beside: Inputs whose gradient was compared beside the suite's values, which are at a kink.
    """

    problem: str = ""
    checked: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def mode_of(case: Case, mode: str) -> str:
    """Returns the mode, or `fed` where both are the same."""
    return "fed" if same_in_both_modes(case) else mode


def _kept(case: Case) -> bool:
    return case.kind != "real"


@functools.cache
def _converted(id: str, mode: str) -> nn.Module:
    return onnxattr.to_torch(arranged(suite()[id], mode)[0])


def converted(case: Case, mode: str) -> nn.Module:
    """Returns the module of a case; the large ones are made anew."""
    return (_converted if _kept(case) else _converted.__wrapped__)(case.id, mode)


@functools.cache
def _values(id: str, mode: str) -> str:
    case = suite()[id]
    try:
        module = converted(case, mode)
    except OnnxattrError as error:
        return f"refused: {_words(error)}"
    _, names, first = arranged(case, mode)
    given = [v.name for v in case.model.graph.input]
    for inputs, expected in case.sets[: 1 if mode == "const" else None]:
        named = dict(zip(names, first, strict=True)) | {
            n: v for n, v in zip(given, inputs, strict=False) if n in names
        }
        try:
            with torch.no_grad():
                got = module(*(to_torch(named[n]) for n in names))
        except Exception as error:
            return f"{type(error).__name__}: {_words(error)}"
        got = list(got) if isinstance(got, tuple) else [got]
        found = difference(list(expected), got, max(case.rtol, RTOL), max(case.atol, ATOL))
        if found:
            return found
    return ""


def values(case: Case, mode: str) -> str:
    """Returns what is wrong with the values of a case, or an empty string."""
    return _values(case.id, mode_of(case, mode))


def gradient(case: Case, mode: str) -> Outcome:
    """Returns what became of the gradients of a case."""
    return _gradient(case.id, mode_of(case, mode))


def has_gradients(case: Case) -> bool:
    """Whether floating point goes in and comes out."""
    inputs, outputs = case.sets[0]
    stored = case.model.graph.initializer
    return (any(_floats(v) for v in inputs) or bool(stored)) and any(_floats(v, 0) for v in outputs)


def _floats(value: Any, least: int = 1) -> bool:
    if isinstance(value, list):
        return any(_floats(v, least) for v in value)
    return is_float(value) and value.size >= least


def _words(error: Exception) -> str:
    return " ".join((getattr(error, "message", "") or str(error)).split())[:300]


@functools.cache
def _gradient(id: str, mode: str) -> Outcome:
    case = suite()[id]
    try:
        return Gradients(case, mode).outcome()
    except Exception as error:
        return Outcome(f"{type(error).__name__}: {_words(error)}")


class Gradients:
    """The gradients of a case in a mode."""

    def __init__(self, case: Case, mode: str) -> None:
        self.case, self.mode = case, mode
        model, self.names, self.feeds = arranged(case, mode)
        self.module = onnxattr.to_torch(widened(model))
        still = {
            name
            for node in model.graph.node
            for i, name in enumerate(node.input)
            if (node.op_type, i) in GEOMETRY
        }
        self.inputs = [
            i
            for i, (n, v) in enumerate(zip(self.names, self.feeds, strict=True))
            if is_float(v) and v.size > 0 and n not in still
        ]

    def outcome(self) -> Outcome:
        """Returns what became of them, at the first point where each is conclusive."""
        found: dict[int, _Point] = {}
        reasons: dict[int, str] = {}
        for shift in SHIFTS:
            left = [k for k in self.inputs if k not in found]
            if not left:
                break
            point = _Point(self, shift)
            if shift == 0 and (problem := point.own_type()):
                return Outcome(problem)
            for k in left:
                problem, certain = point.check(k)
                if not problem:
                    found[k] = point
                elif certain:
                    where = f" (moved by {shift})" if shift else ""
                    return Outcome(f"input `{self.names[k]}`: {problem}{where}")
                reasons.setdefault(k, problem)
        for k in self.inputs:
            if k not in found:
                return Outcome(f"input `{self.names[k]}`: {reasons[k]}")
        return Outcome(
            "",
            tuple(self.names[k] for k in self.inputs),
            tuple(self.names[k] for k in self.inputs if not found[k].grads[k].any()),
            tuple(found[k].engine.get(k, "") for k in self.inputs),
            tuple(self.names[k] for k in self.inputs if found[k].shift),
        )


class _Point:
    """The gradients at one point."""

    def __init__(self, owner: Gradients, shift: float) -> None:
        self.owner, self.shift = owner, shift
        self.engine: dict[int, str] = {}
        self.feeds = [
            moved(v, shift if i in owner.inputs else 0, n)
            for i, (n, v) in enumerate(zip(owner.names, owner.feeds, strict=True))
        ]
        self.tensors = [to_torch(v) for v in self.feeds]
        self.total, _, self.grads = self._gradients(owner.module, self.tensors)

    def _gradients(
        self, module: nn.Module, tensors: Sequence[Any]
    ) -> tuple[Total, Any, dict[int, torch.Tensor]]:
        probes = list(tensors)
        for k in self.owner.inputs:
            probes[k] = tensors[k].clone().requires_grad_()
        outputs = module(*probes)
        total = Total(outputs)
        value = total(outputs)
        if not value.requires_grad:
            zeros = {k: torch.zeros_like(tensors[k]) for k in self.owner.inputs}
            return total, outputs, zeros
        wanted = [probes[k] for k in self.owner.inputs]
        grads = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
        return total, outputs, dict(zip(self.owner.inputs, grads, strict=True))

    def own_type(self) -> str:
        """Returns what is wrong with the gradients of the model as it is, not in float64."""
        module = converted(self.owner.case, self.owner.mode)
        given = [to_torch(v) for v in self.owner.feeds]
        _, outputs, grads = self._gradients(module, given)
        types = {t.dtype for t in flat([given, outputs])}
        tolerance = max(limit for dtype, limit in OWN_TYPE.items() if dtype in types)
        for k, own in grads.items():
            name, wide = self.owner.names[k], self.grads[k]
            if own.dtype != given[k].dtype:
                return f"input `{name}`: a gradient of {own.dtype} for one of {given[k].dtype}"
            finite = own.isfinite()
            if not torch.equal(finite, wide.isfinite()):
                return f"input `{name}`: the gradient is finite in one type, not in another"
            off = float((own.double() - wide)[finite].norm())
            size = float(wide[finite].norm())
            if off > tolerance * (size + 1e-3):
                return f"input `{name}`: off by {off:.3g} of {size:.3g} in its own type"
        return ""

    def check(self, k: int) -> tuple[str, bool]:
        """Returns what is wrong with the gradient of an input, and whether that is certain."""
        grad = self.grads[k]
        if not grad.numel():
            return "", True
        good = grad.isfinite()
        for place in (~good).nonzero()[:8]:
            # It may be infinite where the function is steeper than any line, and only there.
            unit = torch.zeros_like(grad)
            unit[tuple(place)] = 1
            if self.total.whole and self._slope(k, unit).smooth:
                return "the gradient is not finite where the function is smooth", True
        for n, drawn in enumerate(directions(tuple(grad.shape))):
            direction = torch.where(good, torch.from_numpy(drawn), 0.0)
            summands = torch.where(good, grad, 0.0) * direction
            expected = float(summands.sum())
            scale = float(summands.norm()) + abs(expected)
            ours = self._slope(k, direction)
            if not ours.smooth:
                return "it is smooth at no point that was tried", False
            if abs(ours.value - expected) > TOLERANCE * (scale + abs(ours.value)) + ours.error:
                return f"{expected:.6g}, finite differences give {ours.value:.6g}", True
            name, theirs, tolerance = self._theirs(k, n, direction.numpy())
            if not name:
                continue
            self.engine[k] = name
            if (
                abs(theirs.value - expected)
                > tolerance * (scale + abs(theirs.value)) + theirs.error
            ):
                return f"{expected:.6g}, {name} gives {theirs.value:.6g}", True
        if not good.all():
            return "the gradient is finite at no point that was tried", False
        return "", True

    def _slope(self, k: int, direction: torch.Tensor) -> Slope:
        def along(h: float) -> float:
            feeds = list(self.tensors)
            feeds[k] = feeds[k] + h * direction
            with torch.no_grad():
                return float(self.total(self.owner.module(*feeds)))

        return slope(along, self.total.size, STEP, 1e-15)

    def _theirs(self, k: int, n: int, direction: np.ndarray) -> tuple[str, Slope, float]:
        """Returns the slope that another engine finds, its name, and how exact it is."""
        case, owner = self.owner.case, self.owner
        others = _others(case.id)
        given = dict(zip(owner.names, self.feeds, strict=True))
        feeds = [given.get(n, wide(v)) for n, v in zip(others.names, others.feeds, strict=True)]
        key = (case.id, owner.names[k], n, self.shift, self.shift and owner.mode)
        if key not in _SLOPES:
            _SLOPES[key] = others.slope(feeds, others.names.index(owner.names[k]), direction)
        return _SLOPES[key]


_SLOPES: dict[Any, tuple[str, Slope, float]] = {}


class Others:
    """Other engines for a case, with everything fed: what does not know a node says nothing."""

    def __init__(self, case: Case) -> None:
        self.model, self.names, self.feeds = arranged(case, "fed")
        self.made: dict[str, Any] = {}

    def slope(
        self, feeds: Sequence[Any], k: int, direction: np.ndarray
    ) -> tuple[str, Slope, float]:
        """Returns the first engine that finds a slope, the slope, and its relative tolerance."""
        for engine in ENGINES:
            run = self._engine(engine)
            if run is None:
                continue
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    total = Total(run(feeds))

                    def along(h: float, run: Run = run, total: Total = total) -> float:
                        there = list(feeds)
                        there[k] = np.asarray(there[k] + h * direction)
                        return float(total(run(there)))

                    found = slope(along, total.size, engine.step, engine.precision)
                except Exception:
                    # It fails in whatever way: float64 is not of the operator's types, or it lacks
                    # the operator.
                    self.made[engine.name] = None
                    continue
            exact = found.error <= 0.05 * abs(found.value) + 1e-6 * total.size
            if found.smooth and exact:
                return engine.name, found, engine.tolerance
        return "", Slope(0.0, 0.0, False), 0.0

    def _engine(self, engine: Engine) -> Run | None:
        if engine.name not in self.made:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self.made[engine.name] = engine.make(self.model)
            except Exception:
                self.made[engine.name] = None
        return self.made[engine.name]


@functools.lru_cache(maxsize=4)
def _others(id: str) -> Others:
    return Others(suite()[id])
