"""Scores every pair by the methods of others, which see answers alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.disguises import modeldiff, trained, training, zest
from benchmarks.disguises.answers import Float32, answers_of
from benchmarks.disguises.pairs import Suspect
from samples.miniature.data import held_out, load
from samples.miniature.zoo import RECIPE

REFERENCES = 16
"""Images of a signature; Zest has 128, and 1000 masks of each."""
PAIRS = 100
"""As in ModelDiff."""
NAMES = ("zest", "zest, matched", "modeldiff")


def scores(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, float]]]:
    """Yield each suspect's likeness to a victim by Zest's and ModelDiff's ways, NaN for none."""
    stored = load(held_out(RECIPE), "image")
    images = np.ascontiguousarray(np.moveaxis(stored, -1, 1))
    seen = zest.masks(0)
    path = trained.victim_file(victim)
    others = modeldiff.twins(training.restored(path), images[:PAIRS], seed=0)

    def known(path: Path) -> tuple[Float32, Float32]:
        answers = answers_of(path)
        marks = zest.signature(answers, images[-REFERENCES:], seen)
        return marks, modeldiff.distances(answers, images[:PAIRS], others)

    marks, vector = known(path)
    for suspect in suspects:
        found, distances = known(suspect.path)
        values = (
            zest.plain(marks, found),
            zest.matched(marks, found),
            modeldiff.compare(vector, distances),
        )
        yield suspect, dict(zip(NAMES, values, strict=True))
