"""Pickles: data is read, and code is not run."""

import collections
import datetime
import io
import os
import pickle
import pickletools
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxattr.errors import ScoresError
from onnxattr.scores import load_scores
from onnxattr.scores.pickled import read_pickle

PLAIN = {"a__b": 0.5, "b__a": 0.25, "a__c": 1, "é__b": -2.0}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "kind", [float, np.float64, np.float32, np.float16, np.dtype(">f8").type, np.int16, np.uint8]
)
def test_numbers_of_every_protocol(protocol, kind):
    plain = {key: kind(max(value, 0) * 4) for key, value in PLAIN.items()}

    read = read_pickle(pickle.dumps(plain, protocol), "x.pkl")

    assert read == {key: float(value) for key, value in plain.items()}
    assert all(type(value) is float for value in read.values())


@given(st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False) | st.integers(-99, 10**6)))
@settings(deadline=None)
def test_whatever_is_plain_is_read_as_pickle_reads_it(plain):
    # Protocol 0 writes lone surrogates as it reads them, and so do the others.
    for protocol in (0, 2, 5):
        assert read_pickle(pickle.dumps(plain, protocol), "x") == pytest.approx(plain)


def test_scalars_of_either_byte_order():
    """As NumPy writes one of the other order: a state with it is set on the type."""
    for order, code in (("<", "<"), (">", ">"), ("|", "<"), ("=", "<")):
        content = struct.pack(code + "d", 0.75)
        data = (
            b"\x80\x03}U\x04a__bcnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
            b"(K\x03U\x01" + order.encode() + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            b"C\x08" + content + b"\x86Rs."
        )
        assert read_pickle(data, "x") == {"a__b": 0.75}


def test_python_2_wrote_bytes_as_text():
    content = struct.pack("<d", -1.5)
    data = (
        b"\x80\x02}U\x05b\xe9__acnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"U\x08" + content + b"\x86Rs."
    )
    assert read_pickle(data, "x") == {"bé__a": -1.5}


