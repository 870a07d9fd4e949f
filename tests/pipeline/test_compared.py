"""Measures of models that were examined, and what is said of those that cannot be had."""

import types

import numpy as np
import pytest

from onnxattr.errors import RankingError
from onnxattr.pipeline.measures import compare_by
from onnxattr.pipeline.rank import _require_measure
from onnxattr.space.measures.all_pairs import all_pairs
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES
from onnxattr.space.similarity import similarity


def model(name, representation, lacking=None, outputs=None, seed=0):
    """What `compare_by` reads of a model."""
    count = 64 if representation is None else len(representation)
    maps = np.random.default_rng(seed).normal(size=(count, 4, 4)).astype(np.float32)
    units = {} if representation is None else {"representation": representation}
    units |= {} if outputs is None else {"outputs": outputs}
    return types.SimpleNamespace(
        summary=types.SimpleNamespace(
            name=name, representation=types.SimpleNamespace(value="relu")
        ),
        made=types.SimpleNamespace(values=maps, probes=("p",) * count),
        units=units,
        lacking=lacking or {},
    )


def draw(seed, count=16, width=6):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def compare(names, models, targets=None):
    compared = similarity([m.made.values for m in models], [m.summary.name for m in models])
    return compare_by(names, models, compared, len(models[0].made.values), targets)


@pytest.fixture
def zoo():
    """The second is a part of the first, which predicts it, and not the other way."""
    whole = draw(1, 64, 12)
    others = model("part", whole[:, :3], seed=1), model("other", draw(3, 64, 5), seed=2)
    return [model("whole", whole), *others]


def test_each_measure_is_that_of_two_models_by_themselves(zoo):
    names = ["attribution", "predictability", "cka", "rsa"]
    measures, lines = compare(names, zoo)
    assert [m.measure for m in measures] == names
    assert lines == ()
    evidence = [
        Evidence(m.summary.name, maps=m.made.values, representation=m.units["representation"])
        for m in zoo
    ]
    for measure in measures:
        for i, source in enumerate(evidence):
            for j, target in enumerate(evidence):
                expected = MEASURES[measure.measure](source, target)
                np.testing.assert_allclose(measure.per_probe[i, j], expected, atol=1e-9)
                assert measure.matrix[i, j] == pytest.approx(expected.mean())


def test_a_row_is_a_source_and_a_column_a_target(zoo):
    (measure,), _ = compare(["predictability"], zoo)
    assert measure.directed
    assert measure.names == ("whole", "part", "other")
    assert measure.matrix[0, 1] > 0.9
    assert measure.matrix[1, 0] < 0.5


def test_one_target_has_the_same_numbers_as_all(zoo):
    names = ["attribution", "predictability", "cka", "ensemble"]
    every, _ = compare(names, zoo)
    single, _ = compare(names, zoo, [1])
    for one, all_ in zip(single, every, strict=True):
        np.testing.assert_allclose(one.matrix[:, 1], all_.matrix[:, 1], atol=1e-12)
        if one.measure != "attribution":
            assert np.isnan(np.delete(one.matrix, 1, axis=1)).all()


def test_all_pairs_of_no_target_and_of_no_model():
    models = [Evidence("a", representation=draw(0)), Evidence("b", representation=draw(1))]
    assert all_pairs(["cka"], models, [])["cka"].shape == (2, 2, 0)
    assert all_pairs(["cka"], [])["cka"].shape == (0, 0, 0)


def test_a_model_without_units_keeps_its_cosines_and_says_why(zoo):
    reason = {"representation": "some are not finite"}
    bad = model("bad", None, reason, seed=3)
    measures, lines = compare(["attribution", "cka"], [*zoo, bad])
    assert lines == (
        "bad has no `cka`: the units of `relu` cannot be compared (some are not finite)",
    )
    cosines, cka = measures
    assert np.isfinite(cosines.matrix).all()
    assert np.isnan(cka.matrix[3]).all()
    assert np.isnan(cka.matrix[:, 3]).all()
    np.testing.assert_array_equal(cka.matrix[:3, :3], compare(["cka"], zoo)[0][0].matrix)


def test_too_few_probes():
    few = [model("a", draw(0, 4)), model("b", draw(1, 4), seed=1)]
    measures, lines = compare(["attribution", "cka", "rsa", "ensemble"], few)
    assert [m.measure for m in measures] == ["attribution", "rsa"]
    assert lines == (
        "`cka` is left out: 4 probes are too few, it takes 5 or more",
        "`ensemble` is left out: 4 probes are too few, it takes 5 or more",
    )


def test_a_representation_that_never_changes(zoo):
    flat = model("flat", np.ones((64, 4), np.float32), seed=3)
    (cka,), lines = compare(["cka"], [*zoo, flat])
    assert lines == ("`cka` says nothing of flat: its representation is the same on all probes",)
    assert np.isnan(cka.matrix[:3, 3]).all()


def test_outputs_that_only_some_models_have(zoo):
    zoo[0].units["outputs"] = draw(5, 64, 2)
    zoo[1].lacking["outputs"] = "ONNX Runtime cannot run it"
    (measure,), lines = compare(["predictability-outputs"], zoo)
    assert np.isfinite(measure.matrix[:, 0]).all()
    assert np.isnan(measure.matrix[:, 1:]).all()
    assert lines == (
        "`predictability-outputs` says nothing of part: ONNX Runtime cannot run it",
        "`predictability-outputs` says nothing of other: it has no outputs beside its "
        "representation",
    )


def test_a_measure_that_nobody_has():
    models = [model(name, None, {"representation": "x"}, seed=len(name)) for name in ("a", "bb")]
    measures, lines = compare(["cka"], models)
    assert measures == ()
    assert "`cka` is left out: it has no value for any two of the models" in lines
    space = types.SimpleNamespace(
        measures=(), settings={"measures": ["cka"]}, notes=lines, failures=[]
    )
    with pytest.raises(RankingError, match="nothing to compare the models by: `cka`") as caught:
        _require_measure(space)
    assert "no value for any two" in caught.value.hint
