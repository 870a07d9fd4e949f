"""Tables of text, JSON and NumPy: what is read, and one line for each thing that is wrong."""

import io
import json
import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxattr.errors import ScoresError
from onnxattr.scores import load_scores, read
from onnxattr.scores.delimited import read_delimited

VALUES = [[1.0, 0.25, 0.5], [0.125, 1.0, 0.75]]
SOURCES, TARGETS = ("a", "b"), ("a", "b", "c")

MATRIX = "name,a,b,c\na,1,.25,0.5\nb,0.125,1,75e-2\n"
LONG = "value,target,source\n" + "".join(
    f"{VALUES[i][j]},{t},{s}\n" for i, s in enumerate(SOURCES) for j, t in enumerate(TARGETS)
)


def held(scores):
    return scores.sources, scores.targets, scores.values.tolist()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", MATRIX),
        ("x.csv", MATRIX.replace("name", "")),
        ("x.csv", MATRIX.replace(",", ";")),
        ("x.tsv", MATRIX.replace(",", "\t")),
        ("x.txt", "\ufeff" + MATRIX.replace("\n", "\r\n")),
        ("x.csv", "\n" + MATRIX.replace("\n", "\n\n")),
        ("x", MATRIX.replace(",", ", ")),
        ("x.csv", '"name","a","b","c"\n"a",1,.25,0.5\n"b",0.125,1,0.75'),
        ("x.csv", "target,a,b\na,1,.125\nb,.25,1\nc,.5,.75\n"),
        ("x.csv", "Target \\ source,a,b\na,1,.125\nb,.25,1\nc,.5,.75\n"),
        ("x.csv", LONG),
        ("x.csv", LONG.replace("value", "win rate")),
        ("x.tsv", LONG.replace(",", "\t").replace("value", "Score").replace("source", "SOURCE")),
    ],
)  # fmt: skip
def test_text_in_all_its_forms(file, name, text):
    path = file(name, text)

    scores = load_scores(path)

    assert held(scores) == (SOURCES, TARGETS, VALUES)
    assert (scores.name, scores.origin) == ("x", str(path))
    assert len(scores.sha256) == 64
    assert load_scores(path, name="mine").name == "mine"


def test_more_columns_beside_a_known_one(file):
    text = "target,rank,tied,source,similarity,low,high\na,1,false,b,0.5,0.4,0.6\n"
    assert held(load_scores(file("x.csv", text))) == (("b",), ("a",), [[0.5]])


@pytest.mark.parametrize("blank", ["", " ", "nan", "NA", "-", "null"])
def test_blanks_are_no_numbers(file, blank):
    scores = load_scores(file("x.csv", f"n,a,b\na,1,2\nb,{blank},3\n"))
    assert np.isnan(scores.values[1, 0])
    assert np.isfinite(scores.values).sum() == 3


def test_a_row_and_a_column_without_numbers(file):
    scores = load_scores(file("x.csv", "source,target,value\na,b,1\nc,d,2\n"))
    assert held(scores)[:2] == (("a", "c"), ("b", "d"))
    assert np.isnan(scores.values).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n,a,b\na,1\n", "line 2 has 2 cells, and the header 3"),
        ("n,a,b\na,1,2,3\n", "line 2 has 4 cells, and the header 3"),
        ("n,a,b\na,1,2\na,1,2\n", "has the source `a` twice"),
        ("n,a,a\na,1,2\nb,1,2\n", "has the target `a` twice"),
        ("n,a,b\na,1,much\n", "line 2, `b` is no number: `much`"),
        ("n,a,b\na,1,inf\n", "line 2, `b` is infinite"),
        ("n,a,b\na,1,1e999\n", "line 2, `b` is infinite"),
        ("n,a,b\na,1,0x10\n", "line 2, `b` is no number: `0x10`"),
        ("n,a,b\n,1,2\n", "line 2 has no name"),
        ("n,a,\na,1,2\n", "column 3 of .* has no name"),
        (f"n,a,{'b' * 501}\na,1,2\n", "has a name of 501 characters"),
        ("hello\n", "is no table: its first line is `hello`"),
        ("\n\n", "is no table"),
        ("source,target,value\na,b,1\na,b,1\n", "has the source `a` of the target `b` twice"),
        ("source,target,value\n", "has no pairs of a source and a target"),
        ("source,target,value\na,b\n", "line 2 has 2 cells, and the header 3"),
        ("source,target,x,y\na,b,1,2\n", "does not say which column holds the number: `source`"),
        ("source,target\na,b\n", "does not say which column holds the number"),
        ("source,target,value\na,,1\n", "line 2 has no name"),
        ('n,a\na,"1\n', "line 2: unexpected end of data"),
        (b"n,a\na,\xff\n", "is no text in UTF-8"),
        (b"", "is empty"),
    ],
)
def test_what_is_wrong_with_text_is_one_line(file, text, message):
    with pytest.raises(ScoresError, match=message) as caught:
        load_scores(file("x.csv", text))
    assert "\n" not in caught.value.message


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60) | st.text(alphabet='abst,;\t\n"01.-', max_size=60))
def test_any_text_is_a_table_or_one_line(text):
    with suppress(ScoresError):
        scores = read_delimited(text.encode("utf-8", "surrogatepass"), "x.csv")
        assert scores.values.shape == (len(scores.sources), len(scores.targets))


