"""Files that are no models: other formats, damage, and things of the file system."""

import base64
import gzip
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile
from pathlib import Path

from corpus.base import (
    EXECUTED,
    GRAPH,
    NODE,
    SECRET,
    Case,
    Whole,
    clear,
    data,
    encoder,
    field,
    noise,
    raw,
    save,
    table,
    varint,
)

NO_MODEL = r"not an ONNX model"
DAMAGED = r"truncated|damaged"
#: Of bytes that happen to be well-formed protobuf, some of the fields may be known.
EITHER_WAY = f"{NO_MODEL}|{DAMAGED}"
NO_FILE = r"not a regular file|is not a file"


class _Planted:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def planted_pickle(path: Path) -> bytes:
    return pickle.dumps({"state_dict": _Planted(path.parent / EXECUTED)})


def _zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def _npy(path: Path) -> bytes:
    """An array of objects, for which NumPy would unpickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + planted_pickle(path)


def _tar(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    return buffer.getvalue()


def _poisoned(content) -> Whole:
    """Returns the step that writes bytes that know the path of the file that they try to make."""
    return Whole(lambda path: path.write_bytes(content(path)))


def good() -> bytes:
    return encoder().SerializeToString(deterministic=True)


def tensor() -> bytes:
    return encoder().graph.initializer[0].SerializeToString()


FORMATS = {
    "text": b"This is no model.\n" * 20,
    "html": b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>",
    "json": json.dumps({"class_name": "Functional", "config": {"layers": []}}).encode(),
    "xml": b'<?xml version="1.0"?><net name="m" version="11"><layers/></net>',
    "onnx-text": b'<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) {}',
    "utf-16": "This is no model.".encode("utf-16"),
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xd9",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF",
    "gzip-of-a-model": gzip.compress(good(), mtime=0),
    "base64-of-a-model": base64.encodebytes(good()),
    "hex-of-a-model": good().hex().encode(),
    "zip-of-a-model": _zipped(model=good()),
    "zip-that-climbs": _zipped(**{"..__..__EXECUTED": b"data"}),
    "tar": _tar("../../EXECUTED"),
    "safetensors": struct.pack("<Q", 2) + b"{}",
    "safetensors-vast-header": struct.pack("<Q", 2**63 - 1) + b"{}",
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(88),
    "tflite": b"\x1c\0\0\0TFL3" + bytes(40),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(57),
    "script": b"#!/bin/sh\ntouch EXECUTED\n",
    "python": b"open('EXECUTED', 'w')\n",
    "zeros": bytes(200),
    "ones": b"\xff" * 200,
    "many-zeros": bytes(20_000_000),
    "tensor-of-the-onnx-tests": tensor(),
    "graph-without-model": encoder().graph.SerializeToString(),
    "saved-model": field(1, 1) + field(2, field(1, field(4, b"serve"))),
    "a-byte": b"x",
    "first-byte-only": b"\x08",
    "byte-order-mark": b"\xef\xbb\xbf" + good(),
    "first-byte-lost": good()[1:],
    "line-ends-changed": good().replace(b"\n", b"\r\n"),
    "ir-version-only": field(1, 8),
    "empty-graph": field(1, 8) + field(GRAPH, b""),
}

#: Fractions of a model at which its download may end.
CUTS = (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)

#: Bytes that no exporter ever wrote.
PROTOBUF = {
    "varint-that-never-ends": b"\x08" + b"\xff" * 40,
    "length-of-2-to-the-63": field(1, 8) + b"\x3a" + varint(2**63 - 1) + b"\n",
    "length-of-2-gib": field(1, 8) + b"\x3a" + varint(2**31) + b"\n",
    "length-of-minus-one": field(1, 8) + b"\x3a" + varint(2**64 - 1),
    "field-number-0": field(1, 8) + b"\x00\x01",
    "wire-type-7": field(1, 8) + b"\x0f\x01",
    "group-never-closed": field(1, 8) + b"\x3b\x0b",
    "groups-a-million-deep": field(1, 8) + b"\x3b" * 1_000_000,
    "graph-of-another-type": field(1, 8) + field(7, 12),
}


def _nested(levels: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    inner = b""
    for _ in range(levels):
        node = field(4, b"If") + field(5, field(1, b"then_branch") + field(6, inner) + field(20, 5))
        inner = field(NODE, node) + field(2, b"g")
    return inner


def _sequences(levels: int) -> bytes:
    """A sequence of sequences of …, as the type of an input."""
    kind = field(1, field(1, 1))
    for _ in range(levels):
        kind = field(4, field(1, kind))
    return field(11, field(1, b"more") + field(2, kind))


def _linked(target: str) -> Whole:
    return Whole(lambda path: path.symlink_to(target))


def _socket(path: Path) -> None:
    """Binds in the directory, since the path of a socket may have 107 bytes only."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
        os.rename("s", path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _sparse(size: int, head: bytes = b"") -> Whole:
    def write(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return Whole(write)


def _linked_to_another(path: Path) -> None:
    save(encoder(), path.with_name("real"))
    path.symlink_to("real")


def _linked_to_secret(path: Path) -> None:
    (path.parents[1] / "outside").write_bytes(SECRET * 100)
    path.symlink_to("../outside")


def _unreadable(path: Path) -> None:
    save(encoder(), path).chmod(0)


CASES: list[Case] = [
    *table(
        "not-a-model",
        {
            "empty": (r"is empty", data(b"")),
            "git-lfs-pointer": (
                r"pointer of Git LFS",
                data(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"),
            ),
            "no-graph": (DAMAGED, clear("graph")),
            "pickle": (NO_MODEL, _poisoned(planted_pickle)),
            "torch-checkpoint": (
                NO_MODEL,
                _poisoned(
                    lambda path: _zipped(archive__data=b"", archive__data_pkl=planted_pickle(path))
                ),
            ),
            "npz": (NO_MODEL, _poisoned(lambda path: _zipped(weights_npy=_npy(path)))),
            "npy": (NO_MODEL, _poisoned(_npy)),
            **{name: (EITHER_WAY, data(content)) for name, content in FORMATS.items()},
            **{
                f"noise-{size}": (EITHER_WAY, data(noise(size, size)))
                for size in (2, 64, 4096, 1_000_000)
            },
            "noise-after-a-first-byte": (EITHER_WAY, data(b"\x08\x08" + noise(4096))),
            **{
                f"cut-at-{share}".replace(".", "-"): (
                    DAMAGED,
                    data(good()[: int(len(good()) * share)]),
                )
                for share in CUTS
            },
            "cut-by-a-byte": (DAMAGED, data(good()[:-1])),
            "noise-in-the-middle": (DAMAGED, data(good()[:90] + noise(64) + good()[154:])),
            "noise-behind": (DAMAGED, data(good() + noise(999))),
            "text-behind": (DAMAGED, data(good() + b"</html>")),
            "zeros-behind": (DAMAGED, data(good() + bytes(512))),
            "twice": (r"are called `w0`", data(good() * 2)),
            **{name: (EITHER_WAY, data(content)) for name, content in PROTOBUF.items()},
            **{
                f"graphs-{n}-deep": (DAMAGED, raw(more=lambda n=n: field(GRAPH, _nested(n))))
                for n in (40, 1000)
            },
            "sequences-1000-deep": (DAMAGED, raw(more=lambda: field(GRAPH, _sequences(1000)))),
        },
    ),
    *table(
        "not-a-model",
        {
            "pipe": (NO_FILE, Whole(os.mkfifo)),
            "socket": (NO_FILE, Whole(_socket)),
            "directory": (r"holds no models|regular file", Whole(Path.mkdir)),
            "link-to-zeros": (NO_FILE, _linked("/dev/zero")),
            "link-to-random": (NO_FILE, _linked("/dev/urandom")),
            "link-to-nothing": (NO_FILE, _linked("/dev/null")),
            "link-to-a-terminal": (NO_FILE, _linked("/dev/tty")),
            "link-that-dangles": (r"does not exist", _linked("gone")),
            "link-to-itself": (
                r"cannot be read|symbolic links|does not exist",
                Whole(lambda path: path.symlink_to(path.name)),
            ),
            "link-to-a-secret": (NO_MODEL, Whole(_linked_to_secret)),
            "link-to-the-process": (f"{NO_MODEL}|empty|cannot be read", _linked("/proc/self/mem")),
            "sparse-3-gib": (r"larger than|GiB", _sparse(3 << 30)),
            "sparse-1-gib": (f"{EITHER_WAY}|larger", _sparse(1 << 30, good())),
            "sparse-8-tib": (r"larger than|GiB", _sparse(2**43)),
        },
    ),
    *table(
        "not-a-model",
        {
            # Protobuf keeps what it does not know, so that older readers can read newer files.
            "unknown-field-behind": (None, data(good() + field(9999, b"later"))),
            "link-to-a-model": (None, Whole(_linked_to_another)),
        },
        alike=True,
    ),
]

if os.name == "posix" and os.geteuid() != 0:  # To root, everything is readable.
    CASES += table("not-a-model", {"unreadable": (r"cannot be read: Perm", Whole(_unreadable))})
