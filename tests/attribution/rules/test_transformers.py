"""AttnLRP and CP-LRP of a layer of attention, against the equations of their papers."""

import numpy as np
import pytest
from onnx import numpy_helper, parser

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.types import ARRAY

LENGTH, WIDTH, OUT = 5, 4, 3

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (double[N, 5, 4] x) => (double[N, 5, 3] y)
{
  q = MatMul (x, wq)
  k = MatMul (x, wk)
  v = MatMul (x, wv)
  t = Transpose <perm = [0, 2, 1]> (k)
  s = MatMul (q, t)
  scaled = Mul (s, scale)
  a = Softmax <axis = -1> (scaled)
  o = MatMul (a, v)
  y = MatMul (o, wo)
}
"""


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=(WIDTH, WIDTH)) for name in ("wq", "wk", "wv")}
    return found | {"wo": rng.normal(size=(WIDTH, OUT)), "scale": np.array(0.5)}


def share(x: np.ndarray, w: np.ndarray, r: np.ndarray) -> np.ndarray:
    """LRP-0 of x @ w, token by token: R_i = Σ_j x_i w_ij / z_j R_j."""
    contributions = x[:, :, None] * w[None]
    return (contributions / contributions.sum(1, keepdims=True) * r[:, None, :]).sum(2)


def oracle(x: np.ndarray, w: dict[str, np.ndarray], method: str) -> np.ndarray:
    """R of one probe, [token, width], of the sum of the outputs."""
    q, k, v = (x @ w[name] for name in ("wq", "wk", "wv"))
    s = q @ k.T * w["scale"]
    a = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    o = a @ v
    r_o = share(o, w["wo"], o @ w["wo"])
    # R of a_ji v_ip: what the term is of o_jp.
    terms = a[:, :, None] * v[None] / o[:, None, :] * r_o[:, None, :]
    if method == "cp-lrp":
        return share(x, w["wv"], terms.sum(0))
    # Achtibat et al. 2024, eq. 15: half each.
    r_a, r_v = terms.sum(2) / 2, terms.sum(0) / 2
    # Eq. 13, softmax: R_i = s_i (R_i − a_i Σ_j R_j).
    r_s = s * (r_a - a * r_a.sum(1, keepdims=True))
    terms = q[:, None, :] * k[None] * w["scale"] / s[:, :, None] * r_s[:, :, None] / 2
    r_q, r_k = terms.sum(1), terms.sum(0)
    return share(x, w["wq"], r_q) + share(x, w["wk"], r_k) + share(x, w["wv"], r_v)


@pytest.mark.parametrize("whole", [True, False], ids=["fused", "as a chain"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("method", ["attn-lrp", "cp-lrp"])
def test_relevance_of_attention_is_that_of_the_paper(method: str, seed: int, whole: bool) -> None:
    stored = weights(seed)
    proto = parser.parse_model(TEXT)
    for name, value in stored.items():
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    model = load(proto.SerializeToString())
    x = np.random.default_rng(seed + 10).normal(size=(3, LENGTH, WIDTH)).astype(np.float32)
    spec = probe_input(model, None, ARRAY, x.shape[1:])
    chosen = parse(f"{method}:epsilon=0")
    chains = set() if whole else {"attention"}
    network = to_network(model, at="output", spec=spec, fuse=FUSIONS.keys() - chains)
    kinds = {node.op_type for node in network.dialect.proto.graph.node}
    assert ("FusedAttention" in kinds) == whole
    (maps,) = Engine(network, methods=[chosen]).maps(x)
    for found, one in zip(maps, x.astype(np.float64), strict=True):
        expected = oracle(one, stored, method)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
        if method == "cp-lrp":
            assert found.sum() == pytest.approx(total(one, stored), rel=1e-4)


def total(x: np.ndarray, w: dict[str, np.ndarray]) -> float:
    s = np.exp(x @ w["wq"] @ (x @ w["wk"]).T * w["scale"])
    return float((s / s.sum(1, keepdims=True) @ (x @ w["wv"]) @ w["wo"]).sum())
