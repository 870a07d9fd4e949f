"""From what a user types, files, directories and globs, to model files with unique names."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from onnxattr.types import Failure


def find_models(
    sources: str | Path | Sequence[str | Path],
    known: Callable[[str], bool] = lambda source: False,
) -> tuple[dict[str, Path], list[Failure]]:
    """Returns the model files that `sources` mean, by unique name, and what could not be found.

    A model is called by its file's stem; files of the same stem by as much of their path as tells
    them apart, and by their suffix if all of the path does not. A file that is meant twice is kept
    once.

    Args:
        sources: One or several files, directories (their `*.onnx` files), or glob patterns.
        known: Whether a source is a model of another kind, whatever it looks like as a path: such
            a directory is one model, and nothing is looked for in it.
    """
    paths: list[Path] = []
    failures: list[Failure] = []
    sources = [sources] if isinstance(sources, str | Path) else sources
    for source in map(str, sources):
        found, failure = ([Path(source)], None) if known(source) else _expand(source)
        paths += found
        if failure is not None:
            failures.append(failure)
    unique: dict[str, Path] = {}
    for path in paths:
        # The path itself, not what a link points to: two links to one file are two models.
        if (key := os.path.abspath(path)) in unique:
            failures.append(Failure(str(path), "the file was given twice", "it is ranked once"))
        else:
            unique[key] = path
    return dict(zip(_names(list(unique)), unique.values(), strict=True)), failures


def _expand(source: str) -> tuple[list[Path], Failure | None]:
    path = Path(source)
    if os.path.isdir(path):
        found = sorted(path.glob("*.onnx"))
        hint = "models end in .onnx; directories are not searched deeper"
        return found, None if found else Failure(source, "the directory holds no models", hint)
    # Other than Path's, this is False for names that are too long to exist.
    if os.path.exists(path) or not glob.has_magic(source):
        # A missing file is reported when it is read, under its own name.
        return [path], None
    found = sorted(Path(p) for p in glob.glob(source, recursive=True))
    return found, None if found else Failure(source, "no file matches the pattern", "")


def _names(paths: Sequence[str]) -> list[str]:
    parts = [Path(p).with_suffix("").parts if p.endswith(".onnx") else Path(p).parts for p in paths]
    depth = [1] * len(paths)
    while True:
        names = ["/".join(p[-d:]) for p, d in zip(parts, depth, strict=True)]
        clashing = {name for name, count in Counter(names).items() if count > 1}
        deeper = [
            d + 1 if name in clashing and d < len(p) else d
            for name, d, p in zip(names, depth, parts, strict=True)
        ]
        if deeper == depth:
            break
        depth = deeper
    # `a.onnx` and `a` of one directory.
    return [p if name in clashing else name for p, name in zip(paths, names, strict=True)]
