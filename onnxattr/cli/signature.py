"""Options that come in groups: one parameter of a command stands for all of them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def grouped(
    command: Callable[..., None],
    name: str,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> Callable[..., None]:
    """Returns `command` with options in the place of one of its parameters.

    Typer reads options from a signature, so the signature is what changes.

    Args:
        command: Takes those of the options that are not None, by name, in a dictionary.
        name: Of that parameter.
        options: Annotations by the options' names.
        defaults: What options are where they are not given; None where it says nothing.
    """
    signature = inspect.signature(command)
    added = [
        inspect.Parameter(
            f"{name}_{option}",
            inspect.Parameter.KEYWORD_ONLY,
            default=(defaults or {}).get(option),
            annotation=annotation,
        )
        for option, annotation in options.items()
    ]
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kept = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += added if parameter.name == name else [kept]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        values = {option: given.pop(f"{name}_{option}") for option in options}
        command(**given, **{name: {k: v for k, v in values.items() if v is not None}})

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped
