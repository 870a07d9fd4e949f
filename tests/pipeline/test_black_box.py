"""Models that no gradient passes, ranked beside others by what ONNX Runtime alone computes."""

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper, parser

import onnxattr
from onnxattr.attribution.methods import parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.errors import LimitError, RankingError, SupportError
from onnxattr.limits import Limits
from onnxattr.pipeline import serve
from onnxattr.pipeline.job import place_of
from onnxattr.pipeline.messages import Attribute, Examine, Source, pack, unpack

SIZE = 16
OPTIONS = onnxattr.Options(limit=6, device="cpu", method="occlusion")
GRADIENT = dataclasses.replace(OPTIONS, method="saliency")
HINT = "`--method occlusion` ranks all models by black-box maps"


def convolution(seed: int = 0, tail: str = "y = Relu(z)", batch: str = "N") -> onnx.ModelProto:
    """A convolution `z`, and what is behind it."""
    imports = '"" : 17, "com.microsoft" : 1, "ai.onnx.ml" : 1'
    proto = parser.parse_model(
        f"<ir_version: 8, opset_import: [{imports}]> "
        f"g (float[{batch},3,{SIZE},{SIZE}] x) => (float[{batch},a,b,c] y)"
        f"{{ z = Conv<pads = [1, 1, 1, 1]>(x, w) {tail} }}"
    )
    weight = np.random.default_rng(seed).normal(size=(4, 3, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return proto


def trees(seed: int = 0, count: int = 40) -> onnx.ModelProto:
    """A regressor of pixels as skl2onnx writes it: trees of three comparisons, summed."""
    rng = np.random.default_rng(seed)
    inner, leaves = range(3), range(3, 7)
    nodes: dict[str, list] = {key: [] for key in ("treeids", "nodeids", "modes", "featureids")}
    nodes |= {key: [] for key in ("values", "truenodeids", "falsenodeids")}
    target: dict[str, list] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(count):
        for node in (*inner, *leaves):
            split = node in inner
            row = (
                tree,
                node,
                "BRANCH_LEQ" if split else "LEAF",
                int(rng.integers(3 * SIZE * SIZE)) if split else 0,
                float(rng.uniform(0.2, 0.8)) if split else 0.0,
                2 * node + 1 if split else 0,
                2 * node + 2 if split else 0,
            )
            for key, value in zip(nodes, row, strict=True):
                nodes[key].append(value)
            if not split:
                for key, value in zip(target, (tree, node, 0, rng.normal()), strict=True):
                    target[key].append(value)
    attributes = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in target.items()}
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["f"],
        ["y"],
        "trees",
        domain="ai.onnx.ml",
        n_targets=1,
        **attributes,
    )
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), ensemble],
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", 1, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


def predict(model: onnx.ModelProto, pixels: np.ndarray) -> float:
    """The value of `trees` for one flat probe, node by node."""
    a = {each.name: helper.get_attribute_value(each) for each in model.graph.node[1].attribute}
    rows = {
        key: row for row, key in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"], strict=True))
    }
    leaves = zip(a["target_treeids"], a["target_nodeids"], strict=True)
    weights = dict(zip(leaves, a["target_weights"], strict=True))
    total = 0.0
    for tree in sorted(set(a["nodes_treeids"])):
        node = 0
        while (tree, node) not in weights:
            row = rows[tree, node]
            left = pixels[a["nodes_featureids"][row]] <= np.float32(a["nodes_values"][row])
            node = a["nodes_truenodeids" if left else "nodes_falsenodeids"][row]
        total += weights[tree, node]
    return total


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        onnx.save(convolution(seed), tmp_path / f"{name}.onnx")
    return tmp_path


def examination(model: onnx.ModelProto, method: str = "occlusion", **changes) -> serve.Examination:
    request = Examine(
        place=place_of(OPTIONS),
        source=Source("m", data=b""),
        at="feature",
        input=onnxattr.InputOptions(),
        methods=(parse(method),),
        reduction=Reduction(),
        batch_size=None,
    )
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return serve.Examination(onnxattr.load(model, name="m"), Examine(**fields | changes), "cpu")


