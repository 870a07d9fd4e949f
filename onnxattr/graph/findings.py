"""What a model file holds that its reader should know, beyond what is refused."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

import onnx

from onnxattr.graph.walk import STANDARD, messages, names, nodes, short
from onnxattr.types import Finding, Model

#: Names of one kind that are listed.
_LISTED = 3

#: What no exporter writes into a name, and those do who hope that it is run, opened or shown.
_SUSPICIOUS = {
    "looks like code": re.compile(
        r"__\w+__|\b(?:import|exec|eval|lambda|system|subprocess|popen)\b\s*[\s(]|[;`]|\$\(|<\s*script",
        re.IGNORECASE,
    ),
    "is a path to elsewhere": re.compile(
        r"(?:^|[/\\])\.\.(?:[/\\]|$)|^(?:[A-Za-z]:)?[/\\]{2}|^~[/\\]"
    ),
    "is an address": re.compile(r"\b(?:https?|ftp|file|data|javascript):", re.IGNORECASE),
}

#: Characters of a name from which on it is told of.
_LONG = 500

#: Operators that draw random numbers.
_RANDOM = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
}  # fmt: skip

#: Operators that decide what is run.
_CONTROL = {"If", "Loop", "Scan"}


def findings(model: Model) -> tuple[Finding, ...]:
    """Returns what is to be said of a model's file; its strings are as the file has them.

    Args:
        model: From `graph.load.load`, which has refused what must not be read at all.
    """
    proto = model.proto
    return (
        *_external(model),
        *_domains(proto),
        *_operators(proto),
        *_names(proto),
    )


def _external(model: Model) -> Iterator[Finding]:
    if model.external:
        yield Finding("external data", "weights are in a second file beside it")
    if model.sidecar is not None:
        yield Finding("sidecar", f"`{short(model.sidecar.name)}` beside it says how it is fed")


def _domains(proto: onnx.ModelProto) -> Iterator[Finding]:
    used = Counter(n.domain for body in (proto.graph, *proto.functions) for n in nodes(body))
    own = {function.domain for function in proto.functions}
    for domain, count in sorted(used.items()):
        if domain in STANDARD:
            continue
        whose = "defined in the file" if domain in own else "outside of the standard"
        noun = "1 node" if count == 1 else f"{count} nodes"
        yield Finding("operator domain", f"`{short(domain)}`, {whose}: {noun}")
    if proto.functions:
        noun = "1 function" if len(proto.functions) == 1 else f"{len(proto.functions)} functions"
        yield Finding("functions", f"{noun}: operators that the file defines itself")


def _operators(proto: onnx.ModelProto) -> Iterator[Finding]:
    used = Counter(n.op_type for body in (proto.graph, *proto.functions) for n in nodes(body))
    for kind, group in (("control flow", _CONTROL), ("random numbers", _RANDOM)):
        if found := sorted(group & used.keys()):
            yield Finding(kind, ", ".join(f"{name} ({used[name]})" for name in found))
    floats = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    types = {tensor.data_type for tensor in proto.graph.initializer}
    if types & floats:
        yield Finding("half precision", "weights of 16 bits")
    if any(name.startswith(("Quantize", "Dequantize", "QLinear", "DynamicQuant")) for name in used):
        yield Finding("quantisation", "numbers of few bits: weights are rounded")


def _names(proto: onnx.ModelProto) -> Iterator[Finding]:
    """Yields names that look as if somebody meant them to be more than names, a line a kind."""
    found: dict[str, dict[str, None]] = {}
    for message in messages(proto):
        for _, name in names(message):
            for why in _why(name):
                found.setdefault(why, {})[name] = None
    for why, all_of in found.items():
        some = ", ".join(f"`{short(name)}`" for name in list(all_of)[:_LISTED])
        more = len(all_of) - _LISTED
        yield Finding("suspicious name", f"{some}{f' and {more} more' if more > 0 else ''}: {why}")


def _why(name: str) -> Iterator[str]:
    if len(name) > _LONG:
        yield f"longer than {_LONG} characters"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in name):
        yield "holds characters that cannot be seen"
    for why, pattern in _SUSPICIOUS.items():
        if pattern.search(name[:_LONG]):
            yield why
