"""Fused operators, and what torch exports through them: values and gradients of the unfused."""

import io
import math
import warnings

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
import torchvision
from torch import nn

import onnxattr
from onnxattr.convert.ops import OPERATORS

attention = OPERATORS["FusedAttention"].function
normalise = OPERATORS["FusedLayerNormalization"].function


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def gradients(function, *tensors):
    inputs = [t.clone().requires_grad_() for t in tensors]
    output = function(*inputs)
    weights = noise(*output.shape, seed=9).to(output)
    return output, torch.autograd.grad((output * weights).sum(), inputs)


def assert_same(ours, theirs, *tensors, tolerance=1e-6):
    (y, first), (z, second) = gradients(ours, *tensors), gradients(theirs, *tensors)
    for a, b in zip((y, *first), (z, *second), strict=True):
        assert a.dtype == b.dtype
        scale = max(b.detach().abs().max().item(), 1e-30)
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale)


# FusedAttention


def chain(q, k, v, mask=0.0, scale=1.0):
    return torch.softmax(q @ k * scale + mask, -1) @ v


LEADING = {"heads": (2, 3), "one axis": (6,), "three axes": (2, 2, 3), "none": ()}


@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
@pytest.mark.parametrize("mask", [None, (7,), (1, 7), (5, 7), (5, 1)], ids=str)
def test_attention_of_any_rank(leading, mask):
    q, k, v = noise(*leading, 5, 4), noise(*leading, 4, 7, seed=1), noise(*leading, 7, 6, seed=2)
    bias = None if mask is None else noise(*mask, seed=3)
    assert_same(
        lambda *x: attention(*x, bias, scale=0.3),
        lambda *x: chain(*x, 0.0 if bias is None else bias, scale=0.3),
        q, k, v,
    )  # fmt: skip


def test_attention_broadcasts_as_matmul_does():
    q, k, v = noise(2, 3, 5, 4), noise(3, 4, 7, seed=1), noise(1, 1, 7, 6, seed=2)
    assert_same(attention, chain, q, k, v)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (2, 3, 5, 7), (4, 1, 1, 1, 7)], ids=str)
