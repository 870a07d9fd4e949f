"""Rankings that take probes only until their order is decided."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, load, numpy_helper, save_model

import onnxattr
from onnxattr.errors import UsageError
from onnxattr.space import many
from onnxattr.space.sequential import StoppingRule
from onnxattr.space.similarity import similarity

SEED = 5


def save(path: Path, seed: int, *, beside: float = 0.0) -> None:
    """Two convolutions; `beside` of another seed's weights makes a model more or less alike."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(99)
    shapes = ((6, 3, 3, 3), (4, 6, 3, 3))
    weights = [
        ((1 - beside) * rng.normal(size=s) + beside * other.normal(size=s)).astype(np.float32)
        for s in shapes
    ]
    nodes, last = [], "x"
    for number in range(2):
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last = f"r{number}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info(last, 1, ["N", 4, 12, 12])],
        [numpy_helper.from_array(w, f"w{number}") for number, w in enumerate(weights)],
    )
    opsets = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`near` is close to `target`; the others are not, and two of them are copies."""
    path = tmp_path_factory.mktemp("models")
    save(path / "target.onnx", 0, beside=1.0)
    save(path / "near.onnx", 1, beside=0.9)
    save(path / "far.onnx", 2)
    save(path / "strange.onnx", 3)
    (path / "stranger.onnx").write_bytes((path / "strange.onnx").read_bytes())
    return path


@pytest.fixture(scope="module")
def probes() -> onnxattr.Probes:
    return onnxattr.load_probes(limit=48, canvas=12)


OPTIONS = onnxattr.Options(device="cpu", store=None, seed=SEED, batch_size=8)
ONE = StoppingRule(minimum=8)


def test_one_target(folder: Path, probes: onnxattr.Probes) -> None:
    ranking = onnxattr.rank(
        folder, target="target", probes=probes, until_stable=ONE, options=OPTIONS
    )
    stopping = ranking.stopping
    assert stopping is not None
    (settled,) = stopping.targets
    assert (settled.closest, settled.decided, settled.ties) == (("near",), (True,), ())
    assert (stopping.total, stopping.probes) == (48, settled.probes)
    assert 8 <= settled.probes < 48
    # Those that went on to the end, and those that were out before.
    assert stopping.shown["target"] == stopping.shown["near"] == stopping.probes
    assert min(stopping.shown.values()) < stopping.probes or stopping.probes == 8
    # No probes but these were looked at, in the order of the draw.
    order = np.random.default_rng(SEED).permutation(48)[: stopping.probes]
    assert ranking.settings["probes"]["count"] == stopping.probes
    assert ranking.targets[0].sources[0].name == "near"
    assert [m.measure for m in ranking.measures] == ["attribution"]

    # The cosines are those of the same maps, made at once, on the probes that each was shown.
    names = [m.name for m in ranking.models]
    maps = []
    for name in names:
        values = onnxattr.attribute(folder / f"{name}.onnx", probes=probes, options=OPTIONS).values
        values = values[order].copy()
        values[stopping.shown[name] :] = np.nan
        maps.append(values)
    expected = similarity(maps, names)
    np.testing.assert_allclose(
        ranking.similarity.per_probe, expected.per_probe, atol=1e-5, equal_nan=True
    )
    for model in ranking.models:
        assert model.unusable == 0
        assert model.parity is not None
        assert model.parity.probes == stopping.shown[model.name]


def test_all_models_and_copies_that_are_tied(folder: Path, probes: onnxattr.Probes) -> None:
    ranking = onnxattr.rank(folder, probes=probes, until_stable=ONE, options=OPTIONS)
    assert ranking.stopping is not None
    targets = {t.target: t for t in ranking.stopping.targets}
    assert set(targets) == {"target", "near", "far", "strange", "stranger"}
    assert targets["strange"].closest == ("stranger",)
    assert targets["strange"].decided == (True,)
    assert targets["strange"].probes == 8
    assert targets["target"].closest == ("near",)
    # To all others the two copies are equally near: of such a pair no order is ever decided.
    both = onnxattr.rank(
        folder,
        target="target",
        probes=probes,
        until_stable=dataclasses.replace(ONE, top=3),
        options=OPTIONS,
    ).stopping
    assert both is not None
    tied = {frozenset(pair) for pair in both.targets[0].ties}
    assert not all(both.targets[0].decided)
    assert tied


def test_the_store_is_used_and_the_numbers_are_the_same(
    folder: Path, probes: onnxattr.Probes, tmp_path: Path
) -> None:
    options = dataclasses.replace(OPTIONS, store=tmp_path)
    first, second = (
        onnxattr.rank(folder, target="target", probes=probes, until_stable=ONE, options=options)
        for _ in range(2)
    )
    # A copy has the maps of the file whose bytes it has, which were put there just before.
    assert first.stored == ("stranger",)
    assert len(second.stored) == 5
    assert first.stopping == second.stopping
    np.testing.assert_array_equal(first.similarity.per_probe, second.similarity.per_probe)


def test_a_model_that_fails_is_left_out_and_the_others_are_decided(
    folder: Path, probes: onnxattr.Probes, tmp_path: Path
) -> None:
    """A linear net's centred maps are zero on all probes; a broken file has none."""
    for file in folder.glob("*.onnx"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    linear = load(str(folder / "far.onnx"))
    for node in linear.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Identity"
    save_model(linear, tmp_path / "linear.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    ranking = onnxattr.rank(
        tmp_path, target="target", probes=probes, until_stable=ONE, options=OPTIONS
    )
    assert {f.name for f in ranking.failures} == {"linear", "broken"}
    assert ranking.stopping is not None
    assert ranking.stopping.targets[0].decided == (True,)


def test_fewer_probes_than_the_minimum(folder: Path, probes: onnxattr.Probes) -> None:
    ranking = onnxattr.rank(
        folder,
        target="target",
        probes=probes,
        until_stable=StoppingRule(),
        options=dataclasses.replace(OPTIONS, limit=12),
    )
    assert ranking.stopping is not None
    assert (ranking.stopping.probes, ranking.stopping.total) == (12, 12)
    assert ranking.stopping.targets[0].decided == (False,)


def test_models_too_many_for_all_cosines_are_decided_alike(
    folder: Path, probes: onnxattr.Probes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cosines made in blocks, one target at a time, are the same."""
    options = dataclasses.replace(OPTIONS, store=tmp_path)

    def ranked() -> onnxattr.Ranking:
        return onnxattr.rank(
            folder, target="target", probes=probes, until_stable=ONE, options=options
        )

    at_once = ranked()
    monkeypatch.setattr(many, "COSINES", 0)
    in_blocks = ranked()
    assert in_blocks.similarity is not None
    assert in_blocks.similarity.per_probe.size == 0
    assert in_blocks.stopping == at_once.stopping
    assert [m.unusable for m in in_blocks.models] == [0] * 5


def test_only_a_mean_over_probes_can_stop(folder: Path) -> None:
    options = dataclasses.replace(OPTIONS, measure="attribution,cka")
    with pytest.raises(UsageError, match="--until-stable stops by `attribution` alone: `cka`"):
        onnxattr.rank(folder, until_stable=ONE, options=options)
