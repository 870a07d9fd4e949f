"""The models of an audit: which is the suspect, what it is held against, and their roles."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxattr.errors import UsageError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.types import Failure, Weighed


@dataclass(frozen=True)
class Cast:
    """The models of an audit by their roles; names are unique among all.

    Attributes:
        suspect: Name of the suspect.
        references: Names of the references, sorted; the suspect's own file is not among them.
        twins: Names of the models that are given as independent, sorted.
        same: Whether the suspect's own file is among the references.
        paths: Files by name.
        failures: What could not be found, or was given in two roles.
    """

    suspect: str
    references: tuple[str, ...]
    twins: tuple[str, ...]
    same: bool
    paths: Mapping[str, Path]
    failures: tuple[Failure, ...]


def cast(
    suspect: str | Path,
    against: str | Path | Sequence[str | Path],
    twins: str | Path | Sequence[str | Path],
) -> Cast:
    """Returns the models of an audit by their roles.

    Raises:
        UsageError: The suspect is not one file, or there is no reference.
    """
    if Path(suspect).is_dir() and not is_source(str(suspect)):
        raise UsageError(f"`{suspect}` is a directory", hint="an audit takes one model file")
    if not (os.path.exists(suspect) or glob.has_magic(str(suspect)) or is_source(str(suspect))):
        raise UsageError(f"`{suspect}` does not exist", hint="an audit takes one model file")
    (own, _), (known, lost), (apart, also_lost) = (
        find_models(each, is_source) for each in ([suspect], against, twins)
    )
    if len(own) != 1:
        raise UsageError(f"`{suspect}` is not one file", hint="an audit takes one model file")
    failures = [*lost, *also_lost]
    if not known:
        raise UsageError(
            "there are no references to hold it against",
            hint="--against takes files, directories with .onnx files, and globs",
        )
    (mine,) = own.values()
    every, _ = find_models([mine, *known.values(), *apart.values()], is_source)
    names = {os.path.abspath(path): name for name, path in every.items()}
    here = os.path.abspath(mine)
    references = sorted({names[os.path.abspath(p)] for p in known.values()} - {names[here]})
    taken = {names[here], *references}
    independent = []
    for path in apart.values():
        name = names[os.path.abspath(path)]
        if name in taken:
            role = "the suspect" if name == names[here] else "a reference"
            reason = f"it is given as independent, and is {role}"
            failures.append(Failure(name, reason, "it is not used as independent"))
        else:
            independent.append(name)
    same = here in {os.path.abspath(p) for p in known.values()}
    return Cast(
        names[here], tuple(references), tuple(sorted(independent)), same, every, tuple(failures)
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
