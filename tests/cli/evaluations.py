"""Evaluations as they come from `evaluate`, with figures that are easy to follow."""

import math

from onnxattr.types import FIGURES, CurvePoint, Estimate, Evaluation, Measured, TargetOutcome

TARGETS, SOURCES, RELEVANT = ("depth", "edges", "normals"), ("a", *"bcdefg"), 5


def outcome(target, quality):
    return TargetOutcome(
        target=target, best="a", chosen="a" if quality > 0.9 else "b", hits=5 * quality,
        spearman=quality, spearman_with_self=quality, tau=quality, tau_with_self=quality,
        regret=1 - quality, relative_regret=1 - quality,
    )  # fmt: skip


def measured(name, quality, *, difference=None, spread=0.05, unit=1.0):
    """A measure whose figures are all `quality`, or for regret what is missing to 1."""
    figures, gaps = {}, {}
    for figure in FIGURES:
        scale = unit if figure == "regret" else 1.0
        value = (1 - quality if "regret" in figure else quality) * scale
        low, high = value - spread * scale, value + spread * scale
        figures[figure] = Estimate(value, low, high)
        if difference is not None:
            gap = (-difference if "regret" in figure else difference) * scale
            gaps[figure] = Estimate(gap, gap - spread * scale, gap + spread * scale)
    curve = [
        CurvePoint(
            k=k,
            hits=3 * min(k, 5) * quality,
            precision=min(k, 5) / k * quality,
            recall=min(k, 5) / 5 * quality,
            low=max(min(k, 5) / k * quality - spread, 0.0),
            high=min(k, 5) / k * quality,
        )
        for k in range(1, 7)
    ]
    return Measured(
        name, figures, gaps, tuple(curve), tuple(outcome(target, quality) for target in TARGETS)
    )


def evaluation(*measures, unit=1.0, **more):
    settings = {
        "truth": {"name": "transfer", "file": "transfer.csv", "sha256": "0" * 64},
        "lower_is_better": False,
        "measures": [],
        "relevant": RELEVANT,
        "only": [],
        "seed": 0,
        "resamples": 2000,
        "confidence": 0.95,
        "ranking": None,
    }
    oracle, chance, ceiling = (
        measured(name, quality, unit=unit)
        for name, quality in (("oracle", 1.0), ("random", 0.263), ("symmetric ceiling", 0.856))
    )
    return Evaluation(
        measures=measures,
        references=(oracle, chance, ceiling),
        sources=SOURCES,
        targets=TARGETS,
        relevant=RELEVANT,
        missing=(),
        failures=(),
        warnings=(),
        settings={**settings, **more},
        versions={},
        stored=(),
        seconds={"total": 1.0},
    )


def one():
    """One measure, of a truth in a unit of its own; one figure has no interval, one is missing."""
    only = measured("attribution", 0.57, unit=0.00123)
    only.figures["spearman_with_self"] = Estimate(math.nan, math.nan, math.nan)
    only.figures["tau"] = Estimate(-0.0001, math.nan, math.nan)
    return evaluation(only, unit=0.00123, lower_is_better=True)


def several():
    """Measures of which one is better than the first, one worse, and one neither."""
    return evaluation(
        measured("attribution", 0.57),
        measured("predictability", 0.88, difference=0.31),
        measured("signed-grad-input-of-the-largest", 0.24, difference=-0.33),
        measured("rsa", 0.59, difference=0.02),
    )
