"""Whether a ranking hangs on what was assumed: models are fed otherwise, one at a time."""

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxattr

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def save(path, body, **weights):
    text = f"{HEADER} g (float[N,3,16,16] x) => (float[N,4,16,16] y) {{ {body} }}"
    proto = parser.parse_model(text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()
    )
    onnx.save(proto, path)


def weight(seed):
    return np.random.default_rng(seed).normal(size=(4, 3, 3, 3))


@pytest.fixture
def models(tmp_path):
    """Two encoders, and one that is the first for small numbers and the second for large ones."""
    conv = "y0 = Conv<pads = [1,1,1,1]>(x, w)"
    for name, seed in (("dark", 1), ("bright", 2)):
        save(tmp_path / f"{name}.onnx", f"{conv} y = Relu(y0)", w=weight(seed))
    # A soft switch at 2: what lies from 0 to 1 takes one path, most of what goes up to 255 another.
    save(
        tmp_path / "switch.onnx",
        "d = Sub(x, two) g = Sigmoid(d) h = Sub(one, g) "
        "a0 = Conv<pads = [1,1,1,1]>(x, w) a = Relu(a0) "
        "b0 = Conv<pads = [1,1,1,1]>(x, v) b = Relu(b0) "
        "m = ReduceMean<axes = [1], keepdims = 1>(g) n = ReduceMean<axes = [1], keepdims = 1>(h) "
        "p = Mul(a, n) q = Mul(b, m) y = Add(p, q)",
        w=weight(1), v=weight(2), one=1, two=2,
    )  # fmt: skip
    return tmp_path


def rank(models, **options):
    return onnxattr.rank(
        [models], options=onnxattr.Options(limit=12, store=None, device="cpu", **options)
    )


def test_what_would_change_is_said(models):
    assert rank(models).assumptions == ()
    result = rank(models, check_assumptions=True)
    closest = {t.name: t.sources[0].name for t in result.targets}
    assert closest["switch"] == "dark"
    found = {(a.model, a.value): a.changes for a in result.assumptions}
    # Three models, each fed in three other ways.
    assert len(found) == 9
    assert all(a.part == "range" and not a.failure for a in result.assumptions)
    assert any(
        "closest to switch: bright instead of dark" in c for c in found["switch", "0 to 255"]
    )
    (line,) = [w for w in result.warnings if w.startswith("switch fed 0 to 255 would change")]
    assert "bright instead of dark" in line


def test_it_is_what_a_ranking_with_that_range_says(models):
    """Its maps are those that `attribute` gives with the option."""
    bytes_ = onnxattr.InputOptions(range=(0.0, 255.0))
    maps = {
        name: onnxattr.attribute(
            models / f"{name}.onnx",
            options=onnxattr.Options(
                limit=12,
                store=None,
                device="cpu",
                **({"input": bytes_} if name == "switch" else {}),
            ),
        ).values
        for name in ("dark", "bright", "switch")
    }

    def cosine(one, two):
        pairs = []
        for m in (one, two):
            unit = m.reshape(len(m), -1) / np.linalg.norm(m.reshape(len(m), -1), axis=1)[:, None]
            centred = unit - unit.mean(0)
            pairs.append(centred / np.linalg.norm(centred, axis=1)[:, None])
        return (pairs[0] * pairs[1]).sum(1).mean()

    assert cosine(maps["switch"], maps["bright"]) > cosine(maps["switch"], maps["dark"])


def test_a_range_that_is_known_is_not_tried(models):
    result = rank(models, check_assumptions=True, input=onnxattr.InputOptions(range=(0.0, 1.0)))
    assert result.assumptions == ()
