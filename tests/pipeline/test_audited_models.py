"""Which models of an audit play which role, before anything is opened."""

import itertools

import pytest

from onnxattr.errors import UsageError
from onnxattr.pipeline.audited_models import cast


@pytest.fixture
def folder(tmp_path):
    for name in ("s", "a", "b", "t", "u"):
        (tmp_path / f"{name}.onnx").write_bytes(b"")
    return tmp_path


def test_roles_are_sorted_whatever_the_order(folder):
    found = set()
    for some in itertools.permutations([folder / "b.onnx", folder / "a.onnx"]):
        roles = cast(folder / "s.onnx", some, [folder / "u.onnx", folder / "t.onnx"])
        found.add((roles.suspect, roles.references, roles.twins, roles.same))
    assert found == {("s", ("a", "b"), ("t", "u"), False)}


def test_the_suspect_among_the_references_is_no_reference_but_the_same(folder):
    roles = cast(folder / "s.onnx", folder, ())
    assert (roles.same, roles.references) == (True, ("a", "b", "t", "u"))
    assert roles.failures == ()


def test_a_reference_is_not_independent_of_itself(folder):
    roles = cast(folder / "s.onnx", folder / "a.onnx", [folder / "a.onnx", folder / "s.onnx"])
    assert roles.twins == ()
    assert [failure.message for failure in roles.failures] == [
        "it is given as independent, and is a reference",
        "it is given as independent, and is the suspect",
    ]


@pytest.mark.parametrize(
    ("suspect", "against", "message"),
    [
        (".", "a.onnx", "is a directory"),
        ("*.onnx", "a.onnx", "is not one file"),
        ("s.onnx", (), "there are no references"),
        ("s.onnx", "none-*.onnx", "there are no references"),
    ],
)
def test_what_is_no_audit(folder, suspect, against, message):
    known = [folder / against] if isinstance(against, str) else against
    with pytest.raises(UsageError, match=message):
        cast(folder / suspect, known, ())