def noise(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def test_trees_are_ranked_beside_networks(folder: Path) -> None:
    onnx.save(trees(), folder / "trees.onnx")
    result = onnxattr.rank(folder, options=OPTIONS)
    assert [m.name for m in result.models] == ["a", "b", "trees"]
    assert all(m.parity is None and m.gradient is None for m in result.models)
    assert result.settings["method"] == "occlusion"
    assert result.settings["method_options"] == {"grid": 8, "span": 1, "fill": "auto"}
    assert not result.failures


def test_the_map_of_trees_is_that_of_a_walk_through_them() -> None:
    model, images = trees(), noise()
    answer = examination(model).attribute(Attribute(pack(images), check=True))
    (found,) = unpack(answer.maps, np.float32, (1, 3, SIZE, SIZE))
    side = SIZE // 8
    for image, one in zip(images, found, strict=True):
        probe = (image.transpose(2, 0, 1) / 255).astype(np.float32)
        whole = predict(model, probe.ravel())
        for top in range(0, SIZE, side):
            for left in range(0, SIZE, side):
                hidden = probe.copy()
                patch = np.s_[:, top : top + side, left : left + side]
                hidden[patch] = probe.mean(axis=(1, 2), keepdims=True)
                change = (whole - predict(model, hidden.ravel())) / side**2
                np.testing.assert_allclose(one[patch[1:]], change, atol=1e-5)
    assert (answer.parity, answer.tolerance, answer.gradient) == (None, None, None)


def test_nothing_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx2torch

    from onnxattr.convert import parity
    from onnxattr.convert import torch as conversion

    def never(*args: object, **kwargs: object) -> None:
        pytest.fail("a black-box method converts nothing and checks no conversion")

    monkeypatch.setattr(conversion, "to_network", never)
    monkeypatch.setattr(onnx2torch, "convert", never)
    monkeypatch.setattr(parity.Gate, "__init__", never)
    for model in (trees(), convolution()):
        answer = examination(model).attribute(Attribute(pack(noise()), check=True))
        assert np.isfinite(unpack(answer.maps, np.float32, (1, 3, SIZE, SIZE))).all()


WITHOUT_A_GRADIENT = {
    "trees": trees(),
    "of ONNX Runtime alone": convolution(
        2, "t = com.microsoft.UnfoldTensor<dim = 3, size = 4, step = 2>(z) y = Tanh(t)"
    ),
    "rounded": convolution(3, "r = Round(z) y = Relu(r)"),
    "integers": convolution(4, "i = Cast<to = 7>(z) y = Add(i, i)"),
}
WITHOUT_A_GRADIENT["integers"].graph.output[0].type.tensor_type.elem_type = 7


@pytest.mark.parametrize("name", WITHOUT_A_GRADIENT)
def test_a_model_that_no_gradient_passes(name: str, folder: Path) -> None:
    onnx.save(WITHOUT_A_GRADIENT[name], folder / "odd.onnx")
    left_out = onnxattr.rank(folder, options=GRADIENT)
    assert [m.name for m in left_out.models] == ["a", "b"]
    (failure,) = left_out.failures
    assert failure.name == "odd"
    # That a flat model has zero maps is found when all of them are there, outside of its worker.
    assert failure.hint.endswith(HINT if name != "rounded" else "`--method occlusion` needs none")
    assert len(onnxattr.rank(folder, options=OPTIONS).models) == 3
    (found,) = onnxattr.inspect(folder / "odd.onnx").models
    if found.problems:  # What runs and is flat almost everywhere is found by running it.
        assert found.remedy.endswith("black-box: --method occlusion")
    (found,) = onnxattr.inspect(folder / "odd.onnx", check_gradient=True).models
    assert found.problems
    assert found.remedy.endswith("black-box: --method occlusion")


def test_labels_at_the_end_are_walked_over() -> None:
    """ArgMax alone, without a head before it: what it takes is attributed."""
    model = convolution(5, "y = ArgMax<axis = 1>(z)")
    model.graph.output[0].type.tensor_type.elem_type = 7
    found = examination(model)
    assert found.described.representation.value == "z"
    answer = found.attribute(Attribute(pack(noise()), check=False))
    plain = examination(convolution(5, "y = Identity(z)"))
    expected = plain.attribute(Attribute(pack(noise()), check=False))
    assert answer.maps == expected.maps


STRANGER = "y = com.microsoft.NoSuchOperator(z)"
CANCEL = "f = Flatten(z) y = Softmax(f)"


@pytest.mark.parametrize(
    ("tail", "at"), [(STRANGER, "feature"), (CANCEL, "output")], ids=["stranger", "cancel"]
)
def test_a_way_that_is_closed_is_not_shown(tail: str, at: str, folder: Path) -> None:
    """ONNX Runtime cannot run the one, and the sum of the other's units is 1 whatever the probe."""
    onnx.save(convolution(6, tail), folder / "odd.onnx")
    gradient = dataclasses.replace(GRADIENT, at=at)
    (failure,) = onnxattr.rank(folder, options=gradient).failures
    assert failure.name == "odd"
    assert "occlusion" not in failure.hint
    result = onnxattr.rank(folder, options=dataclasses.replace(OPTIONS, at=at))
    (failure,) = result.failures
    assert failure.name == "odd"
    (found,) = onnxattr.inspect(folder / "odd.onnx", at=at, check_gradient=True).models
    assert found.problems
    assert "occlusion" not in found.remedy


def test_a_loop_is_not_tried_out_for_a_hint(folder: Path) -> None:
    """This one never ends, and has no converter for what is behind it."""
    proto = convolution(8, "t = com.microsoft.UnfoldTensor<dim = 3, size = 4, step = 2>(z)")
    body = parser.parse_graph(
        "body (int64 i, bool c, bool a) => (bool d, bool b) { d = Identity(c) b = Identity(a) }"
    )
    weights = {"go": np.array(True), "zero": np.float32(0)}
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in weights.items())
    proto.graph.node.extend(
        [
            helper.make_node("Loop", ["", "go", "go"], ["ended"], body=body),
            helper.make_node("Cast", ["ended"], ["e"], to=1),
            helper.make_node("Mul", ["e", "zero"], ["o"]),
            helper.make_node("Add", ["t", "o"], ["y"]),
        ]
    )
    onnx.save(proto, folder / "endless.onnx")
    started = time.monotonic()
    (failure,) = onnxattr.rank(folder, options=GRADIENT).failures
    assert time.monotonic() - started < 60
    assert "occlusion" not in failure.hint


