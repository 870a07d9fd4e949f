"""Weights that are said to be in another file: what must not be read, and what may be."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from onnx import StringStringEntryProto, TensorProto, numpy_helper

from corpus.base import (
    EITHER,
    SECRET,
    Case,
    Change,
    Whole,
    changed,
    encoder,
    save,
    table,
    tail,
)

#: The bytes of the first weight, which the file beside the model holds.
WEIGHTS = encoder().graph.initializer[0].raw_data
SIZE = len(WEIGHTS)

TOLD = r"its external data file"
MISSING = r"its external data file `.*` (is missing|cannot be used)"

Lay = Callable[[Path], object]


def nothing(folder: Path) -> None:
    """Lays nothing beside the model."""


def file(name: str, content: bytes = WEIGHTS) -> Lay:
    """Returns what lays a file beside the model, in a directory of its own if it says so."""

    def lay(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return lay


def outside(lay: Callable[[Path, Path], object] = lambda folder, secret: None) -> Lay:
    """Returns what lays a secret outside of the vendor's directory, and what leads to it."""

    def both(folder: Path) -> None:
        secret = folder.parent / "outside.bin"
        secret.write_bytes(SECRET * 100)
        lay(folder, secret)

    return both


def stored(lay: Lay, *entries: tuple[str, str], keep: bool = False, change: Change | None = None):
    """Returns the step that writes a model whose first weight is elsewhere.

    Args:
        lay: What is beside the model.
        entries: What the model says of the place; `{folder}` stands for its directory.
        keep: Whether the weight's bytes are in the model as well.
        change: A change of the model beforehand.
    """

    def write(path: Path) -> None:
        proto = changed(*[change] if change else [])
        tensor = proto.graph.initializer[0]
        send_away(tensor, [(k, v.replace("{folder}", str(path.parent))) for k, v in entries], keep)
        lay(path.parent)
        save(proto, path)

    return Whole(write)


def send_away(tensor: TensorProto, entries: list[tuple[str, str]], keep: bool = False) -> None:
    if not keep:
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.extend(StringStringEntryProto(key=k, value=v) for k, v in entries)


def at(location: str, **more: object) -> list[tuple[str, str]]:
    return [("location", location), *((key, str(value)) for key, value in more.items())]


#: Ways out of the vendor's directory, all to a file that is there.
ESCAPES = {
    "up": "../outside.bin",
    "up-and-down": "sub/../../outside.bin",
    "up-twice": "../../external-up-twice/outside.bin",
    "absolute": "{folder}/../outside.bin",
    "absolute-inside": "{folder}/w.bin",
    "passwords": "/etc/passwd",
    "up-to-the-passwords": "../" * 30 + "etc/passwd",
    "environment": "/proc/self/environ",
    "standard-input": "/dev/stdin",
    "descriptor": "/dev/fd/0",
    "address": "file:///etc/passwd",
    "network": "http://127.0.0.1:9/w.bin",
    "share": "\\\\127.0.0.1\\share\\w.bin",
    "backslashes": "..\\outside.bin",
    "home": "~/outside.bin",
    "variable": "$HOME/outside.bin",
    "command": "|cat ../outside.bin",
}

#: Links and other things inside of it.
THINGS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda folder, secret: (folder / "w.bin").symlink_to(secret),
    "link-of-a-directory": lambda folder, secret: (folder / "w.bin").symlink_to(secret.parent),
    "link-to-a-link": lambda folder, secret: (
        (folder / "between").symlink_to(secret),
        (folder / "w.bin").symlink_to("between"),
    ),
    "hard-link": lambda folder, secret: os.link(secret, folder / "w.bin"),
    "link-to-zeros": lambda folder, secret: (folder / "w.bin").symlink_to("/dev/zero"),
    "link-that-dangles": lambda folder, secret: (folder / "w.bin").symlink_to("gone"),
    "link-inside": lambda folder, secret: (
        (folder / "real.bin").write_bytes(WEIGHTS),
        (folder / "w.bin").symlink_to("real.bin"),
    ),
    "pipe": lambda folder, secret: os.mkfifo(folder / "w.bin"),
    "directory": lambda folder, secret: (folder / "w.bin").mkdir(),
}

