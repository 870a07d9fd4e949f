"""The models of an audit: which is the suspect, what it is held against, and their roles."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onnxattr.errors import UsageError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.registry import closest
from onnxattr.types import Failure, Weighed

#: Files, directories and globs; or those of each reference's task, by its name, which text says as
#: `NAME=FILES`.
Twins: TypeAlias = (
    str | Path | Sequence[str | Path] | Mapping[str, str | Path | Sequence[str | Path]]
)


@dataclass(frozen=True)
class Cast:
    """The models of an audit by their roles; names are unique among all.

    Attributes:
        suspect: Name of the suspect.
        references: Names of the references, sorted; the suspect's own file is not among them.
        twins: Names of the models that are given as independent, sorted.
        declared: References of whose task a model is said to be, by its name; not of those of which
            nobody says it.
        same: Whether the suspect's own file is among the references.
        paths: Files by name.
        failures: What could not be found, or was given in two roles.
    """

    suspect: str
    references: tuple[str, ...]
    twins: tuple[str, ...]
    declared: Mapping[str, tuple[str, ...]]
    same: bool
    paths: Mapping[str, Path]
    failures: tuple[Failure, ...]


def cast(
    suspect: str | Path,
    against: str | Path | Sequence[str | Path],
    twins: Twins,
) -> Cast:
    """Returns the models of an audit by their roles.

    Raises:
        UsageError: The suspect is not one file, there is no reference, or none of the name of which
            a twin is said to be.
    """
    if Path(suspect).is_dir() and not is_source(str(suspect)):
        raise UsageError(f"`{suspect}` is a directory", hint="an audit takes one model file")
    if not (os.path.exists(suspect) or glob.has_magic(str(suspect)) or is_source(str(suspect))):
        raise UsageError(f"`{suspect}` does not exist", hint="an audit takes one model file")
    (own, _), (known, lost) = (find_models(each, is_source) for each in ([suspect], against))
    if len(own) != 1:
        raise UsageError(f"`{suspect}` is not one file", hint="an audit takes one model file")
    failures = list(lost)
    if not known:
        raise UsageError(
            "there are no references to hold it against",
            hint="--against takes files, directories with .onnx files, and globs",
        )
    (mine,) = own.values()
    apart: dict[str, list[str]] = {}  # What each file is said to be of, by its path.
    for task, group in _by_task(twins).items():
        found, also_lost = find_models(group, is_source)
        failures += also_lost
        for path in found.values():
            apart.setdefault(os.path.abspath(path), []).extend([task] if task else [])
    every, _ = find_models([mine, *known.values(), *apart], is_source)
    names = {os.path.abspath(path): name for name, path in every.items()}
    here = os.path.abspath(mine)
    references = sorted({names[os.path.abspath(p)] for p in known.values()} - {names[here]})
    taken = {names[here], *references}
    declared = {}
    for file, tasks in apart.items():
        name = names[file]
        if name in taken:
            role = "the suspect" if name == names[here] else "a reference"
            reason = f"it is given as independent, and is {role}"
            failures.append(Failure(name, reason, "it is not used as independent"))
            continue
        for task in tasks:
            if task not in references:
                raise UsageError(
                    f"`{task}` is no reference that models could share the task of",
                    hint=closest(task, references),
                )
        declared[name] = tuple(dict.fromkeys(tasks))
    same = here in {os.path.abspath(p) for p in known.values()}
    return Cast(
        names[here],
        tuple(references),
        tuple(sorted(declared)),
        {name: tasks for name, tasks in declared.items() if tasks},
        same,
        every,
        tuple(failures),
    )


def same_by(weighed: Mapping[str, Weighed], one: str, other: str) -> str:
    """Returns by what two files are the same: `file`, `weights`; '' where they are not.

    Args:
        weighed: Identities by name; models that are not there are the same as none.
        one: Name of a model.
        other: Of another.
    """
    if one not in weighed or other not in weighed:
        return ""
    first, second = weighed[one].identity, weighed[other].identity
    if first.file == second.file:
        return "file"
    # Not by `weights` and `structure`, which two layers of one shape may change places without.
    alike = first.content == second.content and first.weights == second.weights
    return "weights" if first.parameters and first.content and alike else ""


def _by_task(twins: Twins) -> dict[str, list[str | Path]]:
    """Returns files, directories and globs by the reference that they are said to be of, or ''."""
    if isinstance(twins, Mapping):
        return {
            reference: [group] if isinstance(group, str | Path) else list(group)
            for reference, group in twins.items()
        }
    found: dict[str, list[str | Path]] = {}
    for given in [twins] if isinstance(twins, str | Path) else twins:
        task, sign, rest = str(given).partition("=")
        # A file may well be called so.
        said = bool(sign) and bool(rest) and not os.path.exists(given)
        found.setdefault(task if said else "", []).append(rest if said else given)
    return found
