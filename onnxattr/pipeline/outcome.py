"""What there is to say of a model once its maps are made."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.attribution.entries import OUTPUTS
from onnxattr.attribution.methods import Method
from onnxattr.attribution.reductions import Reduction
from onnxattr.errors import SupportError
from onnxattr.pipeline.messages import Described, Source
from onnxattr.types import GradientCheck, Maps, Parity, Probes, Summary


@dataclass(frozen=True, eq=False)
class Examined:
    """One model's maps, and what to say of it.

    Attributes:
        summary: What a report says of it.
        made: Its maps, of those that were asked for them.
        stored: Whether all of them, and all units, were in the store.
        seconds: Wall time of the parts.
        units: float32 [probe, …], by part, of those that were wanted and that there are; a gradient
            field among them.
        lacking: Why there are no others, by part.
        notes: What is to be said of the units.
    """

    summary: Summary
    made: Maps | None
    stored: bool
    seconds: Mapping[str, float]
    units: Mapping[str, Float32] = dataclasses.field(default_factory=dict)
    lacking: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def maps(self) -> Maps:
        """Its maps, which were asked for."""
        assert self.made is not None
        return self.made


def outcome_of(
    name: str,
    source: Source,
    found: Described,
    values: Float32,
    facts: Sequence[Mapping[str, Any]],
    *,
    probes: Probes,
    methods: Sequence[Method],
    reduction: Reduction,
    stored: bool,
    seconds: Mapping[str, float],
) -> Examined:
    """Returns what is known of a model whose maps are all there, of one without methods none.

    Args:
        name: What the model is called.
        source: Where it is.
        found: What its worker says that it is.
        values: Its maps, [method, probe, …].
        facts: What was measured while they, or gradient fields, were made; a part of the probes
            each.
        probes: All probes.
        methods: By which the maps were made.
        reduction: How T was made of the units.
        stored: Whether all of them were in the store.
        seconds: Wall time of the parts.

    Raises:
        SupportError: All maps of a method are zero or not finite.
    """
    black_box = any(method.entry.kind == OUTPUTS for method in methods)
    for made in values:
        flat = made.reshape(len(made), -1)
        if not (np.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1)).any():
            raise _unusable(name, found, black_box=black_box)
    checks = [fact["gradient"] for fact in facts if fact["gradient"]]
    worst = max(checks, key=lambda check: check["error"], default=None)
    batch = min((fact["batch"] for fact in facts), default=0)
    summary = Summary(
        name=name,
        path=os.fsdecode(source.path) if source.path is not None else "",
        sha256=found.sha256,
        origin=found.origin,
        opset=found.opset,
        parameters=found.parameters,
        spec=found.spec,
        representation=found.representation,
        parity=None
        if black_box or not facts
        else Parity(
            error=max(fact["parity"] for fact in facts),
            tolerance=max(fact["tolerance"] for fact in facts),
            probes=values.shape[1],
        ),
        gradient=GradientCheck(**worst) if worst else None,
        batch=batch,
        unusable=0,
    )
    if not methods:
        return Examined(summary, None, stored, seconds)
    maps = Maps(
        values=values[0] if len(values) == 1 else values,
        probes=probes.names,
        method=",".join(map(str, methods)),
        model=name,
        batch=batch,
        device=found.device,
        settings={k: v for fact in facts for k, v in fact.get("settings", {}).items()},
        kind=probes.kind,
        signed=tuple(_signed(method, reduction) for method in methods),
    )
    return Examined(summary, maps, stored, seconds)


def _signed(method: Method, reduction: Reduction) -> bool:
    # Maps of several projections are their root mean square.
    return method.entry.signed and not (reduction.kind == "projection" and reduction.number > 1)


def _unusable(name: str, found: Described, *, black_box: bool) -> SupportError:
    value = found.representation.value
    if black_box:
        what = f"the sum of the units of `{value}` does not depend on the probes"
        hint = "choose another tensor with --at, such as that before a softmax"
    else:
        what = f"`{value}` does not depend on the probes in a differentiable way"
        hint = (
            "choose another tensor with --at, or check --range; where a gradient is what is "
            "missing, `--method occlusion` needs none"
        )
    return SupportError(f"all of its maps are zero or not finite: {what}", hint=hint, model=name)
