"""Scores every pair by the methods of others, which see answers alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.disguises import modeldiff, trained, training, zest
from benchmarks.disguises.answers import Float32, answers_of
from benchmarks.disguises.pairs import Suspect
from samples.miniature.data import held_out, load
from samples.miniature.zoo import RECIPE

REFERENCES = 10
"""Images of a signature; Zest has 128, and 1000 masks of each."""
PAIRS = 100
"""As in ModelDiff."""
NAMES = ("zest", "zest, matched", "modeldiff")


def scores(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, float]]]:
    """Yield each suspect's likeness to a victim by Zest's and ModelDiff's ways, NaN for none."""
    for whole in (False, True):
        some = [one for one in suspects if one.whole == whole]
        if some:
            yield from _scores(victim, some)


def _scores(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, float]]]:
    """Yield the scores of suspects that are held against the same file."""
    images, path = _images()[:PAIRS], suspects[0].reference
    others = modeldiff.twins(_network(victim, suspects[0].whole), images, seed=0)
    marks = _signature(path)
    vector = modeldiff.distances(answers_of(path), images, others)
    for suspect in suspects:
        found = _signature(suspect.path)
        distances = modeldiff.distances(answers_of(suspect.path), images, others)
        values = (
            zest.plain(marks, found),
            zest.matched(marks, found),
            modeldiff.compare(vector, distances),
        )
        yield suspect, dict(zip(NAMES, values, strict=True))


def _network(victim: str, whole: bool) -> nn.Module:
    """Return a victim as the attacker of ModelDiff has it: with gradients."""
    encoder = training.restored(trained.victim_file(victim))
    if not whole:
        return encoder
    head = training.restored_head(training.task_named(victim), trained.head_file(victim))
    return nn.Sequential(encoder, head)


@cache
def _signature(path: Path) -> Float32:
    """Return a model's signature, which is the same for every victim."""
    return zest.signature(answers_of(path), _images()[-REFERENCES:], zest.masks(0))


@cache
def _images() -> Float32:
    stored = load(held_out(RECIPE), "image")
    return np.ascontiguousarray(np.moveaxis(stored, -1, 1))
