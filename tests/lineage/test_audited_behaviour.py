"""Tiny trained nets as files, through workers: who is accused by behaviour, and who never is."""

from dataclasses import replace

import audited_files as files
import pytest
from audited_nets import onnx_of, trained, tuned

import onnxattr
from onnxattr.lineage.verdict import decide
from onnxattr.types.audit import CLOSER, DERIVED, IDENTICAL, UNDECIDABLE

FEW = onnxattr.Options(limit=12, device="cpu", store=None)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    victim = trained("edges", 0)
    made = {
        "victim": onnx_of(victim),
        "other-task": onnx_of(trained("greens", 5)),
        "twin-1": onnx_of(trained("edges", 1)),
        "twin-2": onnx_of(trained("edges", 2)),
        "copy": onnx_of(victim),
        "reexported": onnx_of(victim, "z_"),
        "same-start": onnx_of(trained("edges", 4, initial=0)),
        "tuned": onnx_of(tuned(victim, "edges")),
        "tuned-more": onnx_of(tuned(victim, "edges", 30)),
    }
    for name, data in made.items():
        (folder / f"{name}.onnx").write_bytes(data)
    files.saved(folder, **{"other-thing": files.file_of(files.net(9))})
    return {path.stem: path for path in folder.glob("*.onnx")}


@pytest.fixture(scope="module")
def same_start(paths):
    twins = ["twin-1", "twin-2", "other-thing", "copy", "reexported", "victim", "same-start"]
    return onnxattr.audit(
        paths["same-start"],
        against=[paths["victim"], paths["other-task"]],
        twins=[*(paths[name] for name in twins), paths["victim"].with_name("gone.onnx")],
        options=FEW,
    )


@pytest.fixture(scope="module")
def copied(paths):
    return onnxattr.audit(
        paths["tuned"],
        against=paths["victim"],
        twins=[paths["twin-1"], paths["twin-2"], paths["tuned-more"]],
        options=FEW,
    )


def about(audited, reference="victim"):
    return next(each for each in audited.relations if each.reference == reference)


def test_a_shared_initialisation_is_not_accused(same_start):
    assert same_start.verdict.kind not in (IDENTICAL, DERIVED, CLOSER)
    found = about(same_start)
    assert found.finding.kind not in ("identical", "derived", "partly copied")
    assert found.twins == ("twin-1", "twin-2")
    assert found.p >= found.floor == pytest.approx(1 / 3)


def test_models_given_as_independent_are_used_or_it_is_said_why_not(same_start):
    told = {twin.name: (twin.reference, twin.reason) for twin in same_start.twins}
    assert told["twin-1"] == told["twin-2"] == ("victim", "")
    # Another task; the same bytes, or weights, under another name; a file that is not there.
    assert "does not look like a model of the same task" in told["other-thing"][1]
    assert "is the same file as the reference victim" in told["copy"][1]
    assert "has the same weights as the reference victim" in told["reexported"][1]
    assert "does not exist" in told["gone"][1]
    assert {name for name, (reference, _) in told.items() if reference} == {"twin-1", "twin-2"}
    # The very paths of a reference and of the suspect.
    failures = {failure.name: failure.message for failure in same_start.failures}
    assert "is a reference" in failures["victim"]
    assert "is the suspect" in failures["same-start"]


def test_a_copy_that_was_trained_on_is_derived(copied, paths):
    alone = onnxattr.audit(paths["tuned"], against=paths["victim"], options=FEW)
    assert (alone.verdict.kind, alone.verdict.reference) == (DERIVED, "victim")


def test_a_model_given_as_independent_that_looks_derived_is_doubted(copied):
    (doubt,) = [line for line in copied.warnings if line.startswith("tuned-more: ")]
    assert "its weights look derived from victim" in doubt


def test_few_comparisons_accuse_nobody_by_behaviour(copied, paths):
    apart = [paths["twin-1"], paths["twin-2"]]
    found = onnxattr.audit(paths["tuned"], against=paths["victim"], twins=apart, options=FEW)
    assert about(found).score > 0.5
    blind = [replace(each, match=None, finding=None) for each in found.relations]
    verdict = decide(blind, found.twins)
    assert verdict.kind == UNDECIDABLE
    assert "with 2 comparisons of independent models p cannot be below 0.33" in verdict.reasons[0]
    # And none at all say nothing whatever.
    bare = [replace(each, twins=(), score=float("nan"), p=float("nan")) for each in blind]
    verdict = decide(bare)
    assert verdict.kind == UNDECIDABLE
    assert "no independent model of the task" in verdict.reasons[0]
