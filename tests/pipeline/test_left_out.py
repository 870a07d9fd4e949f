"""What is left out of a ranking, and what is refused before it starts."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper, save_model

import onnxattr
from onnxattr.errors import RankingError, UsageError

OPTIONS = onnxattr.Options(limit=4)


def save(path: Path, name: str, seed: int, *, function: str = "Relu", size: int = 8) -> None:
    """A convolution and a function of it; `Identity` makes a linear net."""
    weight = np.random.default_rng(seed).normal(size=(4, 3, 3, 3)).astype(np.float32)
    shape = ["N", 3, size, size]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["z"], pads=[1, 1, 1, 1]),
            helper.make_node(function, ["z"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, ["N", 4, size, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path / f"{name}.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path, "a", 0)
    save(tmp_path, "b", 1)
    return tmp_path


def test_a_linear_net_has_nothing_left_once_centred_and_is_left_out_once(folder: Path) -> None:
    """The gradient of a linear net is the same everywhere: its centred maps are zero."""
    save(folder, "linear", 2, function="Identity")
    result = onnxattr.rank([folder], options=OPTIONS)
    assert [f.name for f in result.failures] == ["linear"]
    assert [m.name for m in result.models] == ["a", "b"]
    assert result.similarity.matrix.shape == (2, 2)
    assert not any("linear" in warning for warning in result.warnings)
    paper = onnxattr.rank([folder], options=onnxattr.Options(limit=4, paper=True))
    assert len(paper.models) == 3


def test_models_of_different_sizes_meet_on_the_largest_canvas(folder: Path) -> None:
    before = onnxattr.rank([folder], options=OPTIONS).similarity
    save(folder, "large", 3, size=16)
    after = onnxattr.rank([folder], options=OPTIONS).similarity
    assert (before.canvas, after.canvas) == ((8, 8), (16, 16))
    np.testing.assert_allclose(after.matrix[:2, :2], before.matrix, atol=1e-12)


def test_nothing_usable(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.onnx").write_bytes(b"")
    with pytest.raises(RankingError, match="0 of 2 models") as caught:
        onnxattr.rank([folder], options=OPTIONS)
    assert [f.message for f in caught.value.failures] == ["the file is empty"] * 2


def test_a_target_among_no_models(tmp_path: Path) -> None:
    with pytest.raises(RankingError, match="there are no models") as caught:
        onnxattr.rank([tmp_path], target="a")
    assert caught.value.failures[0].message == "the directory holds no models"


@pytest.mark.parametrize("second", ["", "a.onnx", "*.onnx"])
def test_compare_takes_two_different_files(folder: Path, second: str) -> None:
    with pytest.raises(UsageError, match=r"directory|not two files"):
        onnxattr.compare(folder / "a.onnx", folder / second, options=OPTIONS)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"limit": 0}, {"seed": -1}], ids=lambda w: next(iter(w))
)
def test_options_are_checked_where_they_are_made(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="whole number"):
        onnxattr.Options(**wrong)


def test_one_probe_cannot_be_centred(folder: Path) -> None:
    with pytest.raises(UsageError, match="two probes"):
        onnxattr.rank([folder], options=onnxattr.Options(limit=1))
    one = onnxattr.rank([folder], options=onnxattr.Options(limit=1, paper=True))
    assert one.similarity.per_probe.shape == (2, 2, 1)


def test_inspect_survives_what_breaks_one_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = onnxattr.inspect.__globals__["source_of"]

    def fall_over(name: str, path: Path) -> object:
        if name == "a":
            raise ZeroDivisionError("so it goes")
        return before(name, path)

    monkeypatch.setitem(onnxattr.inspect.__globals__, "source_of", fall_over)
    survey = onnxattr.inspect([folder])
    assert [m.name for m in survey.models] == ["b"]
    assert survey.failures[0].message == "ZeroDivisionError: so it goes"


def test_a_failure_of_another_name_costs_no_model(folder: Path, monkeypatch) -> None:
    """A directory without models is called `a` here, and so is a model."""
    (folder / "a").mkdir()
    monkeypatch.chdir(folder)
    result = onnxattr.rank(["a", "a.onnx", "b.onnx"], options=OPTIONS)
    assert [m.name for m in result.models] == ["a", "b"]
    assert [f.message for f in result.failures] == ["the directory holds no models"]


def test_one_path_is_a_list_of_one(folder: Path) -> None:
    assert len(onnxattr.rank(str(folder), options=OPTIONS).models) == 2
    assert len(onnxattr.inspect(folder / "a.onnx").models) == 1


def test_few_probes_are_warned_about(folder: Path) -> None:
    assert "4 probes are too few" in onnxattr.rank(folder, options=OPTIONS).warnings[1]
    more = onnxattr.rank(folder, options=onnxattr.Options(limit=10))
    assert [warning for warning in more.warnings if "few" in warning] == [
        "10 probes are few: with fewer than 50 most rankings stay undecided"
    ]
    enough = onnxattr.rank(folder, options=onnxattr.Options(limit=50))
    assert not any("few" in warning for warning in enough.warnings)


def test_loaded_probes_are_taken_and_limited(folder: Path) -> None:
    probes = onnxattr.load_probes(limit=6)
    whole = onnxattr.attribute(folder / "a.onnx", probes=probes)
    assert whole.probes == probes.names
    some = onnxattr.rank(folder, probes=probes, options=OPTIONS)
    assert some.settings["probes"]["count"] == 4
    assert some.settings["probes"]["sha256"] == onnxattr.load_probes(limit=4).sha256


def test_a_probe_that_cannot_be_read_is_an_error_for_maps(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(onnxattr.ProbeError, match=r"broken\.png"):
        onnxattr.attribute(folder / "a.onnx", probes=[tmp_path / "broken.png"])


def test_the_callers_grad_mode_does_not_matter(folder: Path) -> None:
    import torch

    expected = onnxattr.attribute(folder / "a.onnx", options=OPTIONS).values
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            maps = onnxattr.attribute(folder / "a.onnx", options=OPTIONS)
        np.testing.assert_array_equal(maps.values, expected)


def test_a_graph_that_mixes_the_batch_is_left_out(folder: Path) -> None:
    """Its maps would depend on which probes happen to share a batch."""
    from onnx import load as read

    proto = read(str(folder / "a.onnx"))
    (output,) = proto.graph.output
    proto.graph.node.append(helper.make_node("Softmax", ["y"], ["mixed"], axis=0))
    output.name = "mixed"
    save_model(proto, str(folder / "mixing.onnx"))
    result = onnxattr.rank(folder, options=onnxattr.Options(limit=4, at="output"))
    assert [f.name for f in result.failures] == ["mixing"]
    assert "other probes of the batch" in result.failures[0].message


def test_inspect_finds_what_only_a_conversion_shows(folder: Path) -> None:
    from onnx import load as read

    proto = read(str(folder / "a.onnx"))
    (output,) = proto.graph.output
    node = helper.make_node("Gelu", ["y"], ["odd"], domain="com.microsoft", odd=1)
    proto.graph.node.append(node)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    output.name = "odd"
    save_model(proto, str(folder / "odd.onnx"))
    found = {m.name: m for m in onnxattr.inspect(folder).models}
    assert found["a"].problems == ()
    assert "the attribute `odd`" in found["odd"].problems[0]


def test_nothing_of_a_file_is_logged_raw(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """onnx-ir logs names as they stand; without a handler Python writes them to the terminal."""
    import logging

    import onnxattr.graph.normalise

    logging.getLogger("onnx_ir.passes").warning("name \x1b[31m of a file")
    onnxattr.rank(folder, options=OPTIONS)
    assert "\x1b" not in capfd.readouterr().err
