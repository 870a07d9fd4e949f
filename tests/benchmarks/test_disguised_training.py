"""Networks that are trained from a victim, or apart from it, on noise in place of scenes."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from benchmarks.disguises import plan, trained, training
from benchmarks.disguises.answers import answers_of
from samples.miniature import heads, train_torch
from samples.miniature.tasks import TASKS
from samples.miniature.zoo import RECIPE, Entry


@pytest.fixture
def images():
    return np.random.default_rng(0).random((16, 64, 64, 3)).astype(np.float32)


@pytest.fixture
def depth():
    return TASKS["rgb2depth"]


@pytest.fixture(autouse=True)
def noise_in_place_of_scenes(monkeypatch, images):
    monkeypatch.setattr(training, "load", lambda split, name: images)

    def batches(recipe, task, seed):
        rng = np.random.default_rng(seed)
        for _ in range(80 * recipe.epochs):
            chosen = rng.permutation(16)[:8]
            yield images[chosen], images[chosen, ::2, ::2, :1]

    monkeypatch.setattr(training, "batches", batches)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_victim_out_of_its_file_computes_the_same_and_trains_with_batch_norm(tmp_path, images):
    torch.manual_seed(3)
    network = train_torch.build_encoder(Entry("autoencoder", "a", 3), RECIPE)
    for part in network:
        if isinstance(part, nn.BatchNorm2d):
            for value in (part.running_mean, part.bias.data):
                value.normal_()
            for value in (part.running_var, part.weight.data):
                value.uniform_(0.5, 2)
    path = tmp_path / "victim.onnx"
    training.write(network, path)
    batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"input": batch})[0]
    found = training.restored(path)
    assert not found.training
    with torch.no_grad():
        assert np.abs(found(torch.from_numpy(batch)).numpy() - wanted).max() <= 1e-5 * wanted.max()
        # Statistics are those of the scenes: in training mode it does about the same.
        trained = found.train()(torch.from_numpy(batch)).numpy()
    assert np.corrcoef(trained.ravel(), wanted.ravel())[0, 1] > 0.99


def test_seeds_give_the_weights_that_the_zoo_began_with():
    torch.manual_seed(117)
    zoo = train_torch.build_encoder(Entry("segment2d", "a", 117), RECIPE)
    for (_, found), wanted in zip(
        weights(training.fresh("a", 117)).items(), zoo.state_dict().values(), strict=True
    ):
        assert torch.equal(found, wanted)


def test_a_frozen_encoder_stays_as_it_is(depth):
    encoder = training.fresh("a", 1)
    before = weights(encoder)
    training.learn(encoder, depth, plan.Budget(2 / 80, 1e-3, frozen=True), 4)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_fine_tuning_starts_where_the_encoder_was(depth):
    encoder = training.fresh("a", 1)
    before = weights(encoder)
    training.learn(encoder, depth, plan.Budget(2 / 80, 1e-4), 4)
    moved = (encoder[0].weight - before["0.weight"]).abs()
    assert 0 < moved.max() <= 2.5e-4  # two steps of Adam


@pytest.mark.parametrize("outputs", [False, True])
def test_a_student_comes_closer_to_its_teacher_without_targets(outputs, depth, images):
    teacher, batch = training.fresh("a", 1), torch.from_numpy(images).movedim(-1, 1).contiguous()
    for _ in range(40):  # until its statistics are those of the images
        teacher(batch)
    teacher.eval()
    head = train_torch.build_decoder(depth, RECIPE).eval() if outputs else None
    student = training.fresh("residual", 2)
    start = copy.deepcopy(student).train()
    before = weights(teacher)
    training.imitate(student, teacher, head, depth, plan.Budget(15 / 80, 3e-3), 5)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    if not outputs:
        with torch.no_grad():
            first, last = (
                (n(batch) - teacher(batch)).square().mean() for n in (start, student.train())
            )
        assert last < 0.8 * first


@pytest.mark.parametrize("victim", plan.HELD_OUT)
def test_a_victim_with_its_head_answers_as_its_file_does(victim, tmp_path):
    whole = nn.Sequential(
        training.restored(trained.victim_file(victim)),
        training.restored_head(training.task_named(victim), trained.head_file(victim)),
    ).eval()
    images = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    heads.join(trained.victim_file(victim), trained.head_file(victim), tmp_path / "whole.onnx")
    expected = answers_of(tmp_path / "whole.onnx")(images)
    with torch.no_grad():
        found = whole(torch.from_numpy(images)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
