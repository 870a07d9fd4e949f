"""The miniature's machinery on a few tiny scenes: training, readouts, win rates and tables."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from samples.miniature import data, make, readout, train_torch, transfer, zoo
from samples.miniature.tasks import TASKS

RECIPE = zoo.Recipe(scenes=8, validation=4, batch=4, epochs=1)
TRANSFER = zoo.Transfer(images=8, tests=5, batch=4, epochs=1)
FEW = ("class_object", "denoise", "edge2d", "segmentsemantic", "vanishing_point")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Scenes of these tests alone; torch's settings are put back, which training changes."""
    threads, kept = torch.get_num_threads(), data.CACHE
    data.CACHE = tmp_path_factory.mktemp("cache")
    splits = (data.training(RECIPE), data.held_out(RECIPE))
    for split in (*splits, *data.readout_splits(RECIPE, TRANSFER)):
        split.folder.mkdir()
        rows = [
            data._arrays((seed, split.size))
            for seed in range(split.first, split.first + split.count)
        ]
        for name in rows[0]:
            np.save(split.folder / f"{name}.npy", np.stack([row[name] for row in rows]))
    yield
    data.CACHE = kept
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def encoder(path, seed, channels_last=False):
    """Write an encoder with random weights: one convolution of 8×8 and ReLU, 32 channels."""
    weights = np.random.default_rng(seed).normal(0, 0.1, (32, 3, 8, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[8, 8]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    shape, code = ["n", 3, 64, 64], ["n", 32, 8, 8]
    if channels_last:
        nodes[0].input[0], nodes[1].output[0] = "xt", "yt"
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["xt"], perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Transpose", ["yt"], ["y"], perm=[0, 2, 3, 1]))
        shape, code = ["n", 64, 64, 3], ["n", 8, 8, 32]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, code)],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    return path


def test_win_rate_is_the_share_of_beaten_rivals():
    rng = np.random.default_rng(0)
    losses, rivals = rng.integers(0, 4, (3, 7)).astype(float), rng.integers(0, 4, (5, 7))
    expected = np.zeros(3)
    for source in range(3):
        for rival in range(5):
            for image in range(7):
                mine, other = losses[source, image], rivals[rival, image]
                expected[source] += 1.0 if other > mine else 0.5 if other == mine else 0.0
    np.testing.assert_allclose(transfer.win_rates(losses, rivals), expected / 35, atol=1e-12)


def test_a_zoo_has_a_mean_win_rate_of_one_half_and_outsiders_change_nothing():
    rng = np.random.default_rng(1)
    losses = {name: {"edge2d": rng.random((2, 9))} for name in "abcd"}
    losses["best"] = {"edge2d": np.full((2, 9), -1.0)}
    alone = transfer.affinities(losses, "abcd", (), ["edge2d"])
    assert alone.shape == (2, 4, 1)
    np.testing.assert_allclose(alone.mean(axis=1), 0.5)
    more = transfer.affinities(losses, "abcd", ["best"], ["edge2d"])
    np.testing.assert_array_equal(more[:, :4], alone)
    np.testing.assert_array_equal(more[:, 4], 1)


def test_features_do_not_depend_on_the_layout_of_the_file(tmp_path):
    images = np.random.default_rng(2).random((60, 64, 64, 3), dtype=np.float32)
    first = transfer.features(encoder(tmp_path / "first.onnx", 0), images)
    last = transfer.features(encoder(tmp_path / "last.onnx", 0, channels_last=True), images)
    assert first.shape == (60, 32, 8, 8)
    np.testing.assert_allclose(first, last, atol=1e-5)


def test_features_are_standardised_by_the_training_images():
    rng = np.random.default_rng(3)
    train, test = rng.normal(5, 3, (2, 40, 4, 8, 8))
    train[:, 2] = test[:, 2] = 7  # a dead channel
    first, second = readout.standardised(train, test)
    np.testing.assert_allclose(first.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(first.std((0, 2, 3)), [1, 1, 0, 1], atol=1e-5)
    np.testing.assert_allclose(
        second[:, 0], (test[:, 0] - train[:, 0].mean()) / train[:, 0].std(), atol=1e-4
    )


def test_a_readout_learns_what_the_features_hold():
    """Depth that is one of the channels is read off much better than from noise."""
    rng = np.random.default_rng(4)
    task = TASKS["rgb2depth"]
    values = rng.random((240, 8, 8, 1)).astype(np.float32)
    targets = values.repeat(2, axis=1).repeat(2, axis=2)
    noise = rng.normal(size=(240, 32, 8, 8)).astype(np.float32)
    knowing = noise.copy()
    knowing[:, 5] = (values[..., 0] - 0.5) * 12**0.5
    budget = dataclasses.replace(zoo.TRANSFER, epochs=20)
    means = {}
    for name, features in (("knowing", knowing), ("noise", noise)):
        pairs = (
            (part, target)
            for part, target in zip(
                (features[:200], features[200:]), (targets[:200], targets[200:]), strict=True
            )
        )
        one, again = (readout.losses(task, budget, 1, *split) for split in [tuple(pairs)] * 2)
        np.testing.assert_array_equal(one, again)
        assert one.shape == (40,)
        means[name] = one.mean()
    assert means["knowing"] < 0.5 * means["noise"]


@pytest.mark.parametrize("family", ["a", "residual"])
@pytest.mark.parametrize("name", FEW)
def test_training_is_quick_scored_and_the_same_again(family, name, tmp_path):
    entry = zoo.Entry(name, family, 9)
    scores = [train_torch.train(entry, RECIPE, tmp_path / f"{n}.pt") for n in range(2)]
    assert scores[0] == scores[1]
    assert set(scores[0]) == ({"loss", "accuracy"} if TASKS[name].classifies else {"loss"})
    first, again = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in range(2))
    start = train_torch.build_encoder(entry, RECIPE).state_dict()
    for key in first:
        assert torch.equal(first[key], again[key])
    assert any(not torch.equal(first[key], start[key]) for key in first)
    model = train_torch.load_trained(entry, RECIPE, tmp_path / "0.pt")
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 32, 8, 8)


