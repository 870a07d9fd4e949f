"""Convolutions with an activation and a summand, in both layouts, as ONNX Runtime computes them.

It has those with channels last for other devices than the CPU: here it runs the same between two
transpositions.
"""

import pickle

import numpy as np
import pytest
import torch

import onnxattr
from onnxattr.errors import SupportError

DOMAIN = ', "com.microsoft" : 1'
TO_FIRST, TO_LAST = "Transpose<perm=[0,3,1,2]>", "Transpose<perm=[0,2,3,1]>"


def weights(noise):
    return {"w": noise(4, 3, 3, 3, seed=1), "b": noise(4, seed=2)}


@pytest.mark.parametrize(
    "activation", ["", 'activation="Relu", ', 'activation="LeakyRelu", activation_params=[0.2], ']
)
@pytest.mark.parametrize("more", ["pads=[1,1,1,1]", 'auto_pad="SAME_UPPER"'])
def test_channels_first(build, runtime, noise, activation, more):
    text = f"""(float[2,3,6,5] x, float[2,4,6,5] z) => (float[a,b,c,d] y) {{
        y = com.microsoft.FusedConv<{activation}{more}>(x, w, b, z) }}"""
    proto = build(text, imports=DOMAIN, **weights(noise))
    feeds = noise(2, 3, 6, 5), noise(2, 4, 6, 5, seed=3)
    module = pickle.loads(pickle.dumps(onnxattr.to_torch(proto)))
    got = module(*map(torch.from_numpy, feeds))
    np.testing.assert_allclose(got, runtime(proto, *feeds)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "options", "given"),
    [
        ("NhwcConv", "pads=[1,1,1,1], strides=[2,1]", "w, b"),
        ("NhwcFusedConv", 'activation="Relu", pads=[1,1,1,1]', "w, b"),
        ("NhwcFusedConv", 'activation="Relu", pads=[1,1,1,1]', "w, b, z"),
    ],
)
def test_channels_last(build, runtime, noise, operator, options, given):
    summand = ", float[2,6,5,4] z" if "z" in given else ""
    head = f"(float[2,6,5,3] x{summand}) => (float[a,b,c,d] y)"
    proto = build(
        f"{head} {{ y = com.microsoft.{operator}<{options}>(x, {given}) }}",
        imports=DOMAIN,
        **weights(noise),
    )
    judge = build(
        f"""{head} {{ f = {TO_FIRST}(x) {f"g = {TO_FIRST}(z)" if summand else ""}
            h = com.microsoft.FusedConv<{options}>(f, {given.replace("z", "g")})
            y = {TO_LAST}(h) }}""",
        imports=DOMAIN,
        **weights(noise),
    )
    feeds = [noise(2, 6, 5, 3), *([noise(2, 6, 5, 4, seed=3)] if summand else [])]
    got = onnxattr.to_torch(proto)(*map(torch.from_numpy, feeds))
    np.testing.assert_allclose(got, runtime(judge, *feeds)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["com.microsoft.NhwcConv", "Add"])
def test_an_attribute_that_is_not_known_is_refused(build, noise, operator):
    """What functions share must not hide what they do not take."""
    proto = build(
        f"(float[2,6,5,3] x) => (float[a,b,c,d] y) {{ y = {operator}(x, w) }}",
        imports=DOMAIN,
        opset=6,
        w=noise(4, 3, 3, 3),
    )
    proto.graph.node[0].attribute.add(name="odd", type=2, i=1)
    with pytest.raises((SupportError, onnxattr.ModelFileError), match="odd"):
        onnxattr.to_torch(proto)