class Runs:
    """Something that runs code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile(folder):
    mark = str(folder / "mark")
    return {
        "system": Runs(os.system, f"touch {mark}"),
        "value": {"a__b": Runs(os.system, f"touch {mark}")},
        "key": {Runs(os.mkdir, mark): 1.0},
        "eval": {"a__b": Runs(eval, f"open({mark!r}, 'w')")},
        "getattr": {"a__b": Runs(getattr, "", "format")},
        "loads": {"a__b": Runs(pickle.loads, pickle.dumps(Runs(os.mkdir, mark)))},
        "numpy": {"a__b": Runs(np.memmap, mark, "u1", "w+", 0, (4,))},
        "bytes": {"a__b": Runs(bytes, 10**12)},
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", hostile(Path("nowhere")))
def test_code_is_not_run(tmp_path, name, protocol):
    data = pickle.dumps(hostile(tmp_path)[name], protocol)
    file = tmp_path / "x.pkl"
    file.write_bytes(data)

    with pytest.raises(ScoresError, match=r"is refused: it names `.*`, which could run code"):
        load_scores(file)

    assert not (tmp_path / "mark").exists()


def test_the_attacks_above_are_real(tmp_path):
    for name in ("system", "value", "loads"):
        pickle.loads(pickle.dumps(hostile(tmp_path)[name]))
        mark = tmp_path / "mark"
        assert mark.exists()
        mark.rmdir() if mark.is_dir() else mark.unlink()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([1, 2], "has the instruction `EMPTY_LIST`"),
        ({"a__b": [1]}, "has the instruction `EMPTY_LIST`"),
        ({1: 2.0}, "has keys that are no texts"),
        ({("a", "b"): 2.0}, "has keys that are no texts"),
        ({"a__b": None}, "has no number for `a__b`"),
        ({"a__b": True}, "has no number for `a__b`"),
        ({"a__b": "0.5"}, "has no number for `a__b`"),
        ({"a__b": {"c": 1}}, "has no number for `a__b`"),
        ({"a__b": 10**400}, "has the instruction `LONG1`|over all bounds"),
        (0.5, "is no dictionary of names and numbers"),
        ({"a__b": np.arange(3)}, "names `numpy.*_reconstruct`"),
        ({"a__b": np.float64(1) + 1j}, "has numbers of the type `c16`"),
        ({"a__b": np.bool_(True)}, "has numbers of the type `b1`"),
        ({"a__b": datetime.date(2020, 1, 1)}, "names `datetime.date`"),
        (collections.OrderedDict(a__b=1.0), "names `collections.OrderedDict`"),
        ({1.5, 2.5}, "has the instruction `EMPTY_SET`"),
    ],
)
def test_what_is_no_dictionary_of_numbers_is_refused(made, message):
    with pytest.raises(ScoresError, match=message):
        read_pickle(pickle.dumps(made, 4), "x.pkl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is a damaged pickle"),
        (b"hello", "is a damaged pickle"),
        (pickle.dumps(PLAIN)[:-1], "is a damaged pickle"),
        (b"}", "is a damaged pickle"),
        (b"s.", "is a damaged pickle"),
        (b"(.", "no dictionary"),
        (b"}(U\x01as.", "fills|damaged|no texts"),
        (b"}(U\x01au.", "fills what is no dictionary"),
        (b"u.", "is a damaged pickle"),
        (b"}h\x05s.", "is a damaged pickle"),
        (b"}U\x01aG?\xe0\x00\x00\x00\x00\x00\x00sU\x01aG?\xe0\x00\x00\x00\x00\x00\x00s.", "twice"),
        (b"}K\x01K\x01R.", "calls what is no function"),
        (b"}N}b.", "sets the state of an object"),
        (b"cnumpy\ndtype\n)R.", "is a damaged pickle"),
        (b"cnumpy\ndtype\nU\x02f8\x85RU\x01<K\x01\x86b.", "unknown byte order"),
        (b"cnumpy\ndtype\nN\x85R.", "has numbers of no known type"),
        (b"cnumpy\ndtype\nU\x01<\x85R.", "has numbers of the type `<`"),
        (b"cnumpy.core.multiarray\nscalar\nU\x02f8C\x01a\x86R.", "a number that is none"),
        (b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8\x85RC\x01a\x86R.", "damaged"),
        (b"c_codecs\nencode\nU\x01aU\x04zlib\x86R.", "encodes a text"),
        (b"\x80\x02cos\nsystem\n.", "names `os.system`"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "names `os.system`"),
        (b"\x80\x04\x8c\x05numpy\x8c\x05dtypeN\x93.", "names"),
        (b"\x80\x02\x82\x01.", "has the instruction `EXT1`"),
        (b"Pid\n.", "has the instruction `PERSID`"),
        (b"(ios\nsystem\n.", "has the instruction `INST`"),
        (b"}0.", "has the instruction `POP`"),
        (b"V" + b"9" * 10 + b"\n.", "no dictionary"),
        (b"I" + b"9" * 100_000 + b"\n.", "damaged"),
    ],
)
def test_odd_pickles_are_one_line(data, message):
    with pytest.raises(ScoresError, match=message) as caught:
        read_pickle(data, "x.pkl")
    assert "\n" not in caught.value.message


def test_what_shares_itself_is_never_written_out():
    """Each tuple holds the one before twice: as text, or hashed, the last is 2**60 long."""
    nested = b"N" + b"q\x00h\x00\x86" * 60
    for data in (
        b"cnumpy\ndtype\n" + nested + b"\x85R.",
        b"}" + nested + b"K\x01s.",
        nested + b".",
    ):
        with pytest.raises(ScoresError):
            read_pickle(data, "x.pkl")


def test_large_pickles_are_refused():
    with pytest.raises(ScoresError, match="is a pickle larger than 16 MiB"):
        read_pickle(b"." * (2**24 + 1), "x.pkl")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_bytes_are_a_dictionary_or_one_line(drawn):
    data = bytearray(pickle.dumps(PLAIN | {"f__f": np.float64(2)}, drawn.draw(st.integers(0, 5))))
    for _ in range(drawn.draw(st.integers(1, 4))):
        data[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    read = {}
    with suppress(ScoresError):
        read = read_pickle(bytes(data), "x.pkl")
    assert all(type(k) is str and type(v) is float for k, v in read.items())


def test_pickletools_is_only_a_reader():
    """What the machine relies on: taking a pickle apart runs nothing of it."""
    ran = io.StringIO()
    pickletools.dis(pickle.dumps(Runs(os.mkdir, "/never")), ran)
    assert "mkdir" in ran.getvalue()
    assert not os.path.exists("/never")


def test_keys_of_affinities(tmp_path):
    file = tmp_path / "x.pkl"
    file.write_bytes(
        pickle.dumps(
            {
                "a__impainting_whole": 0.5,
                "segmentsemantic_rb__vanishing_point_well_defined": 0.25,
                "a__b__c": 0.75,
                "alone": 1.0,
            },
            2,
        )
    )
    scores = load_scores(file)
    assert scores.sources == ("a", "segmentsemantic")
    assert scores.targets == ("inpainting_whole", "vanishing_point")
    assert np.nan_to_num(scores.values).tolist() == [[0.5, 0.0], [0.0, 0.25]]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"a__b__c": 1.0}, "has no pairs"),
        ({"a__": 1.0}, "has no name"),
        ({"a__b": float("inf")}, "is infinite"),
        ({"a__segmentsemantic": 1.0, "a__segmentsemantic_rb": 1.0}, "`segmentsemantic` twice"),
    ],
)
def test_affinities_that_make_no_sense(tmp_path, pairs, message):
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(pairs))
    with pytest.raises(ScoresError, match=message):
        load_scores(file)
