"""Named choices. Imports only `errors`."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from onnxattr.errors import UsageError

T = TypeVar("T")


def closest(name: str, names: Iterable[str]) -> str:
    """Returns the hint for an unknown `name`: the closest valid one, then all of them."""
    valid = sorted(names)
    return suggestion(name, valid) + "valid are " + ", ".join(f"`{n}`" for n in valid)


def suggestion(name: str, names: Iterable[str]) -> str:
    """Returns `did you mean …? ` with the closest of `names`, or '' where none is close."""
    match = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean `{match[0]}`? " if match else ""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from name to choice, which answers an unknown name with the valid ones.

    Args:
        kind: What the choices are, for messages: `method`, `device`, …
        entries: The choices by name.
    """

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        self._kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UsageError(
                f"there is no {self._kind} `{name}`", hint=closest(name, self._entries)
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
