"""A bad model costs itself alone: one clear line, and the others are ranked."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import chain, encoder, free, image, model, save, weight

GOOD = ["depth-keras", "edges-torch"]


@pytest.fixture
def refused(rank, good):
    """Ranks a file beside two good models; returns the error about it, and the hint if any."""

    def refused(path):
        outcome = rank(good, path)
        assert outcome.code == 1
        assert outcome.ranked == GOOD
        (error,) = outcome.errors
        (failure,) = outcome.json["failures"]
        name, _, message = error.partition(": ")
        assert (name, message) == (failure["name"], failure["message"])
        assert outcome.hints == ([failure["hint"]] if failure["hint"] else [])
        return message, failure["hint"]

    return refused


def written(tmp_path, data):
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    return path


def test_missing_file(refused, tmp_path):
    message, _ = refused(tmp_path / "gone.onnx")

    assert message == f"`{tmp_path / 'gone.onnx'}` does not exist"


def test_a_name_too_long_for_any_file(refused, tmp_path):
    message, _ = refused(tmp_path / ("x" * 300))

    assert "cannot be read: File name too long" in message


def test_directory_without_models(rank, good, tmp_path):
    (tmp_path / "empty").mkdir()

    outcome = rank(good, tmp_path / "empty")

    assert outcome.code == 1
    assert outcome.errors == [f"{tmp_path / 'empty'}: the directory holds no models"]
    assert outcome.hints == ["models end in .onnx; directories are not searched deeper"]
    assert outcome.ranked == GOOD


def test_pattern_without_files(rank, good, tmp_path):
    outcome = rank(good, tmp_path / "*.none")

    assert outcome.code == 1
    assert outcome.errors == [f"{tmp_path / '*.none'}: no file matches the pattern"]


def test_pattern(rank, good):
    assert rank(good / "*.onnx").ranked == GOOD


def test_empty_file(refused, tmp_path):
    assert refused(written(tmp_path, b"")) == (
        "the file is empty",
        "export or download it again",
    )


@pytest.mark.parametrize(
    "data",
    [
        b"This is no model.\n" * 20,
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x04\x95" + b"pickle" * 20,
        bytes(200),
    ],
    ids=["text", "html", "png", "zip", "pickle", "zeros"],
)
def test_other_files_called_onnx(refused, tmp_path, data):
    assert refused(written(tmp_path, data)) == ("the file is not an ONNX model", "")


def test_pointer_of_git_lfs(refused, tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"

    message, hint = refused(written(tmp_path, pointer))

    assert message == "the file is not an ONNX model, but a pointer of Git LFS"
    assert "git lfs pull" in hint


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_truncated_file(refused, tmp_path, share):
    data = encoder().SerializeToString()

    message, hint = refused(written(tmp_path, data[: int(len(data) * share)]))

    assert "truncated" in message
    assert hint == "export or download it again"


def test_truncated_at_every_byte_of_its_ends(tmp_path):
    """Where a cut falls between two fields, what is left is well-formed protobuf."""
    from onnxattr import load
    from onnxattr.errors import ModelFileError

    data = encoder().SerializeToString()
    for length in [*range(40), *range(len(data) - 40, len(data))]:
        with pytest.raises(ModelFileError, match=r"truncated|empty"):
            load(data[:length])


def external(location, **more):
    """An encoder whose first weight is said to be in another file."""
    proto = encoder()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return proto


def test_external_data_missing(refused, tmp_path):
    message, hint = refused(save(external("gone.bin"), tmp_path / "broken.onnx"))

    assert message == "its external data file `gone.bin` is missing"
    assert hint.startswith("put it beside the model")


@pytest.mark.parametrize(
    ("location", "more", "reason"),
    [
        ("../secret", {}, "outside"),
        ("{tmp}/secret", {}, "absolute"),
        ("link", {}, "symbolic link"),
        ("pipe", {}, "not regular file"),
        (".", {}, "not regular file"),
        ("", {}, "empty"),
        ("weights.bin", {"offset": "999999"}, "exceeds"),
        ("weights.bin", {"offset": "many"}, "'many'"),
        ("a\0b", {}, "its name holds a zero"),
    ],
    ids=["up", "absolute", "link", "pipe", "directory", "blank", "offset", "number", "nul"],
)
def test_external_data_that_must_not_be_read(refused, tmp_path, location, more, reason):
    folder = tmp_path / "vendor"
    (tmp_path / "secret").write_bytes(bytes(10_000))
    path = save(external(location.format(tmp=tmp_path), **more), folder / "broken.onnx")
    (folder / "weights.bin").write_bytes(bytes(100))
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")

    message, _ = refused(path)

    assert message.startswith("its external data file")
    assert reason in message


def test_external_data_counts_for_the_hash(rank, good, tmp_path):
    """Two models that differ in their second file only are no duplicates."""
    shape = encoder().graph.initializer[0].dims
    for name in ("one", "two"):
        path = save(external("weights.bin"), tmp_path / name / f"{name}.onnx")
        values = np.random.default_rng(len(name) + ord(name[0])).normal(size=list(shape))
        (path.parent / "weights.bin").write_bytes(values.astype(np.float32).tobytes())

    outcome = rank(tmp_path / "one", tmp_path / "two")

    assert outcome.code == 0
    one, two = outcome.json["models"]
    assert one["sha256"] != two["sha256"]
    assert not outcome.json["targets"][0]["sources"][0]["duplicate"]


def test_no_input_for_an_image(refused, tmp_path):
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["N", 7])
    nodes = [helper.make_node("Cast", ["tokens"], ["features"], to=TensorProto.FLOAT)]
    proto = model(nodes, inputs=[tokens], outputs=[free("features", rank=2)])

    message, _ = refused(save(proto, tmp_path / "words.onnx"))

    assert message.startswith("no input takes an image")
    assert "`tokens` int64[N,7]" in message


def test_several_inputs(refused, tmp_path):
    proto = encoder()
    proto.graph.input.append(image("mask"))

    message, _ = refused(save(proto, tmp_path / "pair.onnx"))

    assert message.startswith("it takes 2 inputs")
    assert "`image` float32[N,3,12,12]" in message
    assert "`mask` float32[N,3,12,12]" in message


def test_two_channels(refused, tmp_path):
    nodes = [helper.make_node("Conv", ["image", "w"], ["features"])]
    proto = model(nodes, [weight("w", (4, 2, 3, 3), 0)], inputs=[image(channels=2)])

    message, _ = refused(save(proto, tmp_path / "two.onnx"))

    assert "`image` float32[N,2,12,12] has 2 channels (layout NCHW)" in message


def test_input_larger_than_memory(refused, tmp_path):
    proto = encoder()
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 100_000

    message, _ = refused(save(proto, tmp_path / "vast.onnx"))

    assert "float32[N,3,100000,100000] is larger than 8192 pixels" in message


def test_unsupported_operators_are_named_all_at_once(refused, tmp_path):
    operators = ["Fancy", "Plain", "Fancy", "Odd", "Fancy"]

    message, hint = refused(save(chain(operators, "com.vendor"), tmp_path / "fancy.onnx"))

    assert message.startswith("no converter for these operators")
    assert message.endswith("`com.vendor.Fancy` (3), `com.vendor.Odd` (1), `com.vendor.Plain` (1)")
    assert hint == "`onnxattr inspect` lists the nodes of `fancy`"


def test_inspect_lists_the_nodes_of_unsupported_operators(run, tmp_path):
    path = save(chain(["Fancy", "Odd", "Fancy"], "com.vendor"), tmp_path / "fancy.onnx")

    outcome = run("inspect", path)

    assert outcome.code == 1
    assert "unsupported    com.vendor.Fancy (2): Fancy_0, Fancy_2\n" in outcome.out
    assert "unsupported    com.vendor.Odd (1): Odd_1\n" in outcome.out
    assert "verdict        cannot be ranked\n" in outcome.out


def test_operators_that_onnx_does_not_have(refused, tmp_path):
    message, hint = refused(save(chain(["Foo", "Bar", "Foo"]), tmp_path / "wild.onnx"))

    assert message.endswith("operators that opset 17 of ONNX does not have: `Bar` (1), `Foo` (2)")
    assert hint


def test_opset_from_the_future(refused, tmp_path):
    proto = encoder()
    proto.opset_import[0].version = 999

    message, hint = refused(save(proto, tmp_path / "new.onnx"))

    assert message.startswith("it is of opset 999")
    assert "upgrade" in hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(refused, tmp_path, value):
    proto = encoder()
    values = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    values[0, 0, 0, :2] = value
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w0"))

    message, _ = refused(save(proto, tmp_path / "diverged.onnx"))

    assert message == "2 of 108 values of the weight `w0` are not finite"


def test_pipe(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")

    message, _ = refused(tmp_path / "pipe.onnx")

    assert message == f"`{tmp_path / 'pipe.onnx'}` is not a regular file"


def test_directory_called_like_a_model(rank, good):
    (good / "folder.onnx").mkdir()

    outcome = rank(good)

    assert outcome.errors == [f"folder: `{good / 'folder.onnx'}` is not a regular file"]
    assert outcome.ranked == GOOD


def test_a_representation_that_no_gradient_reaches(refused, tmp_path):
    proto = encoder()
    proto.graph.node[-1].output[0] = "encoded"
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
    proto.graph.node.append(helper.make_node("Mul", ["encoded", "zero"], ["features"], "/mute"))

    message, hint = refused(save(proto, tmp_path / "mute.onnx"))

    assert message.startswith("all of its maps are zero or not finite: `features` does not depend")
    assert "--at" in hint


def test_labels_cannot_be_attributed(run, good):
    """ArgMax is skipped by default, and refused where it is asked for."""
    for path in good.iterdir():
        proto = onnx.load(path)
        proto.graph.node[-1].output[0] = "scores"
        proto.graph.node.append(helper.make_node("ArgMax", ["scores"], ["features"], axis=1))
        proto.graph.output[0].CopyFrom(free("features", TensorProto.INT64))
        save(proto, path)

    asked = run("rank", "--limit", 3, "-f", "json", "--at", "output", good)
    default = run("rank", "--limit", 3, "-f", "json", good)

    assert asked.code == 3
    assert len(asked.errors) == 3
    assert all("`features` has no gradient to the input" in e for e in asked.errors[:2])
    assert default.code == 0
    assert {m["representation"]["value"] for m in default.json["models"]} == {"scores"}


def test_no_usable_model(rank, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.onnx").touch()

    outcome = rank(tmp_path)

    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.errors == [
        "one: the file is empty",
        "two: the file is empty",
        "0 of 2 models usable, and a ranking needs two",
    ]


def test_one_model_only(rank, good):
    outcome = rank(good / "edges-torch.onnx")

    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.errors == ["1 of 1 models usable, and a ranking needs two"]
    assert outcome.hints == ["give more models"]


def test_the_same_file_twice(rank, good):
    outcome = rank(good, good / "edges-torch.onnx")

    assert outcome.code == 1
    assert outcome.errors == [f"{good / 'edges-torch.onnx'}: the file was given twice"]
    assert outcome.hints == ["it is ranked once"]
    assert outcome.ranked == GOOD


def test_the_same_bytes_twice_are_two_models(rank, good):
    (good / "copy.onnx").write_bytes((good / "edges-torch.onnx").read_bytes())

    outcome = rank(good)

    assert outcome.code == 0
    by_name = {target["name"]: target for target in outcome.json["targets"]}
    (copy,) = [s for s in by_name["edges-torch"]["sources"] if s["name"] == "copy"]
    assert copy["duplicate"]
    assert copy["similarity"] == pytest.approx(1, abs=1e-9)
    assert not any(s["duplicate"] for s in by_name["depth-keras"]["sources"])


def test_equal_stems_are_told_apart_by_their_directories(rank, tmp_path):
    for number, folder in enumerate(("new/a", "new/b", "old")):
        save(encoder(number), tmp_path / folder / "net.onnx")

    outcome = rank(tmp_path / "new/a", tmp_path / "new/b", tmp_path / "old")

    assert outcome.ranked == ["a/net", "b/net", "old/net"]


def test_names_that_differ_in_their_suffix_only(rank, tmp_path):
    save(encoder(1), tmp_path / "net.onnx")
    save(encoder(2), tmp_path / "net")

    outcome = rank(tmp_path / "net.onnx", tmp_path / "net")

    assert outcome.code == 0
    assert len(set(outcome.ranked)) == 2
    assert all(str(tmp_path / "net") in name for name in outcome.ranked)


def test_target_by_name_and_by_path(rank, good):
    named = rank(good, "-t", "edges-torch")
    path = rank(good, "-t", good / "edges-torch.onnx")

    assert [t["name"] for t in named.json["targets"]] == ["edges-torch"]
    assert named.json["targets"] == path.json["targets"]


def test_target_not_among_the_models(rank, good):
    outcome = rank(good, "-t", "edges-troch")

    assert outcome.code == 2
    assert outcome.errors == ["the target `edges-troch` is not among the models"]
    assert outcome.hints == ["did you mean `edges-torch`? valid are `depth-keras`, `edges-torch`"]


def test_target_that_cannot_be_used(rank, good):
    (good / "empty.onnx").touch()

    outcome = rank(good, "-t", "empty")

    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.errors[-1] == "the target `empty` cannot be used: the file is empty"


def test_a_tensor_that_one_model_lacks(rank, good):
    (good / "depth-keras.onnx").unlink()
    save(encoder(5), good / "second.onnx")
    other = encoder(6)
    other.graph.node[3].output[0] = other.graph.node[4].input[0] = "hidden"
    save(other, good / "third.onnx")

    outcome = rank(good, "--at", "c1")

    assert outcome.code == 1
    assert outcome.errors == ["third: `third` has no tensor `c1`"]
    assert "valid are `feature`, `logits`, `output`" in outcome.hints[0]
    assert outcome.ranked == ["edges-torch", "second"]


def test_compare_needs_both(run, good, tmp_path):
    (tmp_path / "empty.onnx").touch()

    outcome = run("compare", "--limit", 3, good / "edges-torch.onnx", tmp_path / "empty.onnx")

    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.errors[0] == "empty: the file is empty"
    assert "1 of 2 models usable, and a comparison needs both" in outcome.errors[1]


def test_inspect_tells_of_files_that_are_no_models(run, good):
    (good / "empty.onnx").touch()

    outcome = run("inspect", good)

    assert outcome.code == 1
    assert outcome.errors == ["empty: the file is empty"]
    assert outcome.out.count("can be ranked\n") == 2
    assert run("inspect", good / "empty.onnx").code == 3
    assert run("inspect", "--exit-zero", good).code == 0


def test_a_bug_in_the_tool_has_a_code_of_its_own(run, good, monkeypatch):
    from onnxattr import pipeline

    def fall_over(*_, **__):
        raise RuntimeError("first line\nsecond \x1b[31mline")

    monkeypatch.setattr(pipeline, "rank", fall_over)

    outcome = run("rank", good)

    assert outcome.code == 70
    assert outcome.errors == [r"internal: RuntimeError: first line second \x1b[31mline"]
    assert "--debug" in outcome.hints[0]


def test_a_bug_that_one_model_triggers_costs_that_model(rank, good, tmp_path, monkeypatch):
    from onnxattr.pipeline.job import Examiner

    before = Examiner.examine

    def examine(self, name, *rest):
        if name == "cursed":
            raise ZeroDivisionError("a\nb")
        return before(self, name, *rest)

    monkeypatch.setattr(Examiner, "examine", examine)
    outcome = rank(good, save(encoder(), tmp_path / "cursed.onnx"))

    assert outcome.code == 1
    assert outcome.errors == ["cursed: ZeroDivisionError: a b"]
    assert outcome.ranked == GOOD