NUMBERS = {
    "offset-beyond": {"offset": 10**9},
    "offset-at-the-end": {"offset": SIZE},
    "offset-of-2-to-the-64": {"offset": 2**64},
    "offset-negative": {"offset": -8},
    "offset-no-number": {"offset": "many"},
    "offset-a-fraction": {"offset": "1e1"},
    "offset-empty": {"offset": ""},
    "length-negative": {"length": -1},
    "length-no-number": {"length": "all"},
    "length-too-short": {"length": SIZE - 4},
    "length-too-long": {"length": SIZE + 4},
    "length-of-2-to-the-63": {"length": 2**63},
    "length-0": {"length": 0},
    "offset-that-cuts-off": {"offset": 4},
}

STRINGS = {
    "blank": "",
    "dot": ".",
    "space": " ",
    "nul": "w.bin\0.txt",
    "escape": "\x1b[31mw.bin\x1b[0m\x1b]0;title\x07",
    "newline": "w\n.bin\r",
    "bidi": "w\u202enib.\u200b",
    "markup": "[bold]w[/x]",
    "of-5000-characters": "w" * 5000,
    "of-1000-directories": "w/" * 1000 + "w.bin",
}


def _sparse(name: str, size: int) -> Lay:
    def lay(folder: Path) -> None:
        file(name)(folder)
        os.truncate(folder / name, size)

    return lay


def _itself(path: Path) -> None:
    proto = encoder()
    send_away(proto.graph.initializer[0], at(path.name, offset=0, length=SIZE))
    save(proto, path)


def _within(place: str, text: str, functions: str = "") -> Whole:
    """Returns the step that sends away a tensor which is no initializer of the graph."""

    def write(path: Path) -> None:
        proto = changed(tail(text, functions=functions))
        *way, last = place.split(".")
        tensor = proto
        for part in (*way, last):
            tensor = tensor[int(part)] if part.isdigit() else getattr(tensor, part)
        send_away(tensor, at("../outside.bin", length=4))
        outside()(path.parent)
        save(proto, path)

    return Whole(write)


def _overlapping(path: Path) -> None:
    """Two tensors of one region; ONNX does not ask that regions be apart."""
    proto = encoder()
    both = [t.raw_data for t in proto.graph.initializer]
    content = both[0] + both[1]
    send_away(proto.graph.initializer[0], at("w.bin", offset=0, length=len(both[0])))
    send_away(proto.graph.initializer[1], at("w.bin", offset=len(both[0])))
    spare = numpy_helper.from_array(numpy_helper.to_array(encoder().graph.initializer[0]), "spare")
    send_away(spare, at("w.bin", offset=8, length=len(both[0])))
    proto.graph.initializer.append(spare)
    file("w.bin", content)(path.parent)
    save(proto, path)


K = "k = Constant<value = float[1] {0}>()"
TWICE = [("location", "w.bin"), ("location", "../outside.bin")]

