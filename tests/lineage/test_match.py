"""Copies in disguise are found, and what is none is not."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from disguised import (
    DISGUISES,
    Plain,
    Residual,
    disguise_plain,
    export,
    factors,
    images,
    quantise,
    reordered,
    seeded,
    weights,
)
from torch import nn

from onnxattr.graph.load import load
from onnxattr.lineage.layers import weights_of_model
from onnxattr.lineage.weights import match_weights

#: Channels of a network, and of one that has three quarters of its hidden ones.
WIDTHS = (12, 16, 20, 24, 32), (9, 12, 15, 18, 32)

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("name", DISGUISES)
def test_reordering_and_rescaling_change_nothing(name):
    make, disguise = DISGUISES[name]
    net = seeded(make)
    other = disguise(net)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(other(x), net(x), rtol=1e-3, atol=1e-4)
    found = match_weights(weights(other), weights(net))
    worst = min(layer.similarity for layer in found.profile)
    assert worst == pytest.approx(1, abs=1e-5), [(m.suspect, m.similarity) for m in found.profile]
    assert found.covered == 1
    assert not found.identical


def test_the_same_weights_of_two_frameworks_are_identical():
    """Layout, names, opset and the way of folding differ; the fixtures compute the same."""
    torch_file, keras_file = (FIXTURES / f"same_weights-{name}.onnx" for name in ("torch", "keras"))
    found = match_weights(*(weights_of_model(load(f)) for f in (keras_file, torch_file)))
    assert found.identical
    assert found.late == pytest.approx(1, abs=1e-5)
    assert found.copied == 1


@pytest.mark.parametrize(
    "options",
    # The second exporter comes with onnxscript, which the tests of exporters install.
    [{"opset": 11}, pytest.param({"dynamo": True, "opset": 20}, marks=pytest.mark.exporters)],
)
@pytest.mark.parametrize("name", ["plain", "residual"])
def test_another_opset_or_exporter_is_identical(name, options):
    net = seeded(DISGUISES[name][0])
    found = match_weights(weights(net, **options), weights(net))
    assert found.identical
    assert found.covered == 1


def test_batch_normalisation_that_is_kept_folded_or_split_off_is_the_same():
    net = seeded(Plain)
    split = copy.deepcopy(net)
    with torch.no_grad():
        for conv, norm in zip(split.convs, split.norms, strict=True):
            # Half of each scale moves from the normalisation, of either sign, into the filters.
            part = torch.linspace(-2, 2, conv.out_channels).sign() * factors(
                conv.out_channels, torch.Generator().manual_seed(3)
            )
            conv.weight.mul_(part.reshape(-1, 1, 1, 1))
            conv.bias.mul_(part)
            norm.running_mean.mul_(part)
            norm.running_var.copy_((norm.running_var + norm.eps) * part**2 - norm.eps)
            norm.weight.mul_(part.sign())
    torch.testing.assert_close(split(images()), net(images()), rtol=1e-3, atol=1e-3)
    kept = weights(split, fold=False)
    assert len(kept.layers) == 6
    found = match_weights(kept, weights(net))
    assert min(layer.similarity for layer in found.profile) == pytest.approx(1, abs=1e-5)
    assert found.identical


def test_half_precision_is_nearly_the_same():
    net = seeded(Plain)
    half = weights(copy.deepcopy(net).half(), images().half())
    found = match_weights(half, weights(net))
    assert found.late > 0.999
    assert all(layer.weight.dtype == np.float32 for layer in half.layers)


@pytest.mark.parametrize("name", ["plain", "residual", "attention"])
@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
def test_quantisation_is_undone(name, way, tmp_path):
    net = seeded(DISGUISES[name][0])
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    plain.write_bytes(export(net, images()))
    quantise(plain, small, way)
    found = match_weights(weights_of_model(load(small)), weights_of_model(load(plain)))
    assert found.covered == 1
    # Attention of QLinear operators hides the sizes that its channels are followed by.
    floor = 0.95 if (name, way) == ("attention", "QOperator") else 0.99
    assert min(layer.similarity for layer in found.profile) > floor


def test_the_same_fixed_filter_makes_no_two_models_identical():
    grey = nn.Conv2d(3, 1, 1, bias=False).eval()
    grey.weight.data[:] = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    one, other = (weights(nn.Sequential(grey), torch.rand(1, 3, 8, 8)) for _ in range(2))
    assert len(one.layers) == 1
    assert not match_weights(one, other).identical


def test_the_channels_of_an_input_are_found_in_another_order():
    net = seeded(Plain)
    turned = copy.deepcopy(net)
    reordered(turned.convs[0], torch.tensor([2, 1, 0]), inputs=True)
    torch.testing.assert_close(turned(images()), net(images().flip(1)))
    found = match_weights(weights(turned), weights(net))
    assert found.profile[0].similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "residual", "attention"])
def test_independent_networks_agree_no_more_than_by_chance(name):
    first, second = (weights(seeded(DISGUISES[name][0], seed)) for seed in (0, 1))
    found = match_weights(first, second)
    assert found.late < 0.6
    assert abs(found.late - found.chance) < 0.2
    assert not found.tensors
    assert not found.identical
    assert match_weights(second, first).late == pytest.approx(found.late, abs=0.05)


def test_a_copied_backbone_under_a_new_head_is_found():
    net = seeded(Plain)
    torch.manual_seed(5)
    other = copy.deepcopy(net)
    other.head = nn.Linear(256, 33)
    found = match_weights(weights(disguise_plain(other)), weights(net))
    assert found.late == pytest.approx(1, abs=1e-4)
    assert found.covered < 1
    assert [m.shape[0] for m in found.profile] == [8, 12, 16, 12, 16]


def test_a_copied_part_is_found_in_any_other_network():
    net = seeded(Residual)
    torch.manual_seed(5)
    host = nn.Sequential(
        nn.Conv2d(3, 12, 5, 1, 2),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, 1, 1),
        nn.ReLU(),
        copy.deepcopy(net.blocks[1]),
        nn.Conv2d(12, 6, 5),
    )
    found = match_weights(weights(host), weights(net))
    shapes = sorted(m.shape for m in found.tensors)
    assert shapes == [(8, 12, 3, 3), (12, 8, 3, 3)]
    assert all(m.exact for m in found.tensors)
    total = sum(p.numel() for n, p in host.named_parameters() if "weight" in n and "norm" not in n)
    assert found.copied == pytest.approx(2 * 8 * 12 * 9 / total, rel=0.01)


def test_pruned_channels_leave_a_match():
    net = seeded(Plain)
    small = Plain((8, 9, 16, 12, 16)).eval()
    kept = torch.tensor([0, 1, 3, 4, 5, 7, 8, 10, 11])
    state = {k: v.clone() for k, v in net.state_dict().items()}
    for key in list(state):
        if key.startswith(("convs.1.", "norms.1.")) and state[key].ndim:
            state[key] = state[key][kept]
    state["convs.2.weight"] = state["convs.2.weight"][:, kept]
    small.load_state_dict(state)
    found = match_weights(weights(small), weights(net))
    assert min(layer.similarity for layer in found.profile) > 0.99


@pytest.mark.parametrize("swap", [False, True])
def test_networks_without_layers_in_common_have_no_similarity_and_a_reason(swap):
    other = nn.Sequential(nn.Flatten(), nn.Linear(768, 40), nn.ReLU(), nn.Linear(40, 7))
    pair = [weights(seeded(Plain)), weights(seeded(lambda: other))]
    found = match_weights(*(pair[::-1] if swap else pair))
    assert found.late is None
    assert "layers correspond" in found.reason


def test_a_model_without_weights_has_a_reason():
    none = weights(nn.Sequential(nn.ReLU(), nn.Flatten()))
    assert not none.layers
    found = match_weights(none, weights(seeded(Plain)))
    assert found.late is None
    assert found.reason == "the suspect has no layers with stored weights"
    assert not found.identical


def test_dead_filters_and_absurd_scales_do_no_harm():
    net = seeded(Plain)
    dead = copy.deepcopy(net)
    with torch.no_grad():
        dead.convs[1].weight[:6] = 0
        dead.convs[2].weight.mul_(1e-18)
        dead.norms[2].running_mean.mul_(1e-18)
    found = match_weights(weights(dead), weights(net))
    assert all(np.isfinite([m.similarity, m.chance]).all() for m in found.profile)
    assert found.profile[1].similarity == pytest.approx(0.5, abs=0.1)
    itself = match_weights(weights(dead), weights(dead))
    assert itself.identical
    assert itself.late == pytest.approx(1, abs=1e-5)


def test_a_thinned_network_is_aligned_though_its_shapes_are_those_of_other_layers():
    wide, thin = (weights(seeded(lambda w=w: Plain(w))) for w in WIDTHS)
    found = match_weights(thin, wide)
    assert [m.depth for m in found.profile] == [1, 2, 3, 4, 5, 6]
    assert [m.shape[0] for m in found.profile] == [*WIDTHS[1], 10]
