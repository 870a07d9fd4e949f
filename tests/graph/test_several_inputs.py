"""Models of several inputs: which takes the probe, and what the others are fed, by ONNX Runtime."""

import dataclasses

import numpy as np
import pytest
import torch

from onnxattr.attribution.check import TOLERANCE, check_gradient
from onnxattr.attribution.engine import Engine
from onnxattr.convert.parity import Gate
from onnxattr.convert.torch import to_network
from onnxattr.errors import ModelInputError, ParityError, UsageError
from onnxattr.graph import passes
from onnxattr.graph.array_input import probe_input, shown_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, IMAGE, TOKENS, FixedInput, Probes

IDS = np.random.default_rng(0).integers(1, 9, (5, 4))
NUMBERS = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
TABLE = np.random.default_rng(2).normal(size=(9, 4)).astype(np.float32)

#: Graph, its probes, what is said of the others, and what they must be fed.
CASES = {
    "a mask of the same axes": (
        "(int64[batch,len] ids, float[batch,len] mask) => (float[batch,len,4] y) "
        "{ z = Gather(t, ids) a = Constant<value = int64[1] {2}>() u = Unsqueeze(mask, a) "
        "y = Mul(z, u) }",
        IDS,
        {"mask": 0.5},
        {"mask": np.full((5, 4), 0.5, np.float32)},
    ),
    "other inputs first": (
        "(float s, bool[N] b, float[N,4] x, int32[4] k) => (float[N,4] y) "
        "{ c = Cast<to = 1>(b) a = Constant<value = int64[1] {1}>() u = Unsqueeze(c, a) "
        "f = Cast<to = 1>(k) p = Mul(x, s) q = Add(p, u) y = Mul(q, f) }",
        NUMBERS,
        {"s": -2, "b": 1, "k": 3},
        {"s": np.array(-2, np.float32), "b": np.ones(5, bool), "k": np.full(4, 3, np.int32)},
    ),
    "the batch last": (
        "(float[N,4] x, double[4,N] m) => (float[N,4] y) "
        "{ c = Cast<to = 1>(m) t = Transpose<perm = [1, 0]>(c) y = Mul(x, t) }",
        NUMBERS,
        {"m": 3},
        {"m": np.full((4, 5), 3.0)},
    ),
    "sizes of other names": (
        "(float[N,4] x, float[M,K] m) => (float[N,4] y) { y = Mul(x, m) }",
        NUMBERS,
        {"m": 3},
        {"m": np.full((5, 1), 3, np.float32)},
    ),
    "a fixed batch": (
        "(float[5,4] x, float[5,4] m) => (float[5,4] y) { y = Mul(x, m) }",
        NUMBERS,
        {"m": 3},
        {"m": np.full((5, 4), 3, np.float32)},
    ),
    "in a branch": (
        "(float[N,4] x, bool flag) => (float[N,4] y) { y = If(flag)"
        "<then_branch = a () => (float[N,4] p) { p = Mul(x, x) },"
        " else_branch = b () => (float[N,4] q) { q = Neg(x) }> }",
        NUMBERS,
        {"flag": 1},
        {"flag": np.array(True)},
    ),
    "an input that nothing reads": (
        "(float[N,4] x, float[N,4] m) => (float[N,4] y) { y = Mul(x, x) }",
        NUMBERS,
        {"m": 3},
        {"m": np.full((5, 4), 3, np.float32)},
    ),
}


def said(**numbers):
    return InputOptions(fixed=tuple(numbers.items()))


def spec_of(model, values, options):
    kind = ARRAY if values.dtype.kind == "f" else TOKENS
    return probe_input(model, options, kind, values.shape[1:])


@pytest.mark.parametrize("name", CASES)
def test_the_network_and_the_judge_are_fed_alike(build, runtime, name):
    text, values, numbers, others = CASES[name]
    proto = build(text, **({"t": TABLE} if "Gather(t" in text else {}))
    model = load(proto)
    net = to_network(model, at="y", spec=spec_of(model, values, said(**numbers)))

    feeds = {**others, net.spec.input: values}
    (expected,) = runtime(proto, *(feeds[value.name] for value in proto.graph.input))
    gate = Gate(net)

    assert np.allclose(net.module(torch.from_numpy(values)).numpy(), expected, atol=1e-6)
    assert np.array_equal(gate.run(torch.from_numpy(values)), expected)
    assert gate.check(values) < 1e-6
    assert check_gradient(net, gate, values).error < TOLERANCE / 2
    assert np.isfinite(Engine(net).maps(values)).all()