def test_masks_broadcast_as_add_does(shape):
    q, k, v = noise(2, 3, 5, 4), noise(2, 3, 4, 7, seed=1), noise(2, 3, 7, 6, seed=2)
    assert_same(attention, chain, q, k, v, noise(*shape, seed=3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_attention_of_other_types(dtype):
    tensors = (noise(2, 3, 5, 4), noise(2, 3, 4, 7, seed=1), noise(2, 3, 7, 4, seed=2))
    q, k, v = (t.to(dtype) for t in tensors)
    ours, theirs = (
        attention(q, k, v, scale=0.5),
        chain(q.double(), k.double(), v.double(), scale=0.5),
    )
    assert ours.dtype == dtype
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("empty", ["zero", "nan", "mean"])
@pytest.mark.parametrize("leading", [(2, 3), (2, 2, 3)], ids=str)
def test_a_query_without_keys_sees_what_is_said(empty, leading):
    q, k, v = noise(*leading, 5, 4), noise(*leading, 4, 7, seed=1), noise(*leading, 7, 6, seed=2)
    keep = noise(5, 7, seed=3) > 0
    keep[0] = True
    keep[1] = False
    for masks in ((None, keep), (torch.where(keep, 0.0, -math.inf), None)):
        if empty == "mean" and masks[1] is None:
            continue
        y = attention(q, k, v, *masks, empty=empty)
        expected = {"zero": torch.zeros(6), "nan": torch.full((6,), math.nan)}
        row = expected.get(empty, v.mean(-2))
        torch.testing.assert_close(y[..., 1, :], row.expand(*leading, 6), equal_nan=True)
        rest = chain(q, k, v, torch.where(keep, 0.0, -math.inf))
        torch.testing.assert_close(y[..., 0, :], rest[..., 0, :])


@pytest.mark.parametrize("low", [-1e4, -1e9, torch.finfo(torch.float32).min])
def test_the_gradient_of_a_query_whose_keys_are_all_as_bad_as_forbidden(low):
    """The kernel alone makes it as many times too large as there are keys."""
    q, k, v = noise(2, 3, 5, 4), noise(2, 3, 4, 7, seed=1), noise(2, 3, 7, 6, seed=2)
    mask = torch.zeros(5, 7)
    mask[1], mask[2, 3:] = low, low

    def of_values(function):
        return gradients(lambda v: function(q, k, v, mask), v)[1][0]

    theirs = of_values(chain)
    ours = of_values(lambda *x: attention(*x, empty="nan"))
    # The chain itself rounds scores beside -1e4 to a thousandth.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3 if low == -1e4 else 1e-5)


@pytest.mark.parametrize(
    "shape",
    [
        (3, 2, 5, 7),
        (1, 3, 2, 5, 7),
        (1, 3, 1, 1, 7),
        (2, 1, 1, 5, 7),
        (1, 1, 1, 5, 7),
        (1, 1, 2, 1, 7),
    ],
    ids=str,
)
def test_masks_of_windows(shape):
    leading = (2, 3, 2)
    q, k, v = noise(*leading, 5, 4), noise(*leading, 4, 7, seed=1), noise(*leading, 7, 6, seed=2)
    mask, keep = noise(*shape, seed=3), noise(*shape, seed=4) > -1
    keep[..., 0] = True
    assert_same(lambda *x: attention(*x, mask, empty="nan"), lambda *x: chain(*x, mask), q, k, v)
    low = torch.where(keep, 0.0, -math.inf)
    assert_same(lambda *x: attention(*x, None, keep), lambda *x: chain(*x, low), q, k, v)
    assert_same(lambda *x: attention(*x, empty="nan"), chain, q, k, v, mask)


def test_a_first_axis_is_split_and_joined():
    split, join = (OPERATORS[name].function for name in ("SplitFirst", "JoinFirst"))
    x = noise(6, 3, 4)
    for sizes in ((-1, 3), (2, 3), (2, -1, 3)):
        parts = split(x, sizes=sizes)
        assert parts.shape[-3:] == (3, 3, 4)
        torch.testing.assert_close(join(parts, axes=len(sizes)), x)
    assert split(x[:1], sizes=(-1, 3)).shape == (1, 1, 3, 4)
    assert split(x[:0], sizes=(-1, 3)).shape == (0, 3, 3, 4)


def test_a_mask_may_have_a_gradient():
    q, k, v = noise(2, 3, 5, 4), noise(2, 3, 4, 7, seed=1), noise(2, 3, 7, 6, seed=2)
    mask = noise(1, 3, 5, 7, seed=3)
    assert_same(lambda *x: attention(*x, empty="nan"), chain, q, k, v, mask)


# FusedLayerNormalization


def steps(x, scale=1.0, bias=0.0, axes=(-1,), epsilon=1e-3):
    centred = x - x.mean(axes, keepdim=True)
    variance = centred.pow(2).mean(axes, keepdim=True)
    return centred / (variance + epsilon).sqrt() * scale + bias


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ((-1,), (6,)),
        ((-1,), (1,)),
        ((-1,), ()),
        ((3,), (1, 1, 6)),
        ((-2, -1), (5, 6)),
        ((-2, -1), (6,)),
        ((-2, -1), (5, 1)),
        ((1,), (4, 1, 1)),
        ((-3,), (1, 4, 1, 1)),
        ((1, 3), (4, 1, 6)),
        ((0, 2), (2, 1, 5, 1)),
    ],
    ids=str,
)
def test_normalisation_over_any_axes(axes, shape):
    x, scale, bias = noise(2, 4, 5, 6), noise(*shape, seed=1), noise(*shape, seed=2)
    for given in ((), (scale,), (scale, bias)):
        assert_same(
            lambda *t: normalise(*t, axes=axes, epsilon=1e-3),
            lambda *t: steps(*t, axes=axes),
            x, *given,
        )  # fmt: skip
    assert_same(
        lambda x, b: normalise(x, None, b, axes=axes, epsilon=1e-3),
        lambda x, b: steps(x, 1.0, b, axes=axes),
        x, bias,
    )  # fmt: skip


def test_a_scale_and_a_bias_of_two_shapes():
    x, scale, bias = noise(2, 5, 6), noise(5, 6, seed=1), noise(6, seed=2)
    assert_same(
        lambda *t: normalise(*t, axes=(-2, -1), epsilon=1e-3),
        lambda *t: steps(*t, axes=(-2, -1)),
        x, scale, bias,
    )  # fmt: skip


# Exports of torch