def test_files_that_are_none(tmp_path, file, monkeypatch):
    with pytest.raises(ScoresError, match="does not exist"):
        load_scores(tmp_path / "absent.csv")
    with pytest.raises(ScoresError, match="is no regular file"):
        load_scores(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ScoresError, match="is no regular file"):
        load_scores(tmp_path / "pipe.csv")
    with pytest.raises(ScoresError, match="cannot be read"):
        load_scores("a\0b.csv")
    monkeypatch.setattr(read, "MAX_BYTES", 2**20)
    with pytest.raises(ScoresError, match="is larger than 1 MiB"):
        load_scores(file("large.csv", b"x" * (2**20 + 1)))


# --- Rankings in JSON. --------------------------------------------------------------------------


def ranking(names=("a", "b", "c"), matrix=None, **more):
    matrix = [[1.0, 0.5, None], [0.5, 1.0, 0.25], [None, 0.25, 1.0]] if matrix is None else matrix
    document = {
        "schema_version": 1, "kind": "ranking",
        "similarity": {"names": list(names), "centred": True, "canvas": [2, 2], "matrix": matrix},
    }  # fmt: skip
    return json.dumps({**document, **more})


@pytest.mark.parametrize("found", [{}, [], None, ["cka"], 3])
def test_a_ranking_without_measures_has_its_cosines(file, found):
    text = ranking(measures=found)
    assert load_scores(file("x.json", text)).values[1].tolist() == [0.5, 1.0, 0.25]


def test_a_ranking_is_a_similarity(file):
    scores = load_scores(file("x.json", ranking()))

    assert scores.sources == scores.targets == ("a", "b", "c")
    assert np.isnan(scores.values[0, 2])
    assert scores.values[1].tolist() == [0.5, 1.0, 0.25]


def measure(name, matrix, *, directed=True, **more):
    one = {"measure": name, "directed": directed, "names": ["a", "b", "c"], "matrix": matrix}
    return {**one, **more}


DIRECTED = [[1, 2, None], [4, 5, 6], [7, 8, 9]]
SAME = [[1, 2, 3], [2, 1, 4], [3, 4, 1]]


def test_a_row_of_a_directed_measure_is_a_source(file):
    """The matrix of cosines, which has no direction, has a row for each target."""
    text = ranking(measures=[measure("predictability", DIRECTED), measure("cka", SAME)])
    scores = load_scores(file("x.json", text))
    assert scores.name == "x"
    assert scores.values[1].tolist() == [4, 5, 6]
    assert np.isnan(scores.values[0, 2])