def test_the_control_keeps_its_initial_weights(tmp_path):
    assert train_torch.train(zoo.CONTROL, RECIPE, tmp_path / "control.pt") == {}
    torch.manual_seed(zoo.CONTROL.seed)
    expected = train_torch.build_encoder(zoo.CONTROL, RECIPE).state_dict()
    stored = torch.load(tmp_path / "control.pt", weights_only=True)
    assert all(torch.equal(stored[key], expected[key]) for key in expected)


def test_transfer_of_random_encoders_ends_in_a_table(tmp_path):
    entries = tuple(zoo.Entry(name, "a", 0) for name in FEW)
    paths = {}
    for number, entry in enumerate(entries):
        model = encoder(tmp_path / f"{entry.name}.onnx", number, channels_last=number % 2 == 1)
        paths[entry.name] = transfer.measure(model, RECIPE, TRANSFER, tmp_path / "losses", FEW)
        with np.load(paths[entry.name]) as stored:
            assert {*stored.files} == {*FEW, "seconds"}
            assert all(stored[name].shape == (2, 5) for name in FEW)
    transfer.report(entries[:4], entries[4:], paths, RECIPE, TRANSFER, tmp_path / "truth.csv")
    head, *rows = [line.split(",") for line in (tmp_path / "truth.csv").read_text().splitlines()]
    assert head == ["source", *(entry.name for entry in entries[:4])]
    assert [row[0] for row in rows] == [entry.name for entry in entries]
    values = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(values[:4].mean(axis=0), 0.5, atol=1e-6)
    facts = json.loads((tmp_path / "truth.json").read_text())
    assert facts["images"] == [3_000_000, 8]
    assert {*facts["losses"]} == {entry.name for entry in entries}
    with np.load(paths["denoise-a"]) as stored:
        expected = stored["edge2d"].mean(axis=1)
    np.testing.assert_allclose(facts["losses"]["denoise-a"]["edge2d"], expected, rtol=1e-4)


def test_what_is_measured_is_not_measured_again_unless_the_file_changes(tmp_path):
    model = encoder(tmp_path / "edge2d-a.onnx", 0)
    first = transfer.measure(model, RECIPE, TRANSFER, tmp_path / "losses", ("edge2d",))
    first.write_bytes(b"as it was")
    assert transfer.measure(model, RECIPE, TRANSFER, tmp_path / "losses", ("edge2d",)) == first
    assert first.read_bytes() == b"as it was"
    encoder(model, 1)
    second = transfer.measure(model, RECIPE, TRANSFER, tmp_path / "losses", ("edge2d",))
    assert second != first
    assert np.load(second)["edge2d"].shape == (2, 5)


def test_spoilt_pictures_are_the_same_for_every_model_and_differ_between_splits():
    train, test = data.readout_splits(RECIPE, TRANSFER)
    noisy = data.spoilt(train, TASKS["denoise"])
    np.testing.assert_array_equal(noisy, data.spoilt(train, TASKS["denoise"]))
    assert not np.array_equal(noisy[:5], data.load(train, "image")[:5])
    np.testing.assert_array_equal(data.spoilt(test, TASKS["edge2d"]), data.load(test, "image"))


def test_targets_of_readouts_are_averages_of_the_full_ones():
    train, _ = data.readout_splits(RECIPE, TRANSFER)
    from samples.scenes import render

    full = TASKS["rgb2sfnorm"].target(render(train.first, 64))
    expected = full.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    found = transfer.targets(TASKS["rgb2sfnorm"], train, TRANSFER)[0]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # kept as float16
    classes = transfer.targets(TASKS["segmentsemantic"], train, TRANSFER)[0]
    np.testing.assert_array_equal(classes, render(train.first, 64).classes[::4, ::4])


def test_unfinished_zoos_get_no_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(zoo, "CACHE", tmp_path)
    make.measure([], RECIPE, TRANSFER, tmp_path, 1)
    assert not list(tmp_path.glob("*.csv"))
    assert "affinity-b.csv: left out" in capsys.readouterr().err


def test_no_scene_is_used_twice():
    recipe, measured = zoo.RECIPE, zoo.TRANSFER
    splits = [data.training(recipe), data.held_out(recipe), *data.readout_splits(recipe, measured)]
    splits.append(data.Split(zoo.PROBES_FROM, zoo.PROBE_COUNT, 64))
    numbers = [n for s in splits for n in range(s.first, s.first + s.count)]
    assert len(numbers) == len(set(numbers))


def test_entries_are_distinct_and_zoos_alike():
    assert len({e.name for e in zoo.ZOO}) == len({e.seed for e in zoo.ZOO}) == len(zoo.ZOO) == 59
    assert [e.task for e in zoo.ZOO_A] == [e.task for e in zoo.ZOO_B] == list(zoo.TASK_NAMES)
    assert {*zoo.SIX_TASKS} < {*zoo.TASK_NAMES}