class Attention(nn.Module):
    """Attention as libraries of vision transformers write it."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.qkv = kind, nn.Linear(8, 24)
        self.register_buffer("bias", noise(1, 2, 5, 5, seed=4))

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "kernel":
            y = F.scaled_dot_product_attention(q, k, v)
        elif self.kind == "causal":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.kind == "additive":
            y = F.scaled_dot_product_attention(q, k, v, self.bias)
        elif self.kind == "boolean":
            y = F.scaled_dot_product_attention(q, k, v, self.bias > -1)
        elif self.kind == "by hand":
            y = ((q @ k.transpose(-1, -2)) / 2 + self.bias).softmax(-1) @ v
        elif self.kind == "filled":
            scores = (q @ k.transpose(-1, -2)).masked_fill(self.bias < -1, -1e9)
            y = scores.softmax(-1) @ v
        else:
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.5
            y = torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
        return y.transpose(1, 2).reshape(b, n, 8)


class Encoder(nn.Module):
    """What a block of a transformer is made of."""

    def __init__(self, approximate="none"):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(8), Attention("kernel")
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(approximate), nn.Linear(16, 8))

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.layers(self.norm(x))


def export(module, x, **options):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), file, **options)
    return onnx.ModelProto.FromString(file.getvalue())


def normalised(proto):
    from onnxattr.graph.load import load
    from onnxattr.graph.normalise import FUSIONS, normalise

    return sorted(n.op_type for n in normalise(load(proto), fuse=FUSIONS).proto.graph.node)


def fused_operators(proto):
    """Returns what was joined, but for the layers of weights and biases around it."""
    found = (name for name in normalised(proto) if name.startswith("Fused"))
    return [name for name in found if name != "FusedLinear"]


def assert_converts(proto, module, x, expected):
    assert fused_operators(proto) == expected
    module.eval().requires_grad_(False)
    for theirs in (onnxattr.to_torch(proto, fuse=False), module):
        assert_same(onnxattr.to_torch(proto), theirs, x, tolerance=3e-6)


KINDS = ["kernel", "causal", "additive", "boolean", "by hand", "filled", "einsum"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opset", [14, 17])
def test_attention_of_the_exporter_by_tracing(kind, opset):
    module, x = Attention(kind), noise(2, 5, 8)
    proto = export(module, x, opset_version=opset, dynamo=False)
    assert_converts(proto, module, x, ["FusedAttention"])


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_a_block_of_the_exporter_by_tracing(approximate):
    module, x = Encoder(approximate), noise(2, 5, 8)
    proto = export(module, x, opset_version=16, dynamo=False)
    norms = ["FusedLayerNormalization"] * 2
    assert_converts(proto, module, x, ["FusedAttention", "FusedGelu", *norms])


@pytest.mark.parametrize("kind", ["kernel", "boolean", "filled"])
def test_attention_of_the_exporter_by_default(kind):
    pytest.importorskip("onnxscript")
    module, x = Attention(kind), noise(2, 5, 8)
    proto = export(module, x, opset_version=18, dynamo=True, external_data=False, verbose=False)
    assert_converts(proto, module, x, ["FusedAttention"])


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_a_block_of_the_exporter_by_default(approximate):
    pytest.importorskip("onnxscript")
    module, x = Encoder(approximate), noise(2, 5, 8)
    proto = export(module, x, opset_version=18, dynamo=True, external_data=False, verbose=False)
    assert_converts(proto, module, x, ["FusedAttention", "FusedGelu"])


def test_a_vision_transformer():
    torch.manual_seed(0)
    module = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    nn.init.normal_(module.heads.head.weight)
    x = noise(2, 3, 32, 32)
    proto = export(module, x, opset_version=16, dynamo=False)
    expected = ["FusedAttention"] * 2 + ["FusedGelu"] * 2 + ["FusedLayerNormalization"] * 5
    assert_converts(proto, module, x, expected)


def test_a_convnext():
    """It normalises the channels of transposed images, and of untransposed ones."""
    setting = torchvision.models.convnext.CNBlockConfig
    torch.manual_seed(0)
    module = torchvision.models.ConvNeXt([setting(8, 16, 1), setting(16, None, 1)], num_classes=5)
    x = noise(2, 3, 32, 32)
    proto = export(module, x, opset_version=16, dynamo=False)
    found = fused_operators(proto)
    assert found == ["FusedGelu"] * 2 + ["FusedLayerNormalization"] * 5
    assert_converts(proto, module, x, found)


def test_second_derivatives_without_fusion():
    proto = export(Attention("kernel"), noise(2, 5, 8), opset_version=16, dynamo=False)
    module = onnxattr.to_torch(proto, fuse=False)
    x = noise(2, 5, 8).requires_grad_()
    (first,) = torch.autograd.grad(module(x).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.isfinite(second).all()


def test_a_fused_module_is_compiled_and_copied(tmp_path):
    x = noise(2, 5, 8)
    module = onnxattr.to_torch(export(Encoder(), x, opset_version=16, dynamo=False))
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x))
    torch.save(module, tmp_path / "module.pt")
    again = torch.load(tmp_path / "module.pt", weights_only=False)
    np.testing.assert_array_equal(again(x).numpy(), module(x).numpy())


class Masked(nn.Module):
    """A layer of BERT with the mask of its tokens, in the forms that libraries have written."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.qkv = kind, nn.Linear(8, 24)

    def forward(self, x, mask):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        given = mask[:, None, None, :]
        lowest = torch.finfo(x.dtype).min
        if self.kind == "boolean":
            y = F.scaled_dot_product_attention(q, k, v, given > 0)
        elif self.kind == "lowest":
            y = F.scaled_dot_product_attention(q, k, v, (1.0 - given) * lowest)
        elif self.kind == "filled":
            inverted = 1.0 - given.expand(b, 1, n, n)
            y = F.scaled_dot_product_attention(q, k, v, inverted.masked_fill(inverted > 0, lowest))
        else:
            scores = q @ k.transpose(-1, -2) / 2 + (1.0 - given) * float(self.kind)
            y = F.dropout(scores.softmax(-1), 0.1, self.training) @ v
        return y.transpose(1, 2).reshape(b, n, 8)


