"""Resize and Upsample against ONNX Runtime; ONNX's own tests of them are in `tests/backend`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import onnxattr
from onnxattr.errors import SupportError


def text(attributes, given, rank=4, op="Resize"):
    dims, names = ",".join(["n"] * rank), ",".join("abcdefg"[:rank])
    return f"(float[{dims}] x) => (float[{names}] y) {{ y = {op}<{attributes}>(x, {given}) }}"


def agree(proto, runtime, *feeds, atol=1e-5):
    (expected,) = runtime(proto, *feeds)
    ours = onnxattr.to_torch(proto)(*(torch.from_numpy(f) for f in feeds)).numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=atol)


TRANSFORMS = {
    "half_pixel": 11, "pytorch_half_pixel": 11, "align_corners": 11, "asymmetric": 11,
    "tf_half_pixel_for_nn": 11, "half_pixel_symmetric": 19,
}  # fmt: skip
KINDS = {
    "nearest, half down": 'mode="nearest", nearest_mode="round_prefer_floor"',
    "nearest, half up": 'mode="nearest", nearest_mode="round_prefer_ceil"',
    "nearest, down": 'mode="nearest", nearest_mode="floor"',
    "nearest, up": 'mode="nearest", nearest_mode="ceil"',
    "linear": 'mode="linear"',
    "cubic": 'mode="cubic"',
    "cubic, sharp": 'mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1',
    "linear, filtered": 'mode="linear", antialias=1',
    "linear, filtered, inside": 'mode="linear", antialias=1, exclude_outside=1',
    "cubic, filtered": 'mode="cubic", antialias=1',
    "cubic, filtered, inside": 'mode="cubic", antialias=1, exclude_outside=1',
}
SIZES = [((4, 5), (7, 3)), ((6, 6), (1, 1)), ((3, 10), (9, 6)), ((1, 1), (2, 5)),
         ((5, 12), (5, 4)), ((13, 7), (12, 16))]  # fmt: skip
# ONNX Runtime leaves an axis whose size stays alone where it filters, whatever the scale: the
# scale 1.1 on five values, which moves all of them by definition, is not among these.
SCALES = [(2.0, 2.0), (1.5, 0.6), (2.3333333, 1.3), (0.5, 0.3)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_and_transformation(build, runtime, noise, kind, transform):
    if transform == "half_pixel_symmetric" and '"floor"' in kind:
        pytest.skip("ONNX Runtime rounds 0.9999999 down where the position is 1 by definition")
    # tf_half_pixel_for_nn is of opset 11 alone by the letter; runtimes go on reading it.
    opset = max(TRANSFORMS[transform], 18 if "antialias" in kind else 11)
    attributes = f'{kind}, coordinate_transformation_mode="{transform}"'
    blank = np.zeros(0, np.float32)
    stored = {"none": blank} if opset == 11 else {}
    none = "none" if opset == 11 else ""
    for size, target in SIZES:
        sizes = np.array([1, 2, *target])
        proto = build(text(attributes, f"{none}, {none}, s"), opset=opset, s=sizes, **stored)
        agree(proto, runtime, noise(1, 2, *size))
    for scale in SCALES:
        if transform == "half_pixel_symmetric" and '"ceil"' in kind and scale[1] == 0.6:
            continue  # The same, the other way round.
        scales = np.array([1, 1, *scale], np.float32)
        proto = build(text(attributes, f"{none}, s"), opset=opset, s=scales, **stored)
        agree(proto, runtime, noise(1, 2, 3, 10))


@pytest.mark.parametrize("opset", [11, 13, 18, 22])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_regions(build, runtime, noise, opset, mode):
    attributes = (
        f'mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize", '
        "extrapolation_value=7.5"
    )
    roi = np.array([0, 0, 0.4, -0.3, 1, 1, 0.9, 1.2], np.float32)
    for given, stored in (
        ("roi, none, sizes", {"none": np.zeros(0, np.float32), "sizes": np.array([1, 2, 5, 1])}),
        ("roi, scales", {"scales": np.array([1, 1, 2, 1.5], np.float32)}),
    ):
        proto = build(text(attributes, given), opset=opset, ir_version=10, roi=roi, **stored)
        agree(proto, runtime, noise(1, 2, 6, 7))


@pytest.mark.parametrize("opset", range(7, 23))
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_every_opset(build, runtime, noise, opset, mode):
    for scale in ((2, 3), (1.5, 1.25)) if opset < 10 else ((2, 3), (0.6, 1.5)):
        scales = np.array([1, 1, *scale], np.float32)
        if opset < 9:
            attributes = f'mode="{mode}", scales=[1.0, 1.0, {scale[0]:.2f}, {scale[1]:.2f}]'
            proto = build(text(attributes, "", op="Upsample").replace(", )", ")"), opset=opset)
        elif opset < 11:
            op = "Upsample" if opset == 9 else "Resize"
            proto = build(text(f'mode="{mode}"', "s", op=op), opset=opset, s=scales)
        else:
            none = np.zeros(0, np.float32)
            kind = f'mode="{mode}"'
            proto = build(text(kind, "none, s"), opset=opset, ir_version=10, s=scales, none=none)
        agree(proto, runtime, noise(1, 2, 5, 8))


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [3], [-1, -2]])
def test_axes_and_their_ratio(build, runtime, noise, policy, axes):
    if min(axes) < 0 and policy != "stretch":
        pytest.skip("ONNX Runtime keeps the sizes where axes that keep their ratio are negative")
    attributes = f'mode="linear", axes={axes}, keep_aspect_ratio_policy="{policy}"'
    sizes = np.array([7, 8][: len(axes)])
    proto = build(text(attributes, ", , s"), opset=19, ir_version=10, s=sizes)
    agree(proto, runtime, noise(1, 2, 4, 6))


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_every_rank(build, runtime, noise, rank, mode):
    if rank == 1 and mode == "linear":
        pytest.skip("ONNX Runtime has it for two axes and more")
    size = [1, 2, 3, 4, 5][5 - rank :]
    scales = np.array([1] * max(rank - 3, 0) + [2.0, 1.5, 0.5][-min(rank, 3) :], np.float32)
    if rank == 4 or (rank == 3 and mode == "linear"):
        scales[: rank - 2] = 1
    proto = build(text(f'mode="{mode}"', ", s", rank), opset=19, ir_version=10, s=scales)
    agree(proto, runtime, noise(*size))


def test_integers(build, runtime):
    x = np.arange(24, dtype=np.uint8).reshape(1, 1, 4, 6) * 10
    for mode in ("nearest", "linear"):
        graph = text(f'mode="{mode}"', ", , s").replace("float", "uint8")
        proto = build(graph, opset=19, ir_version=10, s=np.array([1, 1, 8, 12]))
        agree(proto, runtime, x)


def test_large_images(build, noise):
    """Positions stay exact far from the origin, where those in float32 are 3e-5 off."""
    attributes = 'mode="linear", antialias=1, exclude_outside=1'
    module = onnxattr.to_torch(
        build(text(attributes, ", , s"), opset=19, s=np.array([1, 3, 256, 200]))
    )
    x = torch.from_numpy(noise(1, 3, 512, 512))
    theirs = F.interpolate(x.double(), (256, 200), mode="bilinear", antialias=True)
    torch.testing.assert_close(module(x), theirs.float(), rtol=1e-5, atol=2e-6)


def test_the_other_devices_and_modes(build):
    proto = build(text('mode="cubic"', ", , s"), opset=19, s=np.array([1, 2, 9, 8]))
    module = onnxattr.to_torch(proto)
    y = module.to("meta")(torch.empty(1, 2, 5, 6, device="meta"))
    assert (y.device.type, y.shape) == ("meta", (1, 2, 9, 8))
    half = module(torch.ones(1, 2, 5, 6, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    with torch.inference_mode():
        module(torch.ones(1, 2, 6, 7))
    x = torch.ones(1, 2, 6, 7, requires_grad=True)
    module(x).sum().backward()
    torch.testing.assert_close(x.grad.sum(), torch.tensor(2 * 9 * 8.0))


def test_positions_outside_have_no_share_where_all_are(build):
    """exclude_outside without a single tap inside: nothing is divided by nothing."""
    attributes = 'mode="cubic", exclude_outside=1, coordinate_transformation_mode="asymmetric"'
    proto = build(text(attributes, ", s"), opset=19, s=np.array([1, 1, 1, 0.2], np.float32))
    assert torch.isfinite(onnxattr.to_torch(proto)(torch.ones(1, 1, 2, 7))).all()


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('mode="bilinear"', "mode `bilinear`"),
        ('nearest_mode="simple"', "nearest_mode `simple`"),
        ('coordinate_transformation_mode="align"', "coordinate_transformation_mode `align`"),
    ],
)
def test_what_onnx_does_not_define_is_refused(build, attributes, reason):
    proto = build(text(attributes, ", , s"), opset=19, s=np.array([1, 1, 2, 2]))
    with pytest.raises(SupportError, match=reason):
        onnxattr.to_torch(proto)(torch.ones(1, 1, 2, 2))


class Net(nn.Module):
    """Down, and up again in the ways that torch has, with the sizes of the way down."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, stride=2)
        self.second = nn.Conv2d(4, 4, 3, padding=1, stride=2)
        self.third = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        p = F.relu(self.first(x))
        q = F.relu(self.second(p))
        u = F.interpolate(q, scale_factor=2, mode="nearest")
        v = F.interpolate(q, size=p.shape[2:], mode="bilinear", align_corners=True)
        w = F.interpolate(q, scale_factor=2, mode="bilinear", align_corners=False)
        r = F.relu(self.third(torch.cat([p, u + v * w], 1)))
        r = F.interpolate(r, size=x.shape[2:], mode="bicubic")
        return F.interpolate(r, size=(7, 9), mode="bilinear", antialias=True)