def test_no_dependence_is_said_in_the_words_of_the_method(folder: Path) -> None:
    onnx.save(convolution(6, CANCEL), folder / "cancel.onnx")
    options = dataclasses.replace(OPTIONS, at="output")
    with pytest.raises(SupportError, match="does not depend on the probes") as caught:
        onnxattr.attribute(folder / "cancel.onnx", options=options)
    assert "differentiable" not in caught.value.message


def test_maps_of_one_kind_never_serve_another(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    black = dataclasses.replace(OPTIONS, store=store)
    white = dataclasses.replace(GRADIENT, store=store)
    fresh = {
        o.method: onnxattr.rank(folder, options=dataclasses.replace(o, store=None))
        for o in (black, white)
    }
    for options in (black, white, black, white):
        result = onnxattr.rank(folder, options=options)
        expected = fresh[options.method].similarity.matrix
        np.testing.assert_array_equal(result.similarity.matrix, expected)
    assert onnxattr.rank(folder, options=black).stored == ("a", "b")
    assert (fresh["occlusion"].similarity.matrix != fresh["saliency"].similarity.matrix).any()


def test_what_is_left_is_computed_in_the_next_run(folder: Path, tmp_path: Path) -> None:
    """Maps do not depend on which others were computed with them."""
    options = dataclasses.replace(OPTIONS, store=tmp_path / "store")
    some = onnxattr.attribute(folder / "a.onnx", options=dataclasses.replace(options, limit=3))
    more = onnxattr.attribute(folder / "a.onnx", options=options)
    alone = onnxattr.attribute(folder / "a.onnx", options=dataclasses.replace(options, store=None))
    np.testing.assert_array_equal(more.values[:3], some.values)
    np.testing.assert_allclose(more.values, alone.values, atol=1e-6 * np.abs(alone.values).max())


def test_a_slow_model_of_one_probe_at_a_time_is_stopped_in_time(folder: Path) -> None:
    """65 passes a probe: what takes long takes 65 times as long."""
    proto = convolution(7, "y = Relu(z)", batch="1")
    body = parser.parse_graph(
        "body (int64 i, bool c, float[256,256] m) => (bool c2, float[256,256] n)"
        "{ c2 = Identity(c) p = MatMul(m, m) n = Tanh(p) }"
    )
    proto.graph.node[-1].output[0] = "r"
    weights = {
        "trips": np.array(400),
        "go": np.array(True),
        "square": np.full((256, 256), 0.1, np.float32),
        "zero": np.float32(0),
    }
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in weights.items())
    proto.graph.node.extend(
        [
            helper.make_node("Loop", ["trips", "go", "square"], ["turned"], body=body),
            helper.make_node("ReduceSum", ["turned"], ["s"], keepdims=0),
            helper.make_node("Mul", ["s", "zero"], ["o"]),
            helper.make_node("Add", ["r", "o"], ["y"]),
        ]
    )
    onnx.save(proto, folder / "slow.onnx")
    limits = Limits(seconds=5)
    started = time.monotonic()
    with pytest.raises(LimitError, match="more than 5 s"):
        onnxattr.attribute(
            folder / "slow.onnx", options=dataclasses.replace(OPTIONS, limits=limits, store=None)
        )
    assert time.monotonic() - started < 30


