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


@pytest.mark.parametrize("form", ["text", "mapping"])
def test_whose_task_an_independent_model_shares_may_be_said(folder, form):
    t, u = folder / "t.onnx", folder / "u.onnx"
    given = [f"a={t}", f"b={t}", u] if form == "text" else {"a": t, "b": [t], "": u}
    roles = cast(folder / "s.onnx", [folder / "a.onnx", folder / "b.onnx"], given)
    assert roles.twins == ("t", "u")
    assert roles.declared == {"t": ("a", "b")}


def test_a_file_may_be_called_as_if_it_said_so(folder):
    (folder / "a=t.onnx").write_bytes(b"")
    roles = cast(folder / "s.onnx", folder / "a.onnx", [folder / "a=t.onnx"])
    assert (roles.twins, roles.declared) == (("a=t",), {})


def test_a_task_of_no_reference_is_wrong_usage(folder):
    with pytest.raises(UsageError, match="`c` is no reference"):
        cast(folder / "s.onnx", folder / "a.onnx", f"c={folder / 't.onnx'}")


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