class Doubled(torch.nn.Module):
    def __init__(self, right):
        super().__init__()
        self.right = right

    def forward(self, *inputs):
        return 2 * self.right(*inputs)


def test_the_first_node_that_differs_is_found_with_other_inputs(build):
    text, values, numbers, _ = CASES["other inputs first"]
    model = load(build(text))
    net = to_network(model, at="y", spec=spec_of(model, values, said(**numbers)))
    name = next(n for n, node in net.operators.items() if node.op_type == "Add")
    net.module.add_module(name, Doubled(net.module.get_submodule(name)))
    with pytest.raises(ParityError, match="the first node that differs is Add"):
        Gate(net).check(values)


def test_an_image_and_a_number(build):
    text = "(float[N,3,8,8] image, float keep) => (float[N,3,8,8] y) { y = Mul(image, keep) }"
    model = load(build(text))
    net = to_network(model, at="y", options=said(keep=0.5))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert net.spec.kind == IMAGE
    assert net.spec.fixed == (FixedInput("keep", 0.5, (), "float32"),)
    assert Gate(net).check(images) < 1e-6
    assert np.allclose(Engine(net).maps(images), 0.5)
    assert Probes(images, (), "", "").images is images


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("float[N,4] x, float[N,4] m", said(), "it takes 2 inputs, and a probe can be fed to one"),
        ("float[N,4] x, float[N,4] m", said(n=1), "it takes 2 inputs"),
        ("float[N,4] x, float[N,4] m", InputOptions(name="x"), "it takes 2 inputs"),
        (
            "float[N,4] x, float[N,4] m",
            InputOptions(name="z"),
            "the input `z` (option) is none of its inputs",
        ),
        ("float[N,4] x, float[N,4] m", said(x=1, m=1), "none is left for the probe"),
        ("float[N,4] x, int64[N] m", said(x=1), "the probes are [4], and no input takes such"),
        ("float[N,4] x, bool[N] m", said(m=2), "`m` bool[N] cannot be fed `2`"),
        ("float[N,4] x, int64[N] m", said(m=0.5), "`m` int64[N] cannot be fed `0.5`"),
        ("float[N,4] x, uint8[N] m", said(m=-1), "`m` uint8[N] cannot be fed `-1`"),
        ("float[N,4] x, int64[N] m", said(m=1e30), "cannot be fed `1e+30`"),
        ("float[N,4] x, float16[N] m", said(m=1e6), "cannot be fed `1e+06`"),
        ("float[N,4] x, string[N] m", said(m=1), "cannot be fed a number"),
        ("float[N,4] x, float[99999,99999] m", said(m=1), "too large to be fed"),
    ],
)
def test_refusals(build, text, options, message):
    model = load(build(f"({text}) => (float[N,4] y) {{ y = Relu(x) }}"))
    with pytest.raises(ModelInputError) as caught:
        probe_input(model, options, ARRAY, (4,))
    assert message in caught.value.message


def test_the_named_input_is_the_probe(build):
    model = load(build("(float[N,4] a, float[N,4] b) => (float[N,4] y) { y = Mul(a, b) }"))
    options = InputOptions(name="b", fixed=(("a", 2.0), ("b", 3.0)))
    spec = probe_input(model, options, ARRAY, (4,))
    assert spec.input == "b"
    assert [(one.name, one.value) for one in spec.fixed] == [("a", 2.0)]


def test_what_is_said_of_others_does_not_concern_a_model_of_one_input(build):
    model = load(build("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }"))
    options = InputOptions(name="ids", fixed=(("x", 2.0),))
    assert probe_input(model, options, ARRAY, (4,)).fixed == ()


def test_a_size_that_nobody_knows_is_said(build):
    text, values, numbers, _ = CASES["sizes of other names"]
    spec = spec_of(load(build(text)), values, said(**numbers))
    assert spec.sources["inputs"] == "given; axis 1 of `m` is free, and 1"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none(number):
    with pytest.raises(UsageError, match="not finite"):
        said(x=number)


def test_fixing_inputs_is_a_pass_like_others(build, rewrite):
    proto = build("(float[N,4] x, float[N,4] m) => (float[N,4] y) { y = Mul(x, m) }")
    fixed = [FixedInput("m", 2.0, (None, 4), "float32")]
    rewritten = rewrite(passes.FixInputs(fixed, "x", 0), proto)
    assert [value.name for value in rewritten.graph.input] == ["x"]
    assert [node.op_type for node in rewritten.graph.node] == ["RepeatBatch", "Mul"]