def test_all_models_may_be_out_of_reach(folder: Path) -> None:
    for name in ("a", "b"):
        onnx.save(trees(), folder / f"{name}.onnx")
    with pytest.raises(RankingError) as caught:
        onnxattr.rank(folder, options=GRADIENT)
    assert all(f.hint.endswith(HINT) for f in caught.value.failures)


@pytest.mark.parametrize(("providers", "place"), [(["CPU"], "cpu"), (["CUDA", "CPU"], "cuda:1")])
def test_where_onnx_runtime_computes(
    providers: list[str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    from onnxattr.convert.device import runtime_device

    names = [f"{name}ExecutionProvider" for name in providers]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    assert runtime_device("cuda:1") == place
    assert runtime_device("mps") == runtime_device("cpu") == "cpu"


def test_a_gpu_that_onnx_runtime_cannot_use_is_an_error() -> None:
    """It falls back silently; we do not."""

    from onnxattr.convert.session import Session
    from onnxattr.errors import DeviceError

    if torch.cuda.is_available():
        pytest.skip("there is a GPU, which ONNX Runtime can use")
    with pytest.raises(DeviceError, match="cuda:0"):
        Session(onnxattr.load(convolution()), ["y"], device="cuda:0")


def test_another_place_than_was_asked_for_is_said() -> None:
    from onnxattr.pipeline.space import device_notes

    usable = [SimpleNamespace(made=SimpleNamespace(device="cpu"))]
    assert device_notes(usable, ["cpu"], OPTIONS) == ()
    assert device_notes(usable, ["cuda:0"], GRADIENT) == ()
    (note,) = device_notes(usable, ["cuda:0"], OPTIONS)
    assert "cuda:0" in note
    assert "made on the cpu" in note