CASES: list[Case] = [
    *table(
        "external-data",
        {
            **{
                f"external-{name}": (TOLD, stored(outside(), *at(location)))
                for name, location in ESCAPES.items()
            },
            **{
                f"external-{name}": (TOLD, stored(outside(lay), *at("w.bin")))
                for name, lay in THINGS.items()
            },
            **{
                f"external-{name}": (
                    rf"{TOLD}|does not fit its shape|GiB are allowed",
                    stored(file("w.bin"), *at("w.bin", **numbers)),
                )
                for name, numbers in NUMBERS.items()
            },
            **{
                f"external-location-{name}": (
                    rf"{TOLD}|characters",
                    stored(file("w.bin"), *at(location)),
                )
                for name, location in STRINGS.items()
            },
            "external-through-a-linked-directory": (
                TOLD,
                stored(
                    outside(lambda folder, secret: (folder / "sub").symlink_to(secret.parent)),
                    *at("sub/outside.bin", length=SIZE),
                ),
            ),
            "external-missing": (r"`gone.bin` is missing", stored(nothing, *at("gone.bin"))),
            "external-empty": (
                rf"{TOLD}|does not fit its shape",
                stored(file("w.bin", b""), *at("w.bin")),
            ),
            "external-without-entries": (TOLD, stored(file("w.bin"))),
            "external-without-a-location": (TOLD, stored(file("w.bin"), ("offset", "0"))),
            "external-location-twice": (
                rf"{TOLD}|twice|more than once",
                stored(outside(lambda f, _: file("w.bin")(f)), *TWICE),
            ),
            "external-location-twice-turned": (
                rf"{TOLD}|twice|more than once",
                stored(outside(lambda f, _: file("w.bin")(f)), *TWICE[::-1]),
            ),
            "external-offset-twice": (
                r"twice|more than once",
                stored(
                    file("w.bin", bytes(8) + WEIGHTS),
                    *at("w.bin", offset=8, length=SIZE),
                    ("offset", "0"),
                ),
            ),
            "external-and-raw": (
                rf"{TOLD}|does not fit its shape|raw",
                stored(outside(), *at("../outside.bin"), keep=True),
            ),
            "external-sparse-3-gib": (
                r"GiB are allowed|larger",
                stored(_sparse("w.bin", 3 << 30), *at("w.bin")),
            ),
            "external-sparse-3-gib-and-nul": (
                rf"{TOLD}|GiB are allowed|larger",
                stored(_sparse("w.bin", 3 << 30), *at("w.bin\0")),
            ),
            "external-sparse-tensor-of-3-gib": (
                r"GiB are allowed|larger",
                stored(_sparse("w.bin", 3 << 30), *at("w.bin", length=3 << 30)),
            ),
            "external-in-a-constant": (
                TOLD,
                _within("graph.node.5.attribute.0.t", f"{K} features = Add(encoded, k)"),
            ),
            "external-in-a-branch": (
                TOLD,
                _within(
                    "graph.node.6.attribute.0.g.node.0.attribute.0.t",
                    "c = Constant<value = bool[1] {1}>() features = If(c)<then_branch = t () =>"
                    f"(float y) {{ {K} y = Add(encoded, k) }},"
                    "else_branch = e () => (float z) { z = Relu(encoded) }>",
                ),
            ),
            "external-in-a-function": (
                TOLD,
                _within(
                    "functions.0.node.0.attribute.0.t",
                    "features = f.g(encoded)",
                    f'<domain: "f", opset_import: ["" : 17]> g (x) => (y) {{ {K} y = Add(x, k) }}',
                ),
            ),
        },
    ),
    *table(
        "external-data",
        {
            "external-beside": (None, stored(file("w.bin"), *at("w.bin"))),
            "external-in-a-directory": (None, stored(file("sub/w.bin"), *at("sub/w.bin"))),
            "external-with-a-dot": (None, stored(file("w.bin"), *at("./w.bin"))),
            "external-with-a-checksum": (
                None,
                stored(file("w.bin"), *at("w.bin", checksum=hashlib.sha1(WEIGHTS).hexdigest())),
            ),
            # ONNX leaves it open whether there is a checksum, and no engine reads it. The bytes
            # that were read are those that all of them get, and that are hashed.
            "external-checksum-wrong": (
                None,
                stored(file("w.bin"), *at("w.bin", checksum="0" * 40)),
            ),
            "external-with-an-unknown-key": (None, stored(file("w.bin"), *at("w.bin", colour=7))),
            "external-in-the-middle": (
                None,
                stored(
                    file("w.bin", b"x" * 3 + WEIGHTS + b"yy"), *at("w.bin", offset=3, length=SIZE)
                ),
            ),
            "external-in-a-sparse-file": (
                None,
                stored(_sparse("w.bin", 3 << 30), *at("w.bin", length=SIZE)),
            ),
            "external-overlapping": (None, Whole(_overlapping)),
        },
        alike=True,
    ),
    # ONNX does not say that the second file must not be the first.
    *table("external-data", {"external-the-model-itself": (TOLD, Whole(_itself))}, expected=EITHER),
]
