"""Makes the files that there are not yet, each complete or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

from benchmarks.disguises import changed, entrances, files, formats, plan, same, trained

FURTHER = "fine-tuned, long, combined"
"""A trained disguise with others on top: for BGR, permuted, rescaled, in half precision."""

WHOLE = ", whole"
"""After the name of a model with its head."""


def path_of(victim: str, name: str) -> Path:
    """Return where a model is kept: a disguise of a victim, or an independent one made for it."""
    plain = name.replace(" %", "").replace(", ", "-").replace(" ", "-")
    return plan.CACHE / "models" / victim / f"{plain}.onnx"


def make_files(victims: Sequence[str]) -> None:
    """Write all disguises that need no training."""
    for victim in victims:
        if not trained.victim_file(victim).exists():
            print(f"{victim}: left out, there is no {trained.victim_file(victim).name}")
            continue
        source = onnx.load(trained.victim_file(victim))
        for name, disguise in files.DISGUISES.items():
            path = path_of(victim, name)
            if not path.exists():
                _write(disguise(source, _rng(victim, name)), path)
        for base in trained.INDEPENDENT:
            given = path_of(victim, base)
            for name, disguise in files.OF_INDEPENDENTS.items() if given.exists() else ():
                path = path_of(victim, f"{base}, {name}")
                if not path.exists():
                    _write(disguise(onnx.load(given), _rng(victim, f"{base}, {name}")), path)
        given, path = path_of(victim, "fine-tuned, long"), path_of(victim, FURTHER)
        if given.exists() and not path.exists():
            _write(_further(onnx.load(given), _rng(victim, FURTHER)), path)


def make_trained(victims: Sequence[str]) -> None:
    """Train what is missing, name by name, so that every victim has the first ones first."""
    import torch

    from benchmarks.disguises import training

    torch.set_num_threads(1)
    makers = {**trained.DERIVED, **trained.INDEPENDENT}
    for name in plan.ORDER:
        for victim in victims:
            path, whole = path_of(victim, name), path_of(victim, f"{name}{WHOLE}")
            made = path.exists() and (whole.exists() or name not in trained.WHOLE)
            if made or not trained.victim_file(victim).exists():
                continue
            network = makers[name](victim)
            if name in trained.WHOLE:
                training.write(network, whole)
                network = network[0]
            training.write(network, path)
            print(f"{victim}: {name}", flush=True)


def _further(model: ModelProto, rng: np.random.Generator) -> ModelProto:
    hidden = same.rescale(same.permute(entrances.bgr(model), rng), rng, spread=0.5)
    return formats.half(changed.noise(hidden, rng, 0.05))


def _rng(victim: str, name: str) -> np.random.Generator:
    return np.random.default_rng([5, plan.place(victim), zlib.crc32(name.encode())])


def _write(model: ModelProto, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    onnx.save(model, draft)
    draft.replace(path)