@pytest.mark.parametrize("kind", ["-10000", "-1e9", "lowest", "filled", "boolean"])
@pytest.mark.parametrize("how", ["by tracing", "by default"])
def test_masks_of_tokens(kind, how):
    options = {"opset_version": 17, "dynamo": False}
    if how == "by default":
        pytest.importorskip("onnxscript")
        options = {"dynamo": True, "external_data": False, "verbose": False}
    module, x = Masked(kind), noise(2, 5, 8)
    mask = torch.ones(2, 5)
    mask[0, 3:] = 0
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x, mask), file, **options)
    proto = onnx.ModelProto.FromString(file.getvalue())
    assert fused_operators(proto) == ["FusedAttention"]
    module.requires_grad_(False)
    for theirs in (onnxattr.to_torch(proto, fuse=False), module):
        assert_same(
            lambda x: onnxattr.to_torch(proto)(x, mask),
            lambda x, theirs=theirs: theirs(x, mask),
            x,
            tolerance=3e-6,
        )


@pytest.mark.parametrize("by_cosine", [False, True], ids=["Swin", "Swin 2"])
@pytest.mark.parametrize("how", ["by tracing", "by default"])
def test_a_shifted_window_transformer(by_cosine, how):
    options = {"opset_version": 16, "dynamo": False}
    if how == "by default":
        pytest.importorskip("onnxscript")
        options = {"dynamo": True, "external_data": False, "verbose": False}
    torch.manual_seed(0)
    swin = torchvision.models.swin_transformer
    more = (
        {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2}
        if by_cosine
        else {}
    )
    # 40 pixels are 10 patches: windows of 4 need a border.
    module = swin.SwinTransformer([4, 4], 16, [2], [2], [4, 4], num_classes=5, **more)
    x = noise(2, 3, 40, 40)
    proto = export(module, x, **options)
    assert fused_operators(proto).count("FusedAttention") == 2
    assert not any(n.startswith("Softmax") for n in normalised(proto))
    module.requires_grad_(False)
    for theirs in (onnxattr.to_torch(proto, fuse=False), module):
        assert_same(onnxattr.to_torch(proto), theirs, x, tolerance=1e-5)


def test_a_module_whose_masks_are_computed_is_exported():
    x, mask = noise(2, 5, 8), torch.ones(2, 5)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Masked("-1e9").eval(), (x, mask), file, opset_version=16, dynamo=False)
    module = onnxattr.to_torch(onnx.ModelProto.FromString(file.getvalue()))
    exported = torch.export.export(module, (x, mask)).module()
    # No token of one, of which it was not exported with any.
    mask[1] = 0
    torch.testing.assert_close(exported(x, mask), module(x, mask))
