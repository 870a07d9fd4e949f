"""Writes an `InputSpec` into a model's metadata: our keys, and those of ONNX that can say it."""

import math

import onnx
from google.protobuf.message import DecodeError, EncodeError

from onnxattr.errors import ModelFileError
from onnxattr.graph.metadata import (
    COLORS,
    DENOTATIONS,
    GAMMA,
    GAMMAS,
    OWN,
    PIXEL_FORMAT,
    PIXEL_RANGE,
    RANGES,
)
from onnxattr.graph.options import DEFAULT_AT
from onnxattr.types import ASSUMED, PARTS, InputSpec


def stamped(data: bytes, spec: InputSpec, at: str, model: str) -> bytes:
    """Returns the bytes of a model file with a spec in its metadata, and all else as it was.

    What is assumed is not written: a guess does not become knowledge by being written down.

    Args:
        data: The model file, which has been checked.
        spec: How it is fed.
        at: What is attributed.
        model: Its name.

    Raises:
        ModelFileError: It would be larger than protobuf can write.
    """
    try:
        proto = onnx.ModelProto.FromString(data)
        _write(proto, spec, at)
        written: bytes = proto.SerializeToString()
    except (DecodeError, EncodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"protobuf cannot write it: {reason}", model=model) from None
    return written


def _write(proto: onnx.ModelProto, spec: InputSpec, at: str) -> None:
    known = {part for part in PARTS if not spec.sources[part].startswith(ASSUMED)}
    own = {k: v for k, v in _own(spec).items() if k in known or k == "input"}
    if at != DEFAULT_AT:
        own["at"] = at
    standard = _standard(spec, known)
    gone = {key.lower() for key in standard}
    kept = [
        (p.key, p.value)
        for p in proto.metadata_props
        if not p.key.startswith(OWN) and p.key.lower() not in gone
    ]
    new = {OWN + key: value for key, value in own.items()}
    new |= {key: value for key, value in standard.items() if value}
    del proto.metadata_props[:]
    for key, value in (*kept, *new.items()):
        proto.metadata_props.add(key=key, value=value)
    if spec.layout.index("H") < spec.layout.index("W"):  # Denotations cannot say the contrary.
        _denote(next(v for v in proto.graph.input if v.name == spec.input), spec.layout)


def _own(spec: InputSpec) -> dict[str, str]:
    values = {
        "input": spec.input,
        "layout": spec.layout,
        "size": f"{spec.height}x{spec.width}",
        "color": spec.color,
        "range": " ".join(map(repr, spec.range)),
        "mean": " ".join(map(repr, spec.mean)),
        "std": " ".join(map(repr, spec.std)),
        "gamma": repr(spec.gamma),
        "resize": spec.resize,
    }
    if spec.channels == 1:
        del values["color"]
    return values


def _standard(spec: InputSpec, known: set[str]) -> dict[str, str]:
    """Returns ONNX's keys that are to be written; '' for one that would contradict."""
    found: dict[str, str] = {}
    if spec.channels == 1 or "color" in known:
        found[PIXEL_FORMAT] = _pixel_format(spec)
    if "gamma" in known:
        found[GAMMA] = next((name for name, gamma in GAMMAS.items() if gamma == spec.gamma), "")
    if {"range", "mean", "std"} <= known:
        found[PIXEL_RANGE] = _pixel_range(spec)
    return found


def _pixel_format(spec: InputSpec) -> str:
    if spec.channels == 1:
        return "Gray8"
    opaque = spec.channels == 3
    return next(n for n, c in COLORS.items() if c == spec.color and opaque == (len(n) == 4))


def _pixel_range(spec: InputSpec) -> str:
    """Returns the name of the range that the input is fed, where all channels have the same."""
    if len(set(spec.mean)) != 1 or len(set(spec.std)) != 1:
        return ""
    fed = [(edge - spec.mean[0]) / spec.std[0] for edge in spec.range]
    for name, edges in RANGES.items():
        if all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(fed, edges, strict=True)):
            return name
    return ""


def _denote(value: onnx.ValueInfoProto, layout: str) -> None:
    words = {letter: word for word, letter in DENOTATIONS.items()} | {"W": "DATA_FEATURE"}
    value.type.denotation = "IMAGE"
    for letter, dim in zip(layout, value.type.tensor_type.shape.dim, strict=True):
        dim.denotation = words[letter]
