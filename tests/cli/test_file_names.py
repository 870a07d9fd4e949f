"""Names of models and probes as names of files: one name each, that every file system takes."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxattr.files import safe_names, whole

NASTY = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "a",
        "A",
        "con",
        "NUL.txt",
        "\0",
        "\x1b[2J",
        "é",
        "e\u0301",
        " ",
        ":",
        "-",
    ]
)
NAMES = st.lists(st.text(max_size=300) | st.lists(NASTY, max_size=6).map("".join), unique=True)


@given(NAMES, st.lists(st.sampled_from(["index.json", "a", "_"]), unique=True))
def test_each_name_is_one_part_of_a_path_and_its_own(names, taken):
    found = safe_names(names, taken)

    assert list(found) == names
    folded = [unicodedata.normalize("NFKC", name).casefold() for name in found.values()]
    assert len({*folded, *taken}) == len(folded) + len(taken)
    for name in found.values():
        assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
        assert name[0] not in ".-"
        assert name[-1] not in ". "
        assert len(name.encode()) < 160
        assert all(c.isalnum() or c in "._-=+" for c in name)
        assert name.partition(".")[0].lower() not in ("con", "nul")


def test_ordinary_names_stay_as_they_are():
    names = ["resnet18", "vit_b.16-v2", "größe", "模型", "000.webp", "x=1+2"]

    assert safe_names(names) == {name: name for name in names}


def test_names_do_not_depend_on_what_comes_after():
    assert safe_names(["a/b", "a_b"])["a/b"] == safe_names(["a/b"])["a/b"] == "a_b"


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"before")

    def interrupted():
        with whole(path) as file:
            file.write(b"half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        interrupted()

    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with whole(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
