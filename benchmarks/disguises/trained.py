"""All disguises and independents that are trained, by name, each from a victim's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeAlias

from torch import nn

from benchmarks.disguises import plan, training
from samples.miniature.zoo import HEADS, MODELS

Maker: TypeAlias = Callable[[str], nn.Module]


def victim_file(victim: str) -> Path:
    """Return a victim's ONNX file."""
    return MODELS / f"{plan.entry(victim).name}.onnx"


def head_file(victim: str) -> Path:
    """Return the ONNX file of what a victim makes its answers with."""
    return HEADS / f"{plan.entry(victim).name}.onnx"


def _seed(victim: str, number: int) -> int:
    return 10 * (plan.SEEDS["training"] + plan.place(victim)) + number


def _further(victim: str, task: str, budget: plan.Budget, number: int) -> nn.Module:
    encoder = training.restored(victim_file(victim))
    training.learn(encoder, training.task_named(task), budget, _seed(victim, number))
    return encoder


def _other_head(victim: str) -> nn.Module:
    encoder = training.restored(victim_file(victim))
    task = training.task_named(plan.following(victim))
    head = training.learn(encoder, task, plan.HEAD, _seed(victim, 1))
    return nn.Sequential(encoder, head)


def _student(victim: str, family: str, outputs: bool, length: str, number: int) -> nn.Module:
    student = training.fresh("a" if family == "a" else "residual", _seed(victim, number))
    teacher = training.restored(victim_file(victim))
    task = training.task_named(victim)
    head = training.restored_head(task, head_file(victim)) if outputs else None
    budget, seed = plan.DISTILLED[length], _seed(victim, number)
    decoder = training.imitate(student, teacher, head, task, budget, seed)
    return nn.Sequential(student, decoder) if outputs else student


def _independent(
    task: str, initial: int, order: int, budget: plan.Budget = plan.INDEPENDENT
) -> nn.Module:
    encoder = training.fresh("a", initial)
    return nn.Sequential(encoder, training.learn(encoder, training.task_named(task), budget, order))


def _seeded(victim: str, seed: str, budget: plan.Budget = plan.FULL) -> nn.Module:
    number = plan.SEEDS[seed] + plan.place(victim)
    return _independent(victim, number, number, budget)


DERIVED: Mapping[str, Maker] = {
    "fine-tuned, short": lambda v: _further(v, v, plan.FINE_TUNED["short"], 2),
    "transferred, short": lambda v: _further(v, plan.following(v), plan.TRANSFERRED["short"], 3),
    "head swapped": _other_head,
    "transferred, long": lambda v: _further(v, plan.following(v), plan.TRANSFERRED["long"], 4),
    "fine-tuned, long": lambda v: _further(v, v, plan.FINE_TUNED["long"], 5),
    **{
        f"distilled {part}, {kind} kind, {length}": partial(
            _student,
            family="a" if kind == "same" else "residual",
            outputs=part == "outputs",
            length=length,
            number=number,
        )
        for number, (length, kind, part) in enumerate(
            product(("short", "long"), ("same", "other"), ("code", "outputs")), start=6
        )
    },
}
"""Made from a victim; the distilled ones hold none of its weights."""

DISTILLED = tuple(name for name in DERIVED if name.startswith("distilled"))

INDEPENDENT: Mapping[str, Maker] = {
    "its initial seed, another order": lambda v: _independent(
        v, plan.entry(v).seed, plan.SEEDS["order"] + plan.place(v)
    ),
    "another seed": partial(_seeded, seed="twin", budget=plan.INDEPENDENT),
    "a third seed": partial(_seeded, seed="third"),
    "a fourth seed": partial(_seeded, seed="fourth"),
    "its initial seed, another task": lambda v: _independent(
        plan.following(v), plan.entry(v).seed, plan.entry(v).seed
    ),
}
"""Trained apart from a victim. The last one is another seed to the next victim of the ring."""

WHOLE = (*(name for name in DISTILLED if "outputs" in name), *INDEPENDENT)
"""Those that come with what they make their answers with, which is kept in a second file."""
