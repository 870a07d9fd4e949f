"""Sources of targets where there are few models, and where there are too many for all pairs."""

import types

import numpy as np
import pytest

from onnxattr.pipeline import space as pipeline_space
from onnxattr.pipeline.measures import compare_by
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.space import warnings_of
from onnxattr.pipeline.targets import SHORTLIST, crowding, is_whole, targets_of
from onnxattr.space import many
from onnxattr.space.nearest import Neighbours
from onnxattr.types import IMAGE

COUNT, PROBES = 24, 16


def examined(number):
    """What a worker found of a model: maps and a representation, alike within groups of six."""
    shared = np.random.default_rng(number // 6)
    own = np.random.default_rng(100 + number)
    maps = shared.normal(size=(PROBES, 5, 4)) + own.normal(size=(PROBES, 5, 4))
    seen = shared.normal(size=(PROBES, 7)) + 0.5 * own.normal(size=(PROBES, 7))
    return types.SimpleNamespace(
        summary=types.SimpleNamespace(
            name=f"m{number:02}",
            sha256=str(number % 23),
            representation=types.SimpleNamespace(value="relu"),
            unusable=0,
            spec=types.SimpleNamespace(sources={}, kind=IMAGE),
        ),
        maps=types.SimpleNamespace(values=maps.astype(np.float32), probes=("p",) * PROBES),
        units={"representation": seen.astype(np.float32)},
        lacking={},
    )


def built(measures=("attribution",), target=None, **options):
    """As `build_space` leaves it."""
    chosen = Options(measure=",".join(measures), **options)
    models = [examined(number) for number in range(COUNT)]
    maps, names = [m.maps.values for m in models], [m.summary.name for m in models]
    compared = many.compare(maps, names, centred=not chosen.paper, whole=target is None)
    made, notes = compare_by(measures, models, compared, None if target is None else [target])
    space = types.SimpleNamespace(
        examined=models,
        summaries=tuple(m.summary for m in models),
        similarity=compared,
        measures=made,
        probes=types.SimpleNamespace(values=np.zeros((PROBES, 2, 2, 3), np.uint8), kind=IMAGE),
        notes=notes,
        unfinished=(),
    )
    return space, chosen


def same(ours, theirs):
    assert [s.name for s in ours] == [s.name for s in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.rank, one.duplicate, one.disputed) == (
            other.rank,
            other.duplicate,
            other.disputed,
        )
        assert list(one.measures) == list(other.measures)
        for name, score in one.measures.items():
            for part in ("value", "low", "high"):
                wanted = getattr(other.measures[name], part)
                assert getattr(score, part) == pytest.approx(wanted, abs=1e-9)
        assert (one.distance is None) == (other.distance is None)
        if one.distance is not None:
            assert one.distance == pytest.approx(other.distance, abs=1e-9)


@pytest.mark.parametrize("models", [5000, 5])
@pytest.mark.parametrize("paper", [True, False])
def test_of_too_many_models_each_has_its_closest(monkeypatch, paper, models):
    space, options = built(paper=paper, seed=3)
    assert is_whole(space)
    full, said = targets_of(space, None, options)
    assert (len(full), said) == (COUNT, ())
    assert all(len(target.sources) == COUNT - 1 for target in full)

    monkeypatch.setattr(many, "COSINES", 0)
    monkeypatch.setattr(many, "MODELS", models)
    space, options = built(paper=paper, seed=3)
    assert space.similarity.per_probe.size == 0
    few, said = targets_of(space, None, options)
    assert said[0].startswith("24 models on 16 probes are too many to rank all as sources of all")
    for ours, theirs in zip(few, full, strict=True):
        assert ours.name == theirs.name
        same(ours.sources, theirs.sources[:SHORTLIST])


def test_one_target_has_all_sources_by_all_measures(monkeypatch):
    measures = ("attribution", "predictability", "cka", "ensemble")
    space, options = built(measures, target=7)
    ((full,), _) = targets_of(space, 7, options)
    assert len(full.probabilities) == COUNT - 1

    monkeypatch.setattr(many, "COSINES", 0)
    space, options = built(measures, target=7)
    assert [m.measure for m in space.measures] == [*measures]
    assert space.notes == ()
    for measure in space.measures:
        assert (measure.targets, measure.matrix.shape) == ((7,), (COUNT, 1))
        assert measure.per_probe.shape == (COUNT, 1, PROBES)
    ((target,), said) = targets_of(space, 7, options)
    assert said == ()
    assert target.probabilities == ()
    same(target.sources, full.sources)
    assert any(source.duplicate for source in built_duplicates(options))


def built_duplicates(options):
    space, _ = built(target=0)
    return targets_of(space, 0, options)[0][0].sources


def test_other_measures_of_all_pairs_say_that_they_are_too_many(monkeypatch):
    monkeypatch.setattr(many, "COSINES", 0)
    space, _ = built(("cka", "attribution"))
    assert [m.measure for m in space.measures] == ["attribution"]
    assert space.notes == (
        "`cka` is left out: 24 models on 16 probes are too many for all pairs; --target asks for "
        "one column",
    )


def test_who_may_have_nearer_models():
    def near(*crowded):
        size = (len(crowded), 2)
        return Neighbours(np.zeros(size, int), np.zeros(size), np.array(crowded))

    assert crowding(near(False, False)) == ()
    assert crowding(near(True, False))[0].startswith("1 model has more others about as near")
    assert crowding(near(True, True))[0].startswith("2 models have more others")


def test_warnings_of_millions_of_pairs_are_counted(monkeypatch):
    monkeypatch.setattr(pipeline_space, "probe_warnings", lambda probes: [])
    monkeypatch.setattr(pipeline_space, "model_warnings", lambda summaries: [])
    space, options = built(paper=True)
    for fill, text in ((np.nan, "have no similarity"), (-1.0, "is not defined for")):
        space.similarity.matrix[:] = fill
        lines = [line for line in warnings_of(space, options) if text in line]
        assert len(lines) == pipeline_space.PAIRS_TOLD
        pairs = COUNT * (COUNT - 1) // 2 - pipeline_space.PAIRS_TOLD
        assert lines[-1].endswith(f"; so it is of {pairs} more pairs")
        assert not any("more pairs" in line for line in lines[:-1])
        space.similarity.matrix[:] = 1.0
        space.similarity.matrix[2, 5] = fill
        assert sum(text in line for line in warnings_of(space, options)) == 1
