"""Which adapter exports a source. Adapters are entry points; all of them are equal."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from onnxattr.errors import ExportError, UsageError
from onnxattr.registry import closest

GROUP = "onnxattr.adapters"


@dataclass(frozen=True)
class ExportOptions:
    """How sources that are no ONNX files are exported; what an adapter does not take is refused.

    Attributes:
        adapter: Name of the adapter; None for the one that recognises the source.
        trust_source: Whether code in the source may run, with the user's rights.
        example: The inputs, one text each: a shape such as `2x3x224x224`, with a type behind it if
            it is not float32 (`2x7:int64`), or the name of a `.npy` file. Axis 0 is the batch.
        state_dict: File with the weights of what `module:callable` makes.
        python: The Python of another environment that the framework is in.
    """

    adapter: str | None = None
    trust_source: bool = False
    example: Sequence[str] = ()
    state_dict: str | Path | None = None
    python: str | Path | None = None

    def given(self) -> dict[str, Any]:
        """Returns what is said for adapters, by the name under which they take it."""
        example = [os.path.abspath(e) if e.endswith(".npy") else e for e in self.example]
        state = None if self.state_dict is None else os.path.abspath(self.state_dict)
        return {key: v for key, v in (("example", example), ("state_dict", state)) if v}


@dataclass(frozen=True)
class Chosen:
    """An adapter: its name, where it is imported from (`module:object`), and the object itself."""

    name: str
    value: str
    adapter: Any


def is_source(source: str) -> bool:
    """Whether `source` is something that an adapter exports, rather than ONNX or a name of files.

    Adapters are not even looked for where the name ends in `.onnx`.
    """
    if source.lower().endswith(".onnx"):
        return False
    return any(_recognises(entry, source) for entry in _adapters().values())


def choose(source: str, options: ExportOptions) -> Chosen:
    """Returns the adapter for a source.

    Raises:
        UsageError: None, or more than one, recognises it; there is none of the name; it does not
            take what is said; or the source may hold code and is not trusted.
        ExportError: The adapter cannot be loaded.
    """
    chosen = _named(options.adapter) if options.adapter else _recognised(source, options)
    flags = {key: f"--{key.replace('_', '-')}" for key in options.given()}
    if unused := [flag for key, flag in flags.items() if key not in chosen.adapter.takes]:
        raise UsageError(f"the adapter `{chosen.name}` takes no {' and no '.join(unused)}")
    if not options.trust_source and chosen.adapter.holds_code(source):
        raise UsageError(
            f"`{source}` may hold code, which its export would run with your rights",
            hint="--trust-source allows it; only for what you would run yourself",
        )
    return chosen


@functools.cache
def _load(entry: EntryPoint) -> Any:
    adapter = entry.load()
    for part in ("install", "recognises", "holds_code", "export", "takes"):
        if not hasattr(adapter, part):
            raise AttributeError(f"`{entry.value}` is no adapter: it has no `{part}`")
    return adapter


def _adapters() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _recognises(entry: EntryPoint, source: str) -> bool:
    try:
        return bool(_load(entry).recognises(source))
    except Exception:  # A broken package costs its own sources only; its name gets the reason.
        return False


def _named(name: str) -> Chosen:
    known = _adapters()
    if name not in known:
        raise UsageError(f"there is no adapter `{name}`", hint=closest(name, known))
    try:
        return Chosen(name, known[name].value, _load(known[name]))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ExportError(f"the adapter `{name}` cannot be loaded: {reason}") from error


def _recognised(source: str, options: ExportOptions) -> Chosen:
    found = [_named(name) for name, e in _adapters().items() if _recognises(e, source)]
    # Where a source alone does not tell, what goes with it may.
    fitting = [c for c in found if set(options.given()) <= set(c.adapter.takes)] or found
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f"`{c.name}`" for c in fitting)
        raise UsageError(f"`{source}` may be for {names}", hint="--adapter says which")
    raise UsageError(
        f"no adapter recognises `{source}`", hint=f"--adapter takes {_list(_adapters())}"
    )


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing: none is installed"
