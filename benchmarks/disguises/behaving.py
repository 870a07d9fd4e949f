"""Scores every model by this package from behaviour alone, by the steps of an audit.

All is run in this process, since the files are our own: an audit starts workers for each suspect,
which takes longer than all else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.disguises.pairs import name_of
from onnxattr.arrays import Float32
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.errors import OnnxattrError
from onnxattr.graph.load import load as load_model
from onnxattr.graph.options import InputOptions
from onnxattr.lineage.behaviour import Traces, compare, release, representations
from onnxattr.lineage.twins import UNLIKE
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


def behave(
    paths: Sequence[Path], references: Sequence[Path]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each measure of behaviour says of models and each reference, by their names.

    Colours and ranges are tried on all models alike, and measures are asked of models that do about
    the same, as in an audit; of references, of which some stand for strangers, all are.
    """
    known = {name_of(path): _traces(path, OWN) for path in references}
    ranked = {n: input_search._ranked(n, _few(t.representation)) for n, t in known.items()}
    for path in paths:
        name = name_of(path)
        try:
            yield name, _behaved(path, known, ranked)
        except OnnxattrError as error:
            print(f"{name}: {error.message}", file=sys.stderr)
            yield name, {"reason": error.message}


def _behaved(
    path: Path, references: Mapping[str, Traces], ranked: Mapping[str, object]
) -> dict[str, Any]:
    """Return what is kept of a model: likeness and measures by reference, and how it was fed."""
    name = name_of(path)
    ways = input_search.candidates(OWN)
    found = _watched(load_model(path), path, ways, _few(_probes()), False)
    mine = [input_search._ranked(name, one.units.get("representation")) for one in found]
    made: dict[InputOptions, Traces] = {}
    alike, behaviour, fed, function = {}, {}, {}, []
    for reference, known in references.items():
        way = ways[input_search._best(ranked[reference], mine)]
        if way not in made:
            made[way] = _traces(path, way, maps=False)
        value = representations(known, made[way])
        alike[reference] = float("nan") if value is None else value
        fed[reference] = input_search.in_words(way, OWN)
        if same_function(known, made[way]):
            function.append(reference)
        if name in references or alike[reference] >= UNLIKE:
            if made[way].gradients is None:
                made[way] = replace(made[way], gradients=_maps(path, way))
            behaviour[reference] = compare(known, made[way])
            release(known)
    return {"alike": alike, "behaviour": behaviour, "fed": fed, "function": function}


def _traces(path: Path, way: InputOptions, *, maps: bool = True) -> Traces:
    """Return what is known of a model that is fed in a way."""
    (seen,) = _watched(load_model(path), path, [way], _probes(), True)
    layers = {
        group: tuple(seen.units[p] for p in sorted(seen.units) if p.startswith(f"{group}:"))
        for group in ("early", "late")
    }
    return Traces(
        name=name_of(path),
        gradients=_maps(path, way) if maps else None,
        representation=seen.units["representation"],
        outputs=seen.units.get("outputs"),
        early=layers["early"],
        late=layers["late"],
    )


def _maps(path: Path, way: InputOptions) -> Float32 | None:
    """Return the maps of lineage, [probe, y, x]; None of a model without gradients."""
    images = _probes()
    try:
        network = to_network(load_model(path), options=way)
        background = images[: METHOD.entry.background]
        engine = Engine(network, methods=[METHOD], background=background, batch_size=16)
        maps: Float32 = engine.maps(images)[0]
    except OnnxattrError as error:
        print(f"{name_of(path)}: {error.message}", file=sys.stderr)
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


@cache
def _probes() -> np.ndarray:
    """Return the first scenes that the zoo is scored on, uint8 [probe, y, x, 3]."""
    return np.round(255 * load(held_out(RECIPE), "image")[:PROBES]).astype(np.uint8)


def _few(values: Any) -> Any:
    return values[: input_search.PROBES]
