"""Attribution methods by name and options; their table is in `entries`, functions in families.

T is a number a probe, made of the units of the representation by a reduction, as a rule their sum.
There are three kinds of methods:

- by gradient, and by relevance: `method(setting, **options)` returns a function from canonical
  probes, float32 [probe, 3, y, x] in [0, 1] on the network's device, to maps, float32
  [probe, y, x]. One backward pass serves a batch. Relevance is a gradient whose rules go by the
  operator, and is refused where an operator has none.
- black-box: `method(canvas, **options)` returns a `Scheme`, the variants of a probe on which T is
  wanted, and what becomes of their values. ONNX Runtime computes them; there is no network.

Importing this loads no torch, so that a wrong name can be refused before anything is started.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxattr.attribution.entries import ENTRIES, OUTPUTS, Entry, Option, Value
from onnxattr.errors import UsageError
from onnxattr.registry import Registry, closest

if TYPE_CHECKING:
    import torch

    from onnxattr.attribution.hiding import Scheme

    #: From canonical probes to maps.
    Explain = Callable[[torch.Tensor], torch.Tensor]
    #: Of a `Setting` and the method's options, by name.
    Prepare = Callable[..., Explain]
    BlackBoxMethod = Callable[..., Scheme]

#: A value that stands in a method's name as it is; neither commas nor colons are in it.
_SHORT = re.compile(r"[\w.+-]{1,40}")


@dataclass(frozen=True)
class Method:
    """A method with everything that decides its maps.

    Attributes:
        name: Of the table.
        options: All of its options, in the order of the table.
    """

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def entry(self) -> Entry:
        """What the table says of it."""
        return METHODS[self.name]

    def __str__(self) -> str:
        """Returns a short text that tells it from others; what a file held is told by a hash."""
        table = self.entry.options
        said = [f"{k}={_text(v)}" for k, v in self.options.items() if v != table[k].default]
        return ":".join([self.name, *said])


#: All of them, by name.
METHODS: Registry[Entry] = Registry("method", ENTRIES)

#: The names of those that ask ONNX Runtime alone, and of those that want a network.
BLACK_BOX = tuple(name for name, entry in METHODS.items() if entry.kind == OUTPUTS)
BY_GRADIENT = tuple(name for name, entry in METHODS.items() if entry.kind != OUTPUTS)


def parse(text: str) -> Method:
    """Returns the method that a text means: `NAME` or `NAME:OPTION=VALUE:…`.

    Raises:
        UsageError: There is no such method or option, or the value is not one of it.

    Example:
        >>> str(parse("occlusion:grid=8:span=2"))
        'occlusion:span=2'
    """
    name, *parts = text.strip().split(":")
    entry = METHODS[name]
    options = {key: option.default for key, option in entry.options.items()}
    for part in parts:
        key, equals, value = part.partition("=")
        if key not in entry.options:
            if not entry.options:
                raise UsageError(f"`{name}` has no options, and `{part}` is given one")
            raise UsageError(f"`{name}` has no option `{key}`", hint=closest(key, entry.options))
        if not equals:
            raise UsageError(f"`{part}` gives `{key}` no value", hint=f"as in `{name}:{key}=…`")
        options[key] = _value(name, key, entry.options[key], value)
    return Method(name, options)


def parse_all(text: str) -> tuple[Method, ...]:
    """Returns the methods that a text means, which are separated by commas; each once.

    Raises:
        UsageError: As `parse`; or black-box methods are among others.
    """
    found: list[Method] = []
    for part in text.split(","):
        if (method := parse(part)) not in found:
            found.append(method)
    kinds = {method.entry.kind == OUTPUTS for method in found}
    if len(kinds) > 1:
        raise UsageError(
            f"`{text}` mixes black-box methods with others", hint="they take a run of their own"
        )
    return tuple(found)


def find(name: str) -> Prepare:
    """Returns the function that prepares a method by gradient or by relevance.

    Raises:
        UsageError: There is no such method, or it is a black-box one.
    """
    prepare: Prepare = _function(name, "method by gradient", BY_GRADIENT)
    return prepare


def find_black_box(name: str) -> BlackBoxMethod:
    """Returns the function that prepares a black-box method.

    Raises:
        UsageError: There is no such method, or it is none.
    """
    method: BlackBoxMethod = _function(name, "black-box method", BLACK_BOX)
    return method


def _function(name: str, kind: str, names: Collection[str]) -> Any:
    if name not in names:
        raise UsageError(f"there is no {kind} `{name}`", hint=closest(name, names))
    module = import_module(f"onnxattr.attribution.{METHODS[name].module}")
    return getattr(module, name.replace("-", "_"))


def _value(name: str, key: str, option: Option, text: str) -> Value:
    """Returns what a text means as the value of an option."""
    if isinstance(option.default, bool):
        if text.lower() not in ("true", "false"):
            raise UsageError(f"`{key}` of `{name}` is `true` or `false`, not `{text}`")
        return text.lower() == "true"
    if isinstance(option.default, str):
        if option.choices and text not in option.choices:
            raise UsageError(
                f"`{key}` of `{name}` is no `{text}`", hint=closest(text, option.choices)
            )
        if not option.resolve:
            return text
        module, _, function = option.resolve.partition(":")
        resolved: str = getattr(import_module(f"onnxattr.attribution.{module}"), function)(text)
        return resolved
    kind = type(option.default)
    try:
        number = kind(text)
    except ValueError:
        number = None
    bounds = (option.least, option.most)
    if number is None or not _within(number, *bounds):
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"`{key}` of `{name}` is {what}{_bounds(*bounds)}, not `{text}`")
    return number


def _within(number: float, least: float | None, most: float | None) -> bool:
    # Written so that NaN is outside.
    return (
        (least is None or number >= least)
        and (most is None or number <= most)
        and (abs(number) != float("inf"))
    )


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}"
    return (
        f" from {least:g}" if least is not None else f" up to {most:g}" if most is not None else ""
    )


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if _SHORT.fullmatch(text := str(value)):
        return text
    # What a file held: two files are told apart, wherever they are.
    return f"file-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
