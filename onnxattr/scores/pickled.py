"""Reads the data in a pickle without unpickling it: a pickle is a program, and none is run here.

A pickle is taken apart by `pickletools`, which executes nothing, and a small machine of ours
follows the few instructions that dictionaries, texts and numbers are made of. What a pickle calls
by name is compared with a short list, and played by functions of this module; no name is ever
looked up or imported. Imports `errors` only.
"""

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxattr.errors import ScoresError

#: Bytes of a pickle: taking it apart takes a second for every million.
MAX_BYTES = 2**24

#: NumPy's types of numbers, as the standard library unpacks them.
_NUMBERS = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b",
    "u8": "Q", "u4": "I", "u2": "H", "u1": "B",
}  # fmt: skip

#: Instructions that put the value on the stack that they bring with them.
_VALUES = {
    "BINFLOAT", "FLOAT", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


@dataclass
class _Dtype:
    """What is known of a type of numbers: its code, and its byte order once it is set."""

    code: str
    order: str = "="


class _RefusedError(Exception):
    """Something that is no plain data."""


def read_pickle(data: bytes, file: str) -> dict[str, float]:
    """Returns the dictionary of texts and numbers that a pickle makes, of any protocol.

    Texts and bytes that Python 2 wrote are read as Latin-1. Numbers are those of Python or scalars
    of NumPy.

    Args:
        data: The pickle.
        file: For messages.

    Raises:
        ScoresError: It is damaged, makes something else, is larger than 16 MiB, or names anything
            that could run code.
    """
    if len(data) > MAX_BYTES:
        raise ScoresError(f"`{file}` is a pickle larger than {MAX_BYTES // 2**20} MiB")
    try:
        made = _follow(data)
    except _RefusedError as refused:
        raise ScoresError(
            f"`{file}` is refused: it {refused}",
            hint="a pickle can run code, so only dictionaries of names and numbers are read",
        ) from None
    except Exception as error:
        # Damaged bytes make pickletools raise whatever their decoders do.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ScoresError(f"`{file}` is a damaged pickle: {reason}") from None
    if not isinstance(made, dict):
        raise ScoresError(f"`{file}` is no dictionary of names and numbers")
    result: dict[str, float] = {}
    for key, value in made.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ScoresError(f"`{file}` has no number for `{key[:80]}`")
        try:
            result[key] = float(value)
        except OverflowError:
            raise ScoresError(f"`{file}` has a number over all bounds for `{key[:80]}`") from None
    return result


def _follow(data: bytes) -> Any:
    """Returns what a pickle leaves on the stack."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            parts = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(parts)))
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _step(name, argument, stack)
    raise ValueError("it has no end")


def _step(name: str, argument: Any, stack: list[Any]) -> None:
    """Follows one of the instructions that make something of what is on the stack."""
    if name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name == "DICT":
        items = _from_mark(stack)
        stack.append({})
        _set(stack[-1], items)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _set(stack[-1], [key, value])
    elif name == "SETITEMS":
        items = _from_mark(stack)
        _set(stack[-1], items)
    elif name == "TUPLE":
        stack.append(tuple(_from_mark(stack)))
    elif name == "GLOBAL":
        stack.append(_called(str(argument).replace(" ", ".", 1)))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_called(f"{module}.{attribute}" if _texts(module, attribute) else "nothing"))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        if not callable(function) or not isinstance(arguments, tuple):
            raise _RefusedError("calls what is no function")
        stack.append(function(*arguments))
    elif name == "BUILD":
        state, dtype = stack.pop(), stack[-1]
        if not isinstance(dtype, _Dtype) or not isinstance(state, tuple) or len(state) < 2:
            raise _RefusedError("sets the state of an object")
        if state[1] not in ("<", ">", "|", "="):
            raise _RefusedError("has numbers of an unknown byte order")
        dtype.order = "=" if state[1] == "|" else state[1]
    else:
        raise _RefusedError(f"has the instruction `{name}`, which plain data does not need")


def _from_mark(stack: list[Any]) -> list[Any]:
    """Takes what lies above the last mark, and the mark, from the stack."""
    position = len(stack) - 1
    while stack[position] is not _MARK:
        position -= 1
        if position < 0:
            raise ValueError("a mark is missing")
    items = stack[position + 1 :]
    del stack[position:]
    return items


def _set(made: Any, items: list[Any]) -> None:
    """Puts keys and values that follow each other into a dictionary."""
    if not isinstance(made, dict) or len(items) % 2:
        raise _RefusedError("fills what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise _RefusedError("has keys that are no texts")
        if key in made:
            raise _RefusedError(f"has the key `{key[:80]}` twice")
        made[key] = value


def _called(name: str) -> Callable[..., Any]:
    """Returns what plays the part of something that a pickle calls by name."""
    if name in _PLAYED:
        return _PLAYED[name]
    raise _RefusedError(f"names `{name[:200]}`, which could run code")


def _dtype(code: Any, *_: Any) -> _Dtype:
    # Nothing but a text is ever written out: what a pickle shares, its text form repeats.
    if not isinstance(code, str):
        raise _RefusedError("has numbers of no known type")
    if code.lstrip("<>=|") not in _NUMBERS:
        raise _RefusedError(f"has numbers of the type `{code[:80]}`")
    return _Dtype(code.lstrip("<>=|"), code[0] if code[0] in "<>" else "=")


def _scalar(dtype: Any, content: Any = b"") -> float:
    if isinstance(content, str):  # Python 2 wrote bytes as text.
        content = content.encode("latin-1")
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
        raise _RefusedError("has a number that is none")
    # Without an order of its own a number is that of the machine, which is little-endian wherever
    # such files are written.
    order = ">" if dtype.order == ">" else "<"
    (value,) = struct.unpack(order + _NUMBERS[dtype.code], content)
    return float(value)


def _encode(text: Any, encoding: Any) -> bytes:
    # Bytes, as Python 3 writes them for Python 2.
    if not _texts(text, encoding) or encoding != "latin1":
        raise _RefusedError("encodes a text")
    encoded: bytes = text.encode("latin-1")
    return encoded


def _texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


_PLAYED: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}
