"""Options that come in groups: one parameter of a command stands for all of them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def grouped(
    command: Callable[..., None], name: str, options: Mapping[str, Any]
) -> Callable[..., None]:
    """Returns `command` with options in the place of one of its parameters.

    Typer reads options from a signature, so the signature is what changes.

    Args:
        command: Takes those of the options that were given, by name, in a dictionary.
        name: Of that parameter.
        options: Annotations by the options' names; all of them are None where they are not given.
    """
    signature = inspect.signature(command)
    kept = [p for p in signature.parameters.values() if p.name != name]
    kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept]
    added = [
        inspect.Parameter(
            f"{name}_{option}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )
        for option, annotation in options.items()
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        values = {option: given.pop(f"{name}_{option}") for option in options}
        command(**given, **{name: {k: v for k, v in values.items() if v is not None}})

    wrapped.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
    return wrapped
