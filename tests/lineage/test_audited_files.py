"""A file and what disguises make of it, through workers: all of it in one audit, twice.

The original is the suspect and its disguises the references, which costs one audit for all of them;
how weights agree knows no direction.
"""

import dataclasses
import json

import audited_files as files
import pytest

import onnxattr
from onnxattr.lineage.verdict import decide
from onnxattr.report.json import to_json
from onnxattr.types.audit import DERIVED, IDENTICAL, INDEPENDENT

FEW = onnxattr.Options(limit=6, device="cpu", store=None)

VICTIM, OTHER = files.net(0), files.net(1)

#: What weighs the same in every respect but the order and scale of hidden channels.
EXACT = {
    "reexported": files.file_of(VICTIM, prefix="z_", backwards=True),
    "older": files.file_of(VICTIM, prefix="z_", opset=13),
    "permuted": files.file_of(files.permuted(VICTIM)),
    "rescaled": files.file_of(files.permuted(VICTIM, scaled=True, order=False)),
    "both": files.file_of(files.permuted(VICTIM, 3, scaled=True)),
    "split": files.file_of(files.split(VICTIM)),
    "half": files.file_of(VICTIM, half=True),
    "nhwc": files.file_of(VICTIM, nhwc=True),
    "bgr": files.file_of(files.entrance(VICTIM, swapped=True)),
    "bytes": files.file_of(files.entrance(VICTIM, divided=255)),
    "all": files.file_of(files.split(files.permuted(VICTIM, 3)), half=True, nhwc=True),
}

REST = {
    "new-head": files.file_of(files.new_head(VICTIM, OTHER)),
    "stranger": files.file_of(OTHER),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def paths(folder):
    made = files.saved(folder, victim=files.file_of(VICTIM), **EXACT, **REST)
    copy = folder / "renamed.onnx"
    copy.write_bytes(made["victim"].read_bytes())
    return {**made, "renamed": copy}


@pytest.fixture(scope="module")
def audited(paths):
    known = [path for name, path in paths.items() if name != "victim"]
    return onnxattr.audit(paths["victim"], against=known, options=FEW)


def relation(audited, name):
    return next(each for each in audited.relations if each.reference == name)


def test_a_copy_under_another_name_is_identical_before_all_that_only_computes_the_same(audited):
    assert (audited.verdict.kind, audited.verdict.reference) == (IDENTICAL, "renamed")
    assert audited.relations[0].identical == "file"
    assert audited.relations[1].reference == "reexported"
    assert audited.relations[1].identical == "weights"


@pytest.mark.parametrize("name", EXACT)
def test_a_disguise_that_changes_no_weight_has_all_of_the_lineage(audited, name):
    found = relation(audited, name)
    assert found.match.late >= 0.999
    assert found.finding.kind in ("identical", "derived")
    assert decide([found]).kind in (IDENTICAL, DERIVED)


@pytest.mark.parametrize("name", ["older", "split", "nhwc", "bgr"])
def test_the_same_function_is_found_behind_other_files(audited, name):
    assert relation(audited, name).identical == "function"
    assert relation(audited, name).fed == ("BGR, 0 to 1" if name == "bgr" else "")


def test_a_copied_backbone_under_a_new_head_is_named_with_its_layers(audited):
    found = relation(audited, "new-head")
    assert found.finding.kind == "partly copied"
    verdict = decide([found])
    assert verdict.kind == DERIVED
    assert any("layers of" in line and "are copies" in line for line in verdict.reasons)
    # Which, and where they are in both: exactly those that were kept.
    copied = {match.suspect for match in found.match.tensors if match.exact}
    assert copied == {f"w{i}" for i in range(4)}
    assert {match.reference for match in found.match.tensors} == copied


def test_a_stranger_is_not_accused(audited):
    found = relation(audited, "stranger")
    assert found.finding.kind == "no sign of derivation"
    assert found.match.copied == 0
    assert decide([found]).kind not in (IDENTICAL, DERIVED)


def document(result):
    made = json.loads(to_json(dataclasses.replace(result, seconds={})))
    for each in made["failures"]:
        assert each["name"]
    return made


def test_the_order_in_which_models_are_given_changes_nothing(paths):
    names = ["stranger", "permuted", "new-head", "gone"]
    known = [paths.get(name, paths["victim"].with_name(f"{name}.onnx")) for name in names]
    apart = [paths["half"], paths["nhwc"], paths["victim"].with_name("also-gone.onnx")]
    options = dataclasses.replace(FEW, workers=2)
    first, second = (
        onnxattr.audit(paths["victim"], against=known[::step], twins=apart[::step], options=options)
        for step in (1, -1)
    )
    assert document(first) == document(second)
    assert [failure.name for failure in first.failures] == ["also-gone", "gone"]
    assert "it was not compared with gone" in first.verdict.caveats


def test_a_disguised_entrance_is_found_by_what_the_suspect_is_fed(paths, folder):
    swapped = files.file_of(files.entrance(VICTIM, swapped=True, divided=255))
    made = files.saved(folder, disguised=swapped)
    result = onnxattr.audit(
        made["disguised"], against=[paths["victim"], paths["stranger"]], options=FEW
    )
    assert (result.verdict.kind, result.verdict.reference) == (IDENTICAL, "victim")
    assert relation(result, "victim").fed == "BGR, 0 to 255"
    assert relation(result, "victim").match.late >= 0.999
    assert result.warnings


def test_another_net_of_the_same_shape_is_consistent_with_independent(paths):
    """Nothing that it does is what the victim does: of random weights, only the shape is shared."""
    result = onnxattr.audit(paths["stranger"], against=paths["victim"], options=FEW)
    assert result.verdict.kind != DERIVED
    if result.verdict.kind == INDEPENDENT:
        assert relation(result, "victim").behaviour[4].value < 0.5
