"""The options that decide the numbers, for every command that computes some.

A command takes `settings`, and `settings_of` makes the library's options of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnxattr.cli import options
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.signature import grouped
from onnxattr.cli.sources import export_of, with_sources

if TYPE_CHECKING:
    from onnxattr.pipeline.options import Options

#: Field of the library's options → the option, in the order of `--help`.
_OPTIONS: dict[str, Any] = {
    "limit": options.Limit,
    "method": options.Method,
    "measure": options.Measure,
    "reduction": options.Reduction,
    "at": options.At,
    "paper": options.Paper,
    "seed": options.Seed,
    "check_assumptions": options.CheckAssumptions,
    "device": options.Device,
    "workers": options.Workers,
    "batch_size": options.BatchSize,
    "precision": options.Precision,
    "compile": options.Compile,
    "store": options.Store,
    "no_store": options.NoStore,
}

#: Further groups of options, by the parameter that stands for each.
_GROUPS = ("inputs", "sources", "limits")

#: What `--help` shows as the default.
_DEFAULTS: dict[str, Any] = {
    "method": "saliency",
    "reduction": "sum",
    "paper": False,
    "seed": 0,
    "check_assumptions": False,
    "device": "auto",
    "workers": 1,
    "precision": "float32",
    "compile": False,
    "no_store": False,
}


def with_settings(
    *without: str, **instead: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns what puts the options in the place of a command's parameter `settings`.

    Those of the models' input, of exports and of limits come behind the command's own.

    Args:
        without: Fields that the command has no option for.
        instead: Other options for some of the fields.
    """
    chosen = {k: instead.get(k, v) for k, v in _OPTIONS.items() if k not in without}

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def gathered(
            *,
            settings: dict[str, Any],
            inputs: dict[str, Any],
            sources: dict[str, Any],
            limits: dict[str, str],
            **others: Any,
        ) -> None:
            groups = {"input": inputs, "export": sources, "limits": limits}
            command(**others, settings=settings | groups)

        signature = inspect.signature(command)
        added = [inspect.Parameter(g, inspect.Parameter.KEYWORD_ONLY) for g in _GROUPS]
        gathered.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), *added]
        )
        own = grouped(gathered, "settings", chosen, _DEFAULTS)
        return with_limits(with_sources(with_input(own)))

    return wrap


def settings_of(given: dict[str, Any]) -> Options:
    """Returns the library's options of what a command took as `settings`.

    Raises:
        UsageError: A value cannot be understood.
    """
    from onnxattr.pipeline.options import Options

    parsed = {
        "input": input_of(given["input"]),
        "export": export_of(given["export"]),
        "limits": limits_of(given["limits"]),
        "store": None if given.get("no_store") else given.get("store", "default"),
    }
    return Options(**{k: v for k, v in given.items() if k != "no_store"} | parsed)
