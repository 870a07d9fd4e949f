"""Measures of the trained samples, from their files."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxattr
from onnxattr.pipeline.rank import OF_TARGET
from onnxattr.report.json import to_json
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES

SAMPLES = Path(__file__).parents[2] / "samples" / "models"
FIXTURES = Path(__file__).parents[1] / "fixtures"
EDGES = [SAMPLES / "edge2d-jax.onnx", SAMPLES / "edge2d-torch.onnx"]


def units(path: Path, value: str, images: np.ndarray, *, nhwc: bool) -> np.ndarray:
    """What ONNX Runtime makes of a file by itself, channels first."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    size = 64
    assert images.shape[1:3] == (size, size)
    given = (images / 255).astype(np.float32)
    given = given if nhwc else given.transpose(0, 3, 1, 2)
    (found,) = session.run([value], {session.get_inputs()[0].name: given})
    return found.transpose(0, 3, 1, 2) if nhwc else found


@pytest.fixture(scope="module")
def probes() -> onnxattr.Probes:
    loaded = onnxattr.load_probes(limit=100)
    step = loaded.values.shape[1] // 64
    assert loaded.values.shape[1] % 64 == 0
    values = np.ascontiguousarray(loaded.values[:, ::step, ::step])
    return dataclasses.replace(loaded, values=values)


def test_edges_of_two_frameworks_predict_each_other(probes: onnxattr.Probes) -> None:
    """One is NHWC and the other NCHW; the numbers are those of the units by themselves."""
    options = onnxattr.Options(device="cpu", measure="predictability,cka")
    result = onnxattr.rank(list(map(str, EDGES)), probes=probes, options=options)
    predictability, cka = result.measures
    assert predictability.names == ("edge2d-jax", "edge2d-torch")
    evidence = [
        Evidence(m.name, representation=units(path, m.representation.value, probes.values, nhwc=n))
        for m, path, n in zip(result.models, EDGES, (True, False), strict=True)
    ]
    for measure in (predictability, cka):
        for i, j in ((0, 1), (1, 0)):
            expected = MEASURES[measure.measure](evidence[i], evidence[j]).mean()
            assert measure.matrix[i, j] == pytest.approx(expected, abs=1e-4)
    # Measured: .68 and .71; with the axes of one in the wrong order .03 and .02.
    assert predictability.matrix[0, 1] > 0.6
    assert predictability.matrix[1, 0] > 0.6


TWINS = [FIXTURES / "same_weights-keras.onnx", FIXTURES / "same_weights-torch.onnx"]


@pytest.fixture(scope="module")
def target() -> tuple[onnxattr.Ranking, onnxattr.Ranking]:
    """A target among three, twice, the second time from the store."""
    folder = SAMPLES / "rgb2depth-torch.onnx"
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as store:
        patch.setenv("ONNXATTR_STORE", store)
        options = onnxattr.Options(device="cpu", limit=10)
        runs = [
            onnxattr.rank([*map(str, EDGES), str(folder)], target="edge2d-torch", options=options)
            for _ in range(2)
        ]
    return runs[0], runs[1]


def test_a_named_target_has_predictability_beside_attribution(target) -> None:
    first, _ = target
    assert first.settings["measures"] == OF_TARGET.split(",")
    attribution, predictability = first.measures
    assert not attribution.directed
    assert predictability.directed
    place = predictability.names.index("edge2d-torch")
    (only,) = first.targets
    for source in only.sources:
        row = predictability.names.index(source.name)
        found = source.measures["predictability"]
        assert found.value == predictability.matrix[row, place]
        assert found.low <= found.value <= found.high
        assert source.similarity == source.measures["attribution"].value
    assert np.isnan(np.delete(predictability.matrix, place, axis=1)).all()
    assert only.sources[0].name == "edge2d-jax"
    assert only.sources[0].measures["predictability"].rank == 1


def test_a_second_run_computes_nothing_and_says_the_same(target) -> None:
    first, second = target
    assert first.stored == ()
    assert len(second.stored) == 3
    assert not {"observe", "attribute", "parity", "convert"} & set(second.seconds)
    assert second.targets == first.targets


def test_the_same_weights_of_two_frameworks_are_the_same_by_every_measure(tmp_path) -> None:
    """NHWC and NCHW: also by those that tell channels from places; and both from one JSON file."""
    names = "predictability,cka,rsa,dds,svcca,depara,modelgif"
    options = onnxattr.Options(device="cpu", limit=12, measure=names)
    result = onnxattr.rank(list(map(str, TWINS)), options=options)
    for measure in result.measures:
        np.testing.assert_allclose(measure.matrix, 1, atol=1e-3, err_msg=measure.measure)

    file = tmp_path / "ranking.json"
    file.write_text(to_json(result), encoding="utf-8")
    for measure in result.measures:
        scores = onnxattr.load_scores(file, name=measure.measure)
        np.testing.assert_allclose(scores.values, measure.matrix, rtol=1e-12)


def test_black_box_models_have_the_same_units() -> None:
    """They come from ONNX Runtime in any case, and are kept once for both ways."""
    names = "attribution,predictability"
    options = onnxattr.Options(device="cpu", limit=6, measure=names)
    by_gradient = onnxattr.rank(list(map(str, EDGES)), options=options)
    black_box = onnxattr.rank(
        list(map(str, EDGES)), options=dataclasses.replace(options, method="occlusion:grid=2")
    )
    for one, two in zip(by_gradient.measures[1:], black_box.measures[1:], strict=True):
        np.testing.assert_array_equal(one.matrix, two.matrix)
    fresh = onnxattr.rank(
        list(map(str, EDGES)),
        options=dataclasses.replace(options, method="occlusion:grid=2", store=None),
    )
    np.testing.assert_allclose(fresh.measures[1].matrix, two.matrix, atol=1e-5)


def test_an_evaluation_has_a_row_for_each_measure(tmp_path) -> None:
    models = [*EDGES, SAMPLES / "rgb2depth-torch.onnx", SAMPLES / "denoise-keras.onnx"]
    names = tuple(path.stem for path in models)
    truth = onnxattr.Scores("transfer", names, names, np.random.default_rng(0).uniform(size=(4, 4)))
    options = onnxattr.Options(device="cpu", limit=6, measure="predictability,attribution,rsa")
    result = onnxattr.evaluate(truth, models=list(map(str, models)), options=options)
    assert [m.name for m in result.measures] == ["predictability", "attribution", "rsa"]
    assert result.measures[1].differences

    ranking = onnxattr.rank(list(map(str, models)), options=options)
    again = onnxattr.evaluate(truth, ranking)
    assert [m.figures["spearman"].value for m in again.measures] == [
        m.figures["spearman"].value for m in result.measures
    ]
    named = onnxattr.evaluate(truth, {"rsa": ranking, "first": ranking})
    assert named.measures[0].figures == result.measures[2].figures
    assert named.measures[1].outcomes == result.measures[0].outcomes
