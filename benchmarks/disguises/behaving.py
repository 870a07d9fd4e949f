"""Scores every pair by this package from behaviour alone, with the steps of an audit.

Many suspects share workers and the victim's traces here, where an audit takes one at a time.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.disguises import trained
from benchmarks.disguises.pairs import Suspect
from onnxattr.graph.options import InputOptions
from onnxattr.lineage.behaviour import Traces, compare
from onnxattr.pipeline.input_search import in_words, search_inputs
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import Source, source_of
from onnxattr.pipeline.options import Options, Silent
from onnxattr.pipeline.relations import same_function
from onnxattr.pipeline.space import examine_all
from onnxattr.pipeline.watch import Seen, watch_all
from onnxattr.types import Failure, Probes
from samples.miniature.data import held_out, load
from samples.miniature.zoo import RECIPE

PROBES = 64
"""Scenes that no model was trained on."""
OPTIONS = Options(method="whitened", device="cpu", store=None)
OWN = InputOptions()


def probes() -> Probes:
    """Return the first scenes that the zoo is scored on."""
    images = np.round(255 * load(held_out(RECIPE), "image")[:PROBES]).astype(np.uint8)
    names = tuple(f"{number:03d}" for number in range(len(images)))
    return Probes(images, names, sha256(images.tobytes()).hexdigest(), "held-out scenes")


def behave(victim: str, suspects: list[Suspect]) -> Iterator[tuple[Suspect, dict[str, Any]]]:
    """Yield what each measure of behaviour says of suspects and a victim.

    Colours and ranges are tried on all suspects alike, as in an audit.
    """
    shown = probes()
    (known,) = _traces({victim: trained.victim_file(victim)}, {victim: OWN}, shown).values()
    assert known.representation is not None
    paths = {suspect.name: suspect.path for suspect in suspects}
    chosen = search_inputs(
        _sources(paths), {victim: known.representation}, shown, OPTIONS, _never(), _say
    )
    ways = {name: way for (_, name), way in chosen.items()}
    found = _traces(paths, ways, shown)
    for suspect in suspects:
        if suspect.name not in found:
            yield suspect, {"reason": "it could not be run"}
            continue
        traces = found[suspect.name]
        yield (
            suspect,
            {
                "behaviour": compare(known, traces),
                "fed": in_words(ways[suspect.name], OWN),
                "function": same_function(known, traces),
            },
        )


def _traces(
    paths: Mapping[str, Path], ways: Mapping[str, InputOptions], shown: Probes
) -> dict[str, Traces]:
    """Return what is known of each model, fed in its way."""
    sources = _sources(paths)
    asked = {name: [ways[name]] for name in paths}
    seen = watch_all(sources, asked, shown, OPTIONS, _never(), _say, layers=True)
    maps: dict[str, Any] = {}
    for way in dict.fromkeys(ways[name] for name in seen):
        options = dataclasses.replace(OPTIONS, input=way)
        some = {name: sources[name] for name in seen if ways[name] == way}
        examiner = Examiner(shown, options, None, len(some))
        made, _ = examine_all(some, examiner, options, Silent(), _never(), _say)
        maps |= {name: one.maps.values for name, one in made.items()}
    return {
        name: _of(name, one.ways[0], maps.get(name))
        for name, one in seen.items()
        if "representation" in one.ways[0].units
    }


def _of(name: str, seen: Seen, maps: Any) -> Traces:
    return Traces(
        name=name,
        gradients=maps,
        representation=seen.units["representation"],
        outputs=seen.units.get("outputs"),
        early=seen.layers("early"),
        late=seen.layers("late"),
    )


def _sources(paths: Mapping[str, Path]) -> dict[str, Source]:
    return {name: source_of(name, path) for name, path in paths.items()}


def _say(failure: Failure) -> None:
    print(f"{failure.name}: {failure.message}", file=sys.stderr)


def _never() -> threading.Event:
    return threading.Event()