def test_a_measure_of_several_is_taken_by_its_name(file):
    text = ranking(measures=[measure("predictability", DIRECTED), measure("cka", SAME)])
    assert load_scores(file("x.json", text), name="cka").values.tolist() == SAME
    other = load_scores(file("x.json", text), name="mine")
    assert (other.name, other.values[2].tolist()) == ("mine", [7, 8, 9])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ranking(measures=[measure("cka", DIRECTED, directed=False)]), "is not symmetric"),
        (ranking(measures=[measure("cka", DIRECTED, directed="yes")]), "is not symmetric"),
        (ranking(measures=[measure("cka", [[1]])]), "has no square matrix"),
        (ranking(measures=[measure("cka", SAME, names=["a", "a", "b"])]), "the source `a` twice"),
        (ranking(measures=[{}]), "has no square matrix"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"a": NaN}', "`NaN` is no number of JSON"),
        ('{"a": 1, "a": 2}', "a key stands there twice"),
        ("[]", "is no ranking in JSON: its kind is `None`"),
        (ranking(kind="survey"), "its kind is `survey`"),
        (ranking(similarity=None), "has no square matrix"),
        (ranking(similarity={"names": ["a"]}), "has no square matrix"),
        (ranking(names=("a", "b")), "has no square matrix"),
        (ranking(matrix=[[1, 2, 3]] * 2), "has no square matrix"),
        (ranking(matrix=[[1, 2, "3"]] * 3), "has no square matrix"),
        (ranking(matrix=[[1, 2, True]] * 3), "has no square matrix"),
        (ranking(names=(1, 2, 3)), "has no square matrix"),
        (ranking(names=("a", "a", "c")), "has the source `a` twice"),
        (ranking(names=("a", "", "c")), "has no name"),
        (ranking(matrix=[[1, 0.5, 0], [0.4, 1, 0], [0, 0, 1]]),
         "is not symmetric: 0.5 for `a` and `b`, and 0.4 for `b` and `a`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_ranking_is_one_line(file, text, message):
    with pytest.raises(ScoresError, match=message):
        load_scores(file("x.json", text))


# --- NumPy's files. -----------------------------------------------------------------------------


def npy(array, **more):
    buffer = io.BytesIO()
    np.save(buffer, array, **more)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_archives_of_arrays(file):
    values = np.array(VALUES, np.float32)
    scores = load_scores(
        file("x.npz", npz(matrix=values, sources=np.array(SOURCES), targets=np.array(TARGETS)))
    )
    assert held(scores) == (SOURCES, TARGETS, VALUES)
    square = load_scores(file("y.npz", npz(matrix=np.eye(2, dtype=int), names=np.array(SOURCES))))
    assert held(square) == (SOURCES, SOURCES, np.eye(2).tolist())


def test_an_array_with_its_names_beside_it(file):
    path = file("x.npy", npy(np.asfortranarray(np.arange(4.0).reshape(2, 2))))
    file("x.txt", "a\nb\n")
    assert held(load_scores(path)) == (SOURCES, SOURCES, [[0.0, 1.0], [2.0, 3.0]])


def test_an_array_of_objects_is_never_read(file):
    """A pickle in an array would run code when it is read."""
    file("x.txt", "a\nb\n")
    objects = npy(np.array([[1, 2], [3, 4]], object), allow_pickle=True)
    with pytest.raises(ScoresError, match="holds Python objects, which could run code"):
        load_scores(file("x.npy", objects))
    with pytest.raises(ScoresError, match="holds Python objects"):
        load_scores(file("x.npz", npz(matrix=np.eye(2), names=np.array(["a", 2], object))))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("alone.npy", npy(np.eye(2)), "has no names"),
        ("x.npy", b"\x93NUMPY", "its header is damaged"),
        ("x.npy", npy(np.eye(2))[:-1], "holds 31 bytes, and says 32"),
        ("x.npy", npy(np.eye(2)) + b"\0", "holds 33 bytes, and says 32"),
        ("x.npy", npy(np.eye(2)).replace(b"(2, 2)", b"(-2,2)"), "says -32 of them"),
        ("x.npy", npy(np.eye(3)), "has 2 sources and 2 targets, and a matrix of the shape"),
        ("x.npy", npy(np.ones(2)), "is no matrix of numbers: it has the shape \\[2\\]"),
        ("x.npy", npy(np.eye(2, dtype=complex)), "the type complex128"),
        ("x.npy", npy(np.full((2, 2), np.inf)), "numbers that are infinite"),
        ("x.npz", b"PK\x03\x04", "cannot be read"),
        ("x.npz", npz(a=np.eye(2)), "has no matrix with names: it holds `a`"),
        ("x.npz", npz(matrix=np.eye(2), sources=np.array(["a", "b"])), "has no matrix with names"),
        ("x.npz", npz(matrix=np.eye(2), names=np.arange(2)), "are no row of strings"),
        ("x.npz", npz(matrix=np.eye(2), names=np.array(["a", "a"])), "has the source `a` twice"),
    ],
)
def test_what_is_wrong_with_an_array_is_one_line(file, name, content, message):
    file("x.txt", "a\nb\n")
    with pytest.raises(ScoresError, match=message):
        load_scores(file(name, content))


def test_a_name_beyond_unicode(file):
    content = npz(matrix=np.eye(2), names=np.array(["a", "b"])).replace(
        "b".encode("utf-32-le"), b"\xff\xff\xff\x7f"
    )
    with pytest.raises(ScoresError, match=r"cannot be read|are no text"):
        load_scores(file("x.npz", content))