@pytest.mark.parametrize(
    ("text", "kind", "shape", "message"),
    [
        ("float[N,64] x", ARRAY, (128,), "its input `x` takes [64], and the probes are [128]"),
        ("float[N,64] x", ARRAY, (64, 3), "takes [64], and the probes are [64, 3]"),
        ("float[N,3,64] x", ARRAY, (64,), "takes [3, 64], and the probes are [64]"),
        ("float[N,T,3] x", ARRAY, (20, 4), "takes [?, 3], and the probes are [20, 4]"),
        ("int64[N,L] x", ARRAY, (64,), "the probes are [64], and no input takes such; its inputs"),
        ("float[N,64] x", TOKENS, (64,), "the probes are token ids, [64], and no input takes such"),
        ("int64[N,16] x", TOKENS, (12,), "takes [16], and the probes are token ids, [12]"),
        ("float[N,64] x", IMAGE, (), "no input takes an image"),
        ("float[99999,64] x", ARRAY, (64,), "fixes a batch of more than 65536"),
    ],
)
def test_probes_that_do_not_fit(build, text, kind, shape, message):
    model = load(build(f"({text}) => (float[N,K] y) {{ y = Cast<to = 1>(x) }}"))
    with pytest.raises(ModelInputError) as caught:
        probe_input(model, None, kind, shape)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind", "axes"),
    [
        ("float[N,3,64,64] x", IMAGE, ()),
        ("float[N,64] x", ARRAY, (64,)),
        ("float[N,20,5] x", ARRAY, (20, 5)),
        ("int64[N,L] x", TOKENS, (16,)),
        ("int32[1,12] x", TOKENS, (12,)),
    ],
)
def test_what_is_shown_of_a_model(build, text, kind, axes):
    spec = shown_input(load(build(f"({text}) => (float[N,K] y) {{ y = Cast<to = 1>(x) }}")))
    assert (spec.kind, spec.axes) == (kind, axes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float[N,T] x", "takes arrays, of a shape that only they tell"),
        ("string[N,4] x", "no input takes an image"),
        ("float[N,7,9,9] x", "cannot be told"),
    ],
)
def test_what_cannot_be_shown(build, text, message):
    with pytest.raises(ModelInputError, match=message):
        shown_input(load(build(f"({text}) => (float[N,K] y) {{ y = Cast<to = 1>(x) }}")))


def chosen(proto):
    return probe_input(load(proto), None, TOKENS, (4,)).at


def test_positions_from_padding_are_not_the_embedding(build):
    """As RoBERTa counts them: a table of positions comes before that of words."""
    text = (
        "(int64[N,4] x) => (float[N,4,4] y) { one = Constant<value = int64 {1}>() "
        "same = Equal(x, one) present = Not(same) number = Cast<to = 7>(present) "
        "count = CumSum(number, one) places = Gather(t, count) words = Gather(t, x) "
        "y = Add(words, places) }"
    )
    assert chosen(build(text, t=TABLE)) == "words"


def test_a_mask_that_comes_first_is_not_the_embedding(build):
    text = (
        "(int64[N,4] x) => (float[N,4,4] y) { low = Clip(x, zero, one) mask = Cast<to = 1>(low) "
        "two = Constant<value = int64[1] {2}>() u = Unsqueeze(mask, two) "
        "words = Gather(t, x) y = Mul(words, u) }"
    )
    assert chosen(build(text, t=TABLE, zero=np.int64(0), one=np.int64(1))) == "words"


def test_numbers_that_were_ids_where_there_is_no_table(build):
    text = "(int64[N,4] x) => (float[N,4] y) { f = Cast<to = 1>(x) y = Exp(f) }"
    assert chosen(build(text)) == "f"


def test_ids_that_never_become_numbers(build):
    with pytest.raises(ModelInputError, match="nothing of floating point is computed"):
        chosen(build("(int64[N,4] x) => (int64[N,4] y) { y = Add(x, x) }"))


def test_a_spec_of_arrays_has_the_shape_of_the_input(build):
    model = load(build("(float[N,20,5] x) => (float[N,20,5] y) { y = Relu(x) }"))
    spec = probe_input(model, None, ARRAY, (20, 5))
    assert (spec.shape, spec.map_shape) == ((None, 20, 5), (20, 5))
    assert dataclasses.replace(spec, batch=3).shape == (3, 20, 5)
