"""An audit from files to a verdict, through workers."""

import numpy as np
import pytest

import onnxattr
from onnxattr.errors import UsageError

FOLDER = "samples/models"


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The suspect is among the references, one of which is no model; the twin is no twin."""
    folder = tmp_path_factory.mktemp("audit")
    broken = folder / "broken.onnx"
    broken.write_bytes(b"no model")
    return onnxattr.audit(
        f"{FOLDER}/edge2d-torch.onnx",
        against=[f"{FOLDER}/edge2d-torch.onnx", f"{FOLDER}/edge2d-jax.onnx", broken],
        twins=f"{FOLDER}/autoencoder-torch.onnx",
        search=False,
        options=onnxattr.Options(limit=6, device="cpu", store=folder / "store"),
        fail_if=["derived"],
    )


def test_a_suspect_among_the_references_is_identical(audited):
    assert (audited.verdict.kind, audited.verdict.reference) == ("identical", "edge2d-torch")
    assert audited.relations[0].identical == "file"
    assert [gate.crossed for gate in audited.gates] == [True]


def test_a_reference_that_fails_costs_itself_alone(audited):
    assert [failure.name for failure in audited.failures] == ["broken"]
    assert [each.reference for each in audited.relations] == ["edge2d-torch", "edge2d-jax"]


def test_a_twin_of_another_task_is_told_of(audited):
    (twin,) = audited.twins
    assert (twin.name, twin.reference) == ("autoencoder-torch", "")
    assert "does not look like a model of the same task" in twin.reason


def test_the_suspect_was_checked(audited):
    suspect = audited.suspect
    assert suspect.deterministic
    assert suspect.parity.error <= suspect.parity.tolerance
    assert suspect.gradient.error <= suspect.gradient.tolerance
    assert suspect.identity.operators["Conv"] == 6
    assert audited.nearest.sources[0].name == "edge2d-jax"


def test_maps_of_the_suspect_and_the_references_are_kept_for_figures(audited):
    assert [model.name for model in audited.models] == ["edge2d-torch", "edge2d-jax"]
    assert audited.stored == ()
    gallery = audited.gallery
    assert (gallery.method, gallery.models) == ("saliency", ("edge2d-torch", "edge2d-jax"))
    assert gallery.every == (2, 6)
    made = onnxattr.attribute(
        f"{FOLDER}/edge2d-jax.onnx", options=onnxattr.Options(limit=6, device="cpu")
    ).values[list(gallery.places)]
    strength = np.sqrt((made.astype(float) ** 2).mean(axis=(1, 2), keepdims=True))
    assert gallery.maps[1] == pytest.approx(made / strength, rel=1e-4, abs=1e-5)


def test_a_wrong_condition_is_told_before_anything_is_read():
    with pytest.raises(UsageError, match="there is no condition `dervied`"):
        onnxattr.audit("none.onnx", against="none.onnx", fail_if=["dervied"])
