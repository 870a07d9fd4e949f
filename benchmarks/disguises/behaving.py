"""Scores every pair by this package from behaviour alone, by the steps of an audit.

All is run in this process, since the files are our own: an audit starts workers for each suspect,
which takes longer than all else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.disguises import trained
from benchmarks.disguises.pairs import Suspect
from onnxattr.arrays import Float32
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.errors import OnnxattrError
from onnxattr.graph.load import load as load_model
from onnxattr.graph.options import InputOptions
from onnxattr.lineage.behaviour import Traces, compare
from onnxattr.pipeline import input_search
from onnxattr.pipeline.job import place_of
from onnxattr.pipeline.messages import Watch, pack, source_of
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.relations import same_function
from onnxattr.pipeline.watching import watch
from onnxattr.types import IMAGE, InputSpec, Model
from samples.miniature.data import held_out, load
from samples.miniature.zoo import RECIPE

PROBES = 64
"""Scenes that no model was trained on."""
METHOD = parse("whitened")
OWN = InputOptions()


@dataclass(frozen=True)
class Seen:
    """What a model made of probes: how it was fed, and units [probe, …] by part."""

    spec: InputSpec | None
    units: dict[str, Float32]


def probes() -> tuple[np.ndarray, str]:
    """Return the first scenes that the zoo is scored on, uint8 [probe, y, x, 3], and their hash."""
    images = np.round(255 * load(held_out(RECIPE), "image")[:PROBES]).astype(np.uint8)
    return images, sha256(images.tobytes()).hexdigest()


def behave(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, Any]]]:
    """Yield what each measure of behaviour says of suspects and a victim.

    Colours and ranges are tried on all suspects alike, as in an audit.
    """
    images, _ = probes()
    known = _traces(victim, trained.victim_file(victim), OWN, images)
    wanted = input_search._ranked(victim, _few(known.representation))
    ways = input_search.candidates(OWN)
    for suspect in suspects:
        try:
            found = _watched(load_model(suspect.path), suspect.path, ways, _few(images), False)
            ranked = [
                input_search._ranked(suspect.name, one.units.get("representation")) for one in found
            ]
            way = ways[input_search._best(wanted, ranked)]
            traces = _traces(suspect.name, suspect.path, way, images)
        except OnnxattrError as error:
            print(f"{suspect.name}: {error.message}", file=sys.stderr)
            yield suspect, {"reason": error.message}
            continue
        yield (
            suspect,
            {
                "behaviour": compare(known, traces),
                "fed": input_search.in_words(way, OWN),
                "function": same_function(known, traces),
            },
        )


def _traces(name: str, path: Path, way: InputOptions, images: np.ndarray) -> Traces:
    """Return what is known of a model that is fed in a way."""
    model = load_model(path)
    (seen,) = _watched(model, path, [way], images, True)
    layers = {
        group: tuple(seen.units[p] for p in sorted(seen.units) if p.startswith(f"{group}:"))
        for group in ("early", "late")
    }
    return Traces(
        name=name,
        gradients=_maps(model, seen.spec, images),
        representation=seen.units["representation"],
        outputs=seen.units.get("outputs"),
        early=layers["early"],
        late=layers["late"],
    )


def _maps(model: Model, spec: InputSpec | None, images: np.ndarray) -> Float32 | None:
    """Return the maps of lineage, [probe, y, x]; None of a model without gradients."""
    try:
        network = to_network(model, spec=spec)
        background = images[: METHOD.entry.background]
        engine = Engine(network, methods=[METHOD], background=background, batch_size=16)
        maps: Float32 = engine.maps(images)[0]
    except OnnxattrError as error:
        print(f"{model.name}: {error.message}", file=sys.stderr)
        return None
    return maps


def _watched(
    model: Model, path: Path, ways: Sequence[InputOptions], images: np.ndarray, layers: bool
) -> list[Seen]:
    options = Options(device="cpu")
    source = source_of(model.name, path)
    request = Watch(place_of(options), source, None, tuple(ways), IMAGE, pack(images), layers)
    return [
        Seen(
            way.spec,
            {
                part: np.frombuffer(units.values.data, np.float32).reshape(units.values.shape)
                for part, units in way.units.items()
                if units.values is not None
            },
        )
        for way in watch(model, request, threads=1).ways
    ]


def _few(values: Any) -> Any:
    return values[: input_search.PROBES]
