"""The main job on the trained sample models."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import onnxattr

MODELS = Path(__file__).parent.parent.parent / "samples" / "models"


@pytest.fixture(scope="module")
def ranking() -> onnxattr.Ranking:
    return onnxattr.rank([MODELS])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("rgb2depth-torch", "rgb2depth-keras"),
        ("rgb2sfnorm-torch", "rgb2sfnorm-torch-seed2"),
    ],
    ids=["two frameworks", "two seeds"],
)
def test_models_of_one_task_are_each_others_nearest(
    ranking: onnxattr.Ranking, one: str, two: str
) -> None:
    targets = {t.name: t for t in ranking.targets}
    for target, partner in ((one, two), (two, one)):
        nearest = targets[target].sources[0]
        found = next(s for s in targets[target].sources if s.name == partner)
        assert found.name == nearest.name or found.high >= nearest.similarity


#: What the samples' names say of where they come from.
ORIGINS = {"keras": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}


def test_every_model_is_there_with_what_was_found(ranking: onnxattr.Ranking) -> None:
    assert len(ranking.models) == 11
    assert ranking.failures == ()
    for model in ranking.models:
        (origin,) = {"keras", "torch", "jax"} & set(model.name.split("-"))
        assert model.origin.framework == ORIGINS[origin]
        assert model.spec.layout == ("NCHW" if origin == "torch" else "NHWC")
        assert (model.spec.height, model.spec.width, model.spec.batch) == (64, 64, None)
        assert model.parity.error < 1e-5
        assert model.unusable == 0
        headless = "the output: the graph ends without a head"
        head = model.name == "class_object-torch"
        assert (model.representation.rule == headless) is not head
    assert [len(t.sources) for t in ranking.targets] == [10] * 11
    assert all(t.name not in {s.name for s in t.sources} for t in ranking.targets)


def test_a_target_gives_the_same_numbers_as_the_whole(ranking: onnxattr.Ranking) -> None:
    path = MODELS / "denoise-keras.onnx"
    single = onnxattr.rank([MODELS], target=str(path))
    (target,) = single.targets
    # By default a second measure stands beside it, which changes nothing of the first.
    alone = [
        dataclasses.replace(s, measures={"attribution": s.measures["attribution"]}, disputed=False)
        for s in target.sources
    ]
    assert alone == [*next(t for t in ranking.targets if t.name == "denoise-keras").sources]
    assert all(len(s.measures) == 2 for s in target.sources)
    np.testing.assert_array_equal(single.similarity.per_probe, ranking.similarity.per_probe)


def test_a_comparison_agrees_with_the_ranking(ranking: onnxattr.Ranking) -> None:
    one, two = "autoencoder-torch", "denoise-keras"
    compared = onnxattr.compare(MODELS / f"{one}.onnx", MODELS / f"{two}.onnx")
    target = next(t for t in ranking.targets if t.name == one)
    source = next(s for s in target.sources if s.name == two)
    assert compared.similarity == pytest.approx(source.similarity, abs=1e-12)
    cosines = [p.cosine for p in compared.probes]
    assert len(cosines) == 64
    assert cosines == sorted(cosines, reverse=True)
    assert np.mean(cosines) == pytest.approx(compared.similarity, abs=1e-12)


def test_the_order_of_the_models_does_not_matter(ranking: onnxattr.Ranking) -> None:
    files = sorted(MODELS.glob("rgb2*.onnx"))
    there, back = (onnxattr.rank(f).similarity for f in (files, files[::-1]))
    np.testing.assert_allclose(there.matrix, back.matrix[::-1, ::-1], atol=1e-12)


def test_an_untrained_copy_is_not_taken_for_its_trained_twin(tmp_path: Path) -> None:
    """A control: the same architecture with permuted weights is far from the model itself."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load(str(MODELS / "rgb2depth-torch.onnx"))
    rng = np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            shuffled = rng.permutation(array.ravel()).reshape(array.shape)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
    onnx.save(proto, str(tmp_path / "permuted.onnx"))
    files = [tmp_path / "permuted.onnx", *MODELS.glob("rgb2depth-*.onnx")]
    (target,) = onnxattr.rank(files, target="rgb2depth-keras").targets
    assert [s.name for s in target.sources] == ["rgb2depth-torch", "permuted"]
    assert target.sources[1].high < target.sources[0].low