def by_hand(opset, net):
    """Returns the text of `Net`, without its last step, of opset 18, and what it stores."""
    none = "" if opset > 11 else "none"
    half = 'coordinate_transformation_mode="half_pixel"'
    resize = {
        "u": 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"',
        "v": 'mode="linear", coordinate_transformation_mode="align_corners"',
        "w": f'mode="linear", {half}',
        "r": f'mode="cubic", {half}',
        "y": f'mode="linear", antialias=1, exclude_outside=1, {half}',
    }
    last = f"y = Resize<{resize['y']}>(r, , , seven)" if opset > 17 else "y = Identity(r)"
    graph = f"""(float[N,3,16,20] x) => (float[N,4,h,w] y) {{
        a = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1, b1) p = Relu(a)
        b = Conv<pads=[1,1,1,1], strides=[2,2]>(p, w2, b2) q = Relu(b)
        u = Resize<{resize["u"]}>(q, {none}, twice)
        qs = Shape(q) batch = Slice(qs, zero, two) there = Concat<axis=0>(batch, eight)
        v = Resize<{resize["v"]}>(q, {none}, {none}, there)
        w = Resize<{resize["w"]}>(q, {none}, twice)
        m = Mul(v, w) s = Add(u, m) j = Concat<axis=1>(p, s)
        c = Conv<pads=[1,1,1,1]>(j, w3, b3) k = Relu(c)
        ks = Shape(k) kb = Slice(ks, zero, two) back = Concat<axis=0>(kb, sixteen)
        r = Resize<{resize["r"]}>(k, {none}, {none}, back)
        {last}
    }}"""
    stored = {f"{name[0]}{i}": value.detach().numpy()
              for i, layer in enumerate((net.first, net.second, net.third), 1)
              for name, value in layer.named_parameters()}  # fmt: skip
    stored |= {"twice": np.array([1, 1, 2, 2], np.float32), "zero": np.array([0])}
    stored |= {"two": np.array([2]), "eight": np.array([8, 10]), "sixteen": np.array([16, 20])}
    stored |= {"none": np.zeros(0, np.float32)} if opset == 11 else {}
    return graph, stored


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.mark.parametrize("opset", [11, 13, 19])
def test_a_net_made_by_hand(build, runtime, noise, net, opset):
    graph, stored = by_hand(opset, net)
    if opset == 19:
        # antialias = 1 takes all sizes here, and the batch is that of this feed.
        stored["seven"] = np.array([2, 4, 7, 9])
    proto = build(graph, opset=opset, **stored)
    x = noise(2, 3, 16, 20)
    agree(proto, runtime, x)
    module = onnxattr.to_torch(proto)
    if opset == 19:
        torch.testing.assert_close(module(torch.from_numpy(x)), net(torch.from_numpy(x)))
    probe = torch.from_numpy(noise(2, 3, 16, 20)).double().requires_grad_()
    assert torch.autograd.gradcheck(module.double(), (probe,), fast_mode=True)


def test_a_net_of_torchs_exporter(tmp_path, runtime, noise, net):
    pytest.importorskip("onnxscript", reason="torch exports through it")
    x = noise(2, 3, 16, 20)
    batch = torch.export.Dim("batch")
    path = tmp_path / "net.onnx"
    program = torch.onnx.export(
        net, (torch.from_numpy(x),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    program.save(path)
    proto = program.model_proto
    assert sum(n.op_type == "Resize" for n in proto.graph.node) == 5
    module = onnxattr.to_torch(path)
    for count in (1, 3):
        feed = noise(count, 3, 16, 20)
        agree(proto, runtime, feed)
        ours, theirs = (m(torch.from_numpy(feed)) for m in (module, net))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    ours, theirs = (torch.from_numpy(x).requires_grad_() for _ in range(2))
    module(ours).square().sum().backward()
    net(theirs).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
