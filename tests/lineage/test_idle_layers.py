"""Weights that lie in a file and do nothing accuse nobody."""

import audited_files as files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxattr
from onnxattr.types.audit import DERIVED, INDEPENDENT, UNDECIDABLE
from onnxattr.types.weights import DERIVED as WEIGHTS_DERIVED
from onnxattr.types.weights import PARTIAL

FEW = onnxattr.Options(limit=6, device="cpu", store=None)

VICTIM, INNOCENT = files.net(0), files.net(1)


def node(*given, **said):
    return helper.make_node(*given, **said)


#: From the victim's logits, `victim_logits`, to `nothing`, which is 0.
ENDINGS = {
    "times-zero": [node("Mul", ["victim_logits", "zero"], ["nothing"])],
    "times-a-speck": [node("Mul", ["victim_logits", "speck"], ["nothing"])],
    "minus-itself": [node("Sub", ["victim_logits", "victim_logits"], ["nothing"])],
    "clipped": [node("Clip", ["victim_logits", "zero", "zero"], ["nothing"])],
    "negative": [
        node("Abs", ["victim_logits"], ["size"]),
        node("Neg", ["size"], ["below"]),
        node("Relu", ["below"], ["nothing"]),
    ],
    "times-what-a-pixel-is-less-itself": [
        node("Sub", ["image", "image"], ["none"]),
        node("ReduceMean", ["none"], ["factor"], keepdims=0),
        node("Mul", ["victim_logits", "factor"], ["nothing"]),
    ],
}


def framed(ending):
    """The innocent net, with the victim's beside it, that adds what `ending` makes of it."""
    made, other = files.file_of(INNOCENT), files.file_of(VICTIM, prefix="victim_")
    graph = made.graph
    for each in other.graph.node:
        each.input[:] = ["image" if name == "victim_image" else name for name in each.input]
    graph.node[-1].output[0] = "own"
    graph.node.extend([*other.graph.node, *ending, node("Add", ["own", "nothing"], ["logits"])])
    graph.initializer.extend(other.graph.initializer)
    for name, value in (("zero", 0), ("speck", 1e-12), ("some", 0.3)):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    onnx.checker.check_model(made)
    return made


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return files.saved(tmp_path_factory.mktemp("victim"), victim=files.file_of(VICTIM))["victim"]


def audited(folder, victim, proto):
    path = files.saved(folder, vendor=proto)["vendor"]
    return onnxattr.audit(path, against=victim, options=FEW, search=False)


def test_a_branch_that_ends_in_nothing_accuses_nobody(tmp_path, victim):
    found = audited(tmp_path, victim, framed(ENDINGS["times-zero"]))
    assert found.verdict.kind in (INDEPENDENT, UNDECIDABLE)
    assert found.relations[0].match.copied == 0
    numbers = sum(array.size for array in (*VICTIM.weights, VICTIM.head))
    (note,) = [line for line in found.warnings if line.startswith("vendor: 7 layers of ")]
    assert f"{numbers:,} numbers change nothing" in note


def test_however_it_ends_and_neither_in_a_reference(tmp_path, victim):
    claimed = files.saved(tmp_path, **{name: framed(nodes) for name, nodes in ENDINGS.items()})
    found = onnxattr.audit(victim, against=list(claimed.values()), options=FEW, search=False)
    assert found.verdict.kind in (INDEPENDENT, UNDECIDABLE)
    told = [line.partition(":")[0] for line in found.warnings if ": 7 layers of " in line]
    assert sorted(told) == sorted(ENDINGS)
    assert not any(each.match.copied for each in found.relations)


def test_weights_that_do_something_are_compared(tmp_path, victim):
    some = framed([node("Mul", ["victim_logits", "some"], ["nothing"])])
    # Of a few probes the class stays, whatever weights do; what is attributed does not.
    sorter = files.file_of(files.new_head(VICTIM, INNOCENT, kept=5))
    sorter.graph.node.append(node("ArgMax", ["logits"], ["class"], axis=1))
    made = helper.make_tensor_value_info("class", TensorProto.INT64, ["n", 1])
    sorter.graph.output[0].CopyFrom(made)
    claimed = files.saved(tmp_path, some=some, sorter=sorter)
    found = onnxattr.audit(victim, against=list(claimed.values()), options=FEW, search=False)
    assert found.verdict.kind == DERIVED
    assert all(each.finding.kind in (WEIGHTS_DERIVED, PARTIAL) for each in found.relations)
    assert not any("change nothing" in line for line in found.warnings)
