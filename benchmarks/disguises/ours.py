"""Scores every pair by this package: weights, aligned over depth and matched filter by filter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.disguises.pairs import Suspect
from onnxattr.graph.load import load
from onnxattr.lineage.layers import weights_of_model
from onnxattr.lineage.weights import match_weights
from onnxattr.types import Weights


def weigh(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, Any]]]:
    """Yield how each suspect's weights agree with a victim's: a `WeightMatch`, as plain data.

    The files are our own, and so are read in this process.
    """
    references = {path: _weights(path) for path in {one.reference for one in suspects}}
    for suspect in suspects:
        reference = references[suspect.reference]
        match = match_weights(_weights(suspect.path), reference, (suspect.name, victim))
        yield suspect, {"match": dataclasses.asdict(match)}


def _weights(path: Path) -> Weights:
    return weights_of_model(load(path))
