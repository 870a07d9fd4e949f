"""Probes that are arrays: what files hold, and everything that they had better not hold."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from onnxattr import probe_arrays
from onnxattr.errors import ProbeError, UsageError
from onnxattr.probe_arrays import read_array
from onnxattr.probes import hash_values, load_probes
from onnxattr.types import ARRAY, TOKENS

NUMBERS = np.random.default_rng(0).normal(size=(5, 3, 4))
IDS = np.arange(12).reshape(3, 4)


def npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def headed(text, data=b"", version=1):
    """A file whose header is `text`, of any length."""
    text = text.encode() + b"\n"
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def described(shape, dtype="<f4"):
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"


def refused(path, data, name=None):
    path.write_bytes(data)
    with pytest.raises(ProbeError) as caught:
        read_array(path, name)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers(tmp_path, dtype, order):
    given = np.asarray(NUMBERS, dtype, order=order)
    np.save(tmp_path / "x.npy", given)

    kind, values = read_array(tmp_path / "x.npy")

    assert (kind, values.dtype) == (ARRAY, np.float32)
    assert np.array_equal(values, given.astype(np.float32))
    assert values.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<i8", "<u8"])
def test_token_ids(tmp_path, dtype):
    np.save(tmp_path / "x.npy", IDS.astype(dtype))
    kind, values = read_array(tmp_path / "x.npy")
    assert (kind, values.dtype) == (TOKENS, np.int64)
    assert np.array_equal(values, IDS)


def test_an_archive_of_one_array(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", anything=NUMBERS)
    assert np.array_equal(read_array(tmp_path / "x.npz")[1], NUMBERS.astype(np.float32))


def test_an_archive_of_several_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", ids=IDS, mask=np.ones((3, 4)))
    assert read_array(tmp_path / "x.npz", "ids")[0] == TOKENS
    assert read_array(tmp_path / "x.npz", "mask")[0] == ARRAY
    for name in (None, "x"):
        with pytest.raises(ProbeError, match=r"are 2 arrays: `ids`, `mask`") as caught:
            read_array(tmp_path / "x.npz", name)
        assert "--input-name" in caught.value.hint


def test_probes_of_a_file(tmp_path):
    np.save(tmp_path / "waves.npy", NUMBERS)
    probes = load_probes(tmp_path / "waves.npy", limit=2)
    assert (probes.kind, probes.values.shape) == (ARRAY, (2, 3, 4))
    assert probes.names == ("waves[0]", "waves[1]")
    assert probes.sha256 == hash_values(NUMBERS[:2].astype(np.float32))
    assert probes.source == str(tmp_path / "waves.npy")


def test_arrays_and_something_else(tmp_path):
    np.save(tmp_path / "x.npy", NUMBERS)
    for other in (tmp_path / "x.npy", tmp_path / "image.png"):
        with pytest.raises(UsageError, match="others are given as well"):
            load_probes([tmp_path / "x.npy", other])


def test_the_hash_tells_types_apart():
    values = np.zeros((2, 4), np.float32)
    hashes = {hash_values(v) for v in (values, values.reshape(4, 2), values.view(np.int32))}
    assert len(hashes) == 3


class Fuse:
    def __reduce__(self):
        return os.system, ("touch burnt",)


@pytest.mark.parametrize("wrap", [npy, None], ids=["npy", "npz"])
def test_no_pickle_is_read(tmp_path, monkeypatch, wrap):
    monkeypatch.chdir(tmp_path)
    objects = np.array([[Fuse()]], object)
    if wrap:
        data = wrap(objects)
    else:
        np.savez("made.npz", x=objects)
        data = (tmp_path / "made.npz").read_bytes()
    assert "Python objects" in refused(tmp_path / "x.npy", data).message
    refused(tmp_path / "y.npy", pickle.dumps(Fuse()))
    assert not (tmp_path / "burnt").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan], [0, 0]]), "not finite in float32: probe 0"),
        (np.array([[1.0, 0], [0, -np.inf]]), "not finite in float32: probe 1"),
        (np.array([[1.0], [1e39]]), "not finite in float32: probe 1"),
        (np.zeros(5), r"have the shape [5]"),
        (np.array(5.0), "have the shape []"),
        (np.zeros((0, 5)), "have the shape [0, 5]"),
        (np.zeros((5, 0)), "have the shape [5, 0]"),
        (np.zeros((2, 3, 4), int), "token ids are [probe, length]"),
        (np.array([[0, -1]]), "token ids below 0"),
        (np.array([[0, 2**31]]), "token ids below 0 or over 2147483647"),
        (np.array([[0, 2**64 - 1]], np.uint64), "token ids below 0 or over 2147483647"),
        (np.zeros((2, 3), bool), "type bool"),
        (np.zeros((2, 3), complex), "type complex128"),
        (np.array([["a", "b"]]), "type str"),
        (np.zeros((2, 3), "datetime64[s]"), "type datetime64"),
        (np.zeros((2, 3), [("a", "f4")]), "type void"),
        (np.zeros((1,) * 9), "it has the shape"),
    ],
)
def test_numbers_that_make_no_sense(tmp_path, array, message):
    assert message in refused(tmp_path / "x.npy", npy(array)).message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "magic"),
        (b"no array", "magic"),
        (npy(NUMBERS)[:100], "header is damaged"),
        (npy(NUMBERS)[:-1], "it ends after 479 of 480 bytes"),
        (npy(NUMBERS, version=(3, 0)), "version 3.0"),
        (headed(described((2**40, 2**40))), "over the limit of 1 GiB"),
        (headed(described((10**4000, 2))), "over a million GiB, over the limit"),
        (headed(described((2**14, 2**13))), "it ends after 0 of 536870912 bytes"),
        (headed(described((-1, 4))), ""),
        (headed(described((2, 2), "<f4") + " " * 60_000), "header is damaged"),
        (headed("(" * 5000), "header is damaged"),
        (headed("[" * 60_000 + "]", version=2), "header is damaged"),
        (headed("__import__('os').system('touch burnt')"), "header is damaged"),
        (headed(described((2, 2), "|O")), "Python objects"),
        (b"PK\x03\x04 no archive", "zip"),
    ],
)
def test_damaged_files(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(tmp_path / "x.npy", data).message
    assert not (tmp_path / "burnt").exists()


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path.read_bytes()


def test_damaged_archives(tmp_path):
    whole = archive(tmp_path / "a.npz", {"x.npy": npy(NUMBERS)})
    broken = bytearray(whole)
    broken[60] ^= 0xFF
    for data in (whole[:-30], bytes(broken)):
        refused(tmp_path / "x.npz", data)
    refused(tmp_path / "x.npz", archive(tmp_path / "b.npz", {}))
    refused(tmp_path / "x.npz", archive(tmp_path / "b.npz", {"x.txt": b"no array"}))
    many = {f"{i}{'x' * 200}.npy": b"" for i in range(100)}
    message = refused(tmp_path / "x.npz", archive(tmp_path / "b.npz", many)).message
    assert "and 92 more" in message
    assert len(message) < 1500


def test_an_archive_that_unpacks_to_more_than_it_promises(tmp_path):
    """What is behind the array is never unpacked."""
    data = headed(described((2, 2)), np.ones((2, 2), np.float32).tobytes() + b"\0" * 2**28)
    (tmp_path / "x.npz").write_bytes(archive(tmp_path / "a.npz", {"x.npy": data}))
    assert read_array(tmp_path / "x.npz")[1].tolist() == [[1, 1], [1, 1]]


def test_the_limit_holds_for_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_arrays, "MAX_BYTES", 100)
    assert "over the limit" in refused(tmp_path / "x.npy", npy(NUMBERS)).message
    assert (
        "over the limit"
        in refused(tmp_path / "x.npz", archive(tmp_path / "a.npz", {"x.npy": npy(NUMBERS)})).message
    )


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    for name, message in (("gone.npy", "do not exist"), ("pipe.npy", "no regular file")):
        with pytest.raises(ProbeError, match=message):
            read_array(tmp_path / name)
