"""What becomes of each case in each mode, worked out once."""

import functools
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cases import Case, arranged, fed, is_float, is_random, same_in_both_modes, suite
from compare import ATOL, RTOL, difference, to_torch
from exclusions import GEOMETRY
from gradients import (
    DIRECTIONS,
    ENGINES,
    NETWORK_ENGINES,
    NETWORK_STEPS,
    SHIFTS,
    STEPS,
    TOLERANCE,
    Engine,
    Run,
    Slope,
    Total,
    direction,
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


#: Seconds of a run after which other engines are asked first.
SLOW = 0.05


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
    given = fed(case.model.graph)
    for inputs, expected in case.sets[: 1 if mode == "const" else None]:
        named = dict(zip(names, first, strict=True)) | {
            n: v for n, v in zip(given, inputs, strict=True) if n in names
        }
        try:
            with torch.no_grad():
                got = module(*(to_torch(named[n]) for n in names))
        except Exception as error:
            return f"{type(error).__name__}: {_words(error)}"
        got = list(got) if isinstance(got, tuple) else [got]
        rtol, atol = max(case.rtol, RTOL), max(case.atol, ATOL)
        if is_random(case):
            rtol, atol = np.inf, np.inf  # The type and the shape alone.
        found = difference(list(expected), got, rtol, atol)
        if found:
            return found
    return ""


def matching(text: str, patterns: Mapping[str, str]) -> str:
    """Returns the reason of the first pattern that matches, or an empty string."""
    text = re.sub(r"_expanded(_ver\d+)?(?= |$)", "", text)
    return next((reason for p, reason in patterns.items() if re.fullmatch(p, text)), "")


def values(case: Case, mode: str) -> str:
    """Returns what is wrong with the values of a case, or an empty string."""
    return _values(case.id, mode_of(case, mode))


def gradient(case: Case, mode: str) -> Outcome:
    """Returns what became of the gradients of a case."""
    return _gradient(case.id, mode_of(case, mode))


def has_gradients(case: Case) -> bool:
    """Whether floating point goes in and comes out, the same each time."""
    inputs, outputs = case.sets[0]
    stored = case.model.graph.initializer
    if is_random(case):
        return False
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
        self.model, self.names, self.feeds = arranged(case, mode, rough=True)
        self.module = onnxattr.to_torch(widened(self.model))
        still = {
            name
            for node in self.model.graph.node
            for i, name in enumerate(node.input)
            if (node.op_type, i) in GEOMETRY
        }
        self.inputs = [
            i
            for i, (n, v) in enumerate(zip(self.names, self.feeds, strict=True))
            if is_float(v) and v.size > 0 and n not in still
        ]
        #: What is moved at a time: one input; all of a network's, which has hundreds.
        self.groups = [(k,) for k in self.inputs]
        self.steps = STEPS
        self.is_network = case.kind == "real"
        if self.is_network:
            self.groups, self.steps = [tuple(self.inputs)], NETWORK_STEPS

    def outcome(self) -> Outcome:
        """Returns what became of them, at the first point where each is conclusive."""
        found: dict[tuple[int, ...], _Point] = {}
        reasons: dict[tuple[int, ...], str] = {}
        for shift in SHIFTS:
            # What is zero here may be so by chance, and is looked at elsewhere too.
            left = [
                group
                for group in self.groups
                if group not in found or (shift in SHIFTS[:3] and found[group].is_zero(group))
            ]
            if not left:
                break
            point = _Point(self, shift)
            if shift == 0 and (problem := point.own_type()):
                return Outcome(problem)
            for group in left:
                problem, certain = point.check(group)
                if not problem:
                    found[group] = point
                elif certain:
                    where = f" (moved by {shift})" if shift else ""
                    return Outcome(f"input {self.names_of(group)}: {problem}{where}")
                reasons.setdefault(group, problem)
        for group in self.groups:
            if group not in found:
                return Outcome(f"input {self.names_of(group)}: {reasons[group]}")
        zero = [g for g in self.groups if found[g].is_zero(g)]
        beside = [g for g in self.groups if found[g].shift]
        return Outcome(
            "",
            tuple(map(self.names_of, self.groups)),
            tuple(map(self.names_of, zero)),
            tuple(found[g].engine.get(g, "") for g in self.groups),
            tuple(map(self.names_of, beside)),
        )

    def names_of(self, group: tuple[int, ...]) -> str:
        """Returns the name of an input, or of the first of many."""
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        return self.names[group[0]] + more


class _Point:
    """The gradients at one point."""

    def __init__(self, owner: Gradients, shift: float) -> None:
        self.owner, self.shift = owner, shift
        self.engine: dict[tuple[int, ...], str] = {}
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
        owner = self.owner
        if owner.is_network:
            module = onnxattr.to_torch(owner.model)
        else:
            module = converted(owner.case, owner.mode)
        given = [to_torch(v) for v in self.owner.feeds]
        _, outputs, grads = self._gradients(module, given)
        types = {t.dtype for t in flat([given, outputs])}
        tolerance = max(limit for dtype, limit in OWN_TYPE.items() if dtype in types)
        if owner.is_network:
            tolerance *= 20  # Among a million kinks, some fall on the other side.
        # Some are zero but for rounding, of what is as large as the others.
        size = max([1e-2, *(float(g[g.isfinite()].norm()) for g in self.grads.values())])
        for k, own in grads.items():
            name, wide = self.owner.names[k], self.grads[k]
            if own.dtype != given[k].dtype:
                return f"input `{name}`: a gradient of {own.dtype} for one of {given[k].dtype}"
            finite = own.isfinite()
            if not torch.equal(finite, wide.isfinite()):
                return f"input `{name}`: the gradient is finite in one type, not in another"
            off = float((own.double() - wide)[finite].norm())
            if off > tolerance * size:
                return f"input `{name}`: off by {off:.3g} in its own type, of {size:.3g} in all"
        return ""

    def is_zero(self, group: tuple[int, ...]) -> bool:
        """Whether the gradients of inputs are zero, but for rounding."""
        least = 1e-14 * self.total.size
        return all(not (self.grads[k].abs() > least).any() for k in group)

    def check(self, group: tuple[int, ...]) -> tuple[str, bool]:
        """Returns what is wrong with the gradient of inputs, and whether that is certain."""
        good = {k: self.grads[k].isfinite() for k in group}
        for k in group:
            for place in (~good[k]).nonzero()[:8]:
                # It may be infinite where the function is steeper than any line, and only there.
                unit = torch.zeros_like(self.grads[k])
                unit[tuple(place)] = 1
                if self.total.whole and self._slope({k: unit}, STEPS[0]).smooth:
                    return "the gradient is not finite where the function is smooth", True
        for number in range(DIRECTIONS if len(group) == 1 else 1):
            ways = {k: torch.where(good[k], self._direction(k, number), 0.0) for k in group}
            terms = [(torch.where(good[k], self.grads[k], 0.0) * ways[k]).ravel() for k in group]
            expected, summands = (float(f(torch.cat(terms))) for f in (torch.sum, torch.norm))
            for step in self.owner.steps:
                ours = self._slope(ways, step)
                exact = ours.is_exact(expected, summands, 1e-7)
                if exact and ours.agrees(expected, summands, TOLERANCE):
                    break
            else:
                if not exact:
                    return "it is smooth at no point that was tried", False
                return f"{expected:.6g}, finite differences give {ours.value:.6g}", True
            name, theirs, agrees = self._theirs(ways, number, expected, summands)
            if name and not agrees:
                return f"{expected:.6g}, {name} gives {theirs.value:.6g}", True
            if name:
                self.engine[group] = name
        if not all(g.all() for g in good.values()):
            return "the gradient is finite at no point that was tried", False
        return "", True

    def _direction(self, k: int, number: int) -> torch.Tensor:
        drawn = torch.from_numpy(direction(self.feeds[k].shape, self.owner.names[k], number))
        if not self.owner.is_network:
            return drawn
        # Weights are of many sizes, and so are the steps that can be taken; variances are positive.
        here = self.tensors[k].abs()
        drawn = drawn * torch.where(here > 0, here, here.square().mean().sqrt())
        # Along one in a hundred thousand directions the slope drowns in what float32 rounds.
        up = torch.nan_to_num(self.grads[k]) * here.square()
        return drawn + up * (drawn.norm() / up.norm().clamp(min=1e-30))

    def _slope(self, ways: Mapping[int, torch.Tensor], step: float) -> Slope:
        def along(h: float) -> float:
            feeds = list(self.tensors)
            for k, way in ways.items():
                feeds[k] = feeds[k] + h * way
            with torch.no_grad():
                return float(self.total(self.owner.module(*feeds)))

        if self.owner.is_network:
            return slope(along, self.total.size, step, wobble=1e-2, bending=1.0)
        return slope(along, self.total.size, step)

    def _theirs(
        self, ways: Mapping[int, torch.Tensor], number: int, expected: float, summands: float
    ) -> tuple[str, Slope, bool]:
        """Returns the engine that agrees, or the first that does not, its slope, and which of both.

        One that does not agree may be wrong, or less exact than it should be: the reference counts
        in float32 in places, and some of the suite's values are the reference's alone.
        """
        case, owner = self.owner.case, self.owner
        others = _others(case.id)
        given = dict(zip(owner.names, self.feeds, strict=True))
        feeds = [given.get(n, wide(v)) for n, v in zip(others.names, others.feeds, strict=True)]
        named = {others.names.index(owner.names[k]): way.numpy() for k, way in ways.items()}
        key = (case.id, *named, number, self.shift, self.shift and owner.mode)
        found = _SLOPES.setdefault(key, [])
        first = ("", Slope(0.0, 0.0, False), False)
        for i, (engine, run) in enumerate(others.engines()):
            if i == len(found):
                found.append(slope_of(engine, run, feeds, named))
            floor = 1e-7 if engine.precision < 1e-10 else 1e-4 * self.total.size
            if found[i].is_exact(expected, summands, floor):
                if found[i].agrees(expected, summands, engine.tolerance):
                    return engine.name, found[i], True
                first = first if first[0] else (engine.name, found[i], False)
        return first


#: What other engines found, by case, input, direction, point and, where that matters, mode.
_SLOPES: dict[Any, list[Slope]] = {}


class Others:
    """Other engines for a case, with everything fed."""

    def __init__(self, case: Case) -> None:
        self.model, self.names, self.feeds = arranged(case, "fed", rough=True)
        self.known = NETWORK_ENGINES if case.kind == "real" else ENGINES
        self.usable: list[tuple[Engine, Run]] | None = None

    def engines(self) -> list[tuple[Engine, Run]]:
        """Returns those that can run the case, slow ones last."""
        if self.usable is None:
            found = []
            for engine in self.known:
                try:
                    with _silence():
                        run = engine.make(self.model)
                        start = time.perf_counter()
                        run([wide(v) for v in self.feeds])
                except Exception:
                    # In whatever way: float64 is not of its types, or it lacks the operator.
                    continue
                found.append((time.perf_counter() - start > SLOW, engine, run))
            found.sort(key=lambda entry: entry[0])
            self.usable = [(engine, run) for _, engine, run in found]
        return self.usable


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def slope_of(
    engine: Engine, run: Run, feeds: Sequence[Any], ways: Mapping[int, np.ndarray]
) -> Slope:
    """Returns the slope that an engine finds along a direction of inputs."""
    found = Slope(0.0, 0.0, False)

    def along(h: float) -> float:
        there = list(feeds)
        for k, way in ways.items():
            there[k] = np.asarray(there[k] + h * way)
        return float(total(run(there)))

    try:
        with _silence():
            total = Total(run(feeds))
            for step in engine.steps:
                at = slope(along, total.size, step, engine.precision, engine.wobble, engine.bending)
                if at.smooth and (not found.smooth or at.error < found.error):
                    found = at
                if found.smooth and engine.bending < 1:
                    break
    except Exception:
        # Beside the suite's inputs, it may find them wrong.
        return Slope(0.0, 0.0, False)
    return found


@functools.lru_cache(maxsize=4)
def _others(id: str) -> Others:
    return Others(suite()[id])
