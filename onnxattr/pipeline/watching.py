"""The worker's side of watching: what a model makes of probes, run by ONNX Runtime alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.convert.session import Session
from onnxattr.errors import LimitError, OnnxattrError, SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.beside import outputs_beside
from onnxattr.graph.budget import require_budget
from onnxattr.graph.channels import channels_of
from onnxattr.graph.depth import depths
from onnxattr.graph.findings import findings
from onnxattr.graph.options import InputOptions
from onnxattr.pipeline.messages import (
    DTYPES,
    Units,
    Watch,
    Watched,
    Way,
    pack,
    printable,
    unpack,
)
from onnxattr.space.canvas import overlap
from onnxattr.space.measures.table import OUTPUTS, REPRESENTATION
from onnxattr.types import IMAGE, Finding, InputSpec, Model

#: Sides of the grid on which the channels of inner layers are compared, in places.
GRID = 8

#: Places, of rows without sides.
_PLACES = 64


def watch(model: Model, request: Watch, threads: int) -> Watched:
    """Returns what a model makes of the probes, fed in each of the ways that are asked for.

    Args:
        model: A model as it was given.
        request: What is wanted.
        threads: Of ONNX Runtime.
    """
    inner = (-1, -1, 3) if request.kind == IMAGE else (-1,) * (len(request.images.shape) - 1)
    probes = unpack(request.images, DTYPES[request.kind], (-1, *inner))
    seen: list[dict[str, Any]] = []
    ways = []
    sessions: dict[tuple[str, ...], Session] = {}
    for options in request.inputs:
        try:
            ways.append(_way(model, request, options, probes, seen, sessions, threads))
        except OnnxattrError as error:
            ways.append(Way(None, refusal=printable(error.message)))
    found = [Finding(f.kind, printable(f.text)) for f in findings(model)] if request.layers else []
    return Watched(tuple(ways), tuple(found))


def _way(
    model: Model,
    request: Watch,
    options: InputOptions,
    probes: np.ndarray[Any, Any],
    seen: list[dict[str, Any]],
    sessions: dict[tuple[str, ...], Session],
    threads: int,
) -> Way:
    limits = request.place.limits
    spec = probe_input(model, options, request.kind, probes.shape[1:])
    about = {k: v for k, v in dataclasses.asdict(spec).items() if k != "sources"}
    if about in seen:
        return Way(spec)
    seen.append(about)
    require_budget(model, spec, limits)
    chosen = attributed(model, request.at, spec, limits)[0]
    wanted = {REPRESENTATION: chosen.value}
    if request.layers:
        if beside := outputs_beside(model, chosen, spec, limits):
            wanted[OUTPUTS] = beside
        places = depths(model.proto.graph, spec.input, chosen.value)
        wanted |= {f"early:{i}": value for i, value in enumerate(places.early)}
        wanted |= {f"late:{i}": value for i, value in enumerate(places.late)}
    return _run(model, spec, probes, wanted, sessions, threads, twice=request.layers)


def _run(
    model: Model,
    spec: InputSpec,
    probes: np.ndarray[Any, Any],
    wanted: Mapping[str, str],
    sessions: dict[tuple[str, ...], Session],
    threads: int,
    *,
    twice: bool,
) -> Way:
    """Returns the units of the tensors; without those inside, where ONNX Runtime refuses them."""
    from onnxattr.convert.array_feed import feed_of, feeds
    from onnxattr.convert.parity import BATCH

    names = tuple(dict.fromkeys(wanted.values()))
    try:
        if names not in sessions:
            sessions[names] = Session(model, names, threads)
        session = sessions[names]
        rows: dict[str, list[tuple[Any, int]]] = {name: [] for name in names}
        same = None
        feed = feed_of(spec)
        step = spec.batch or (BATCH if "N" in spec.layout else 1)
        for start in range(0, len(probes), step):
            some = probes[start : start + step]
            x = _given(feed, some, spec)
            given = feeds(spec, feed.array(x))
            made = session.run(given)
            if twice and same is None:
                again = session.run(given)
                same = all(_bits(a) == _bits(b) for a, b in zip(made, again, strict=True))
            for name, units in zip(names, made, strict=True):
                rows[name].append((units, len(some)))
    except (SupportError, LimitError):
        if len(wanted) == 1:
            raise
        only = {REPRESENTATION: wanted[REPRESENTATION]}
        return _run(model, spec, probes, only, sessions, threads, twice=twice)
    graph = model.proto.graph
    found = {part: _units(rows[name], spec, graph, name, part) for part, name in wanted.items()}
    return Way(spec, found, deterministic=same)


def _given(feed: Any, some: np.ndarray[Any, Any], spec: InputSpec) -> Any:
    import torch

    from onnxattr.convert.parity import wrap

    with torch.no_grad():
        x = feed.canonical(torch.from_numpy(some.copy()))
        return wrap(x, spec.batch) if spec.batch else x


def _bits(value: Any) -> bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()


def _units(batches: Any, spec: InputSpec, graph: Any, name: str, part: str) -> Units:
    from onnxattr.attribution.units import Arranged, arranged, joined

    axis = channels_of(graph, name)
    tensors = all(isinstance(units, np.ndarray) for units, _ in batches)
    found = (
        joined([arranged(units, spec, count, axis) for units, count in batches])
        if tensors
        else Arranged(None, lacking="they are no tensor")
    )
    if found.values is None:
        return Units(None, lacking=printable(found.lacking))
    inner = part not in (REPRESENTATION, OUTPUTS)
    values = _on_grid(found.values) if inner else found.values
    return Units(pack(values), found.whole)


def _on_grid(values: Float32) -> Float32:
    """Returns channels at 8×8 places at most, or 64 in a row: inner layers may be large."""
    if values.ndim == 4:
        height, width = (min(GRID, side) for side in values.shape[2:])
        rows, columns = overlap(values.shape[2], height), overlap(values.shape[3], width)
        return np.asarray(rows @ values @ columns.T, np.float32)
    if values.ndim == 3:
        return np.asarray(
            values @ overlap(values.shape[2], min(_PLACES, values.shape[2])).T, np.float32
        )
    return values
