"""A directory of maps: files of numbers, pictures, and an index of all of them.

    DIR/index.json                      what is here, how it was made, and hashes
    DIR/contact-METHOD.png              models × probes
    DIR/MODEL/METHOD.npy                or DIR/MODEL/maps.npz, with all methods and the probes
    DIR/MODEL/METHOD/PROBE.png

Names of models, methods and probes become names of files by `files.safe_names`; the index has them
as they are. The index goes first and comes last: a directory with one is whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxattr.errors import UsageError
from onnxattr.files import safe_names, whole
from onnxattr.registry import closest
from onnxattr.types import TOKENS, Attributions, MapFile, Maps

if TYPE_CHECKING:
    from onnxattr.report.pictures import Look

#: How maps are kept: a file a method, or one a model.
FORMS = ("npy", "npz")

INDEX = "index.json"


@dataclass(frozen=True)
class Plan:
    """What is written beside the numbers, and how.

    Attributes:
        form: One of `FORMS`.
        pictures: Whether there are pictures.
        scale: For how much the ends of the colours hold; one of `palette.SCALES`.
        clip: Percentile of |value| at which colours end.

    Raises:
        UsageError: There is no such form or scale, or that is no percentile.
    """

    form: str
    pictures: bool
    scale: str
    clip: float

    def __post_init__(self) -> None:
        from onnxattr.drawing.palette import SCALES

        for option, value, known in (("form", self.form, FORMS), ("scale", self.scale, SCALES)):
            if value not in known:
                raise UsageError(f"there is no {option} `{value}`", hint=closest(value, known))
        # Written so that NaN is refused.
        if not 0 < self.clip <= 100:
            raise UsageError(
                f"--clip takes a percentile above 0 and up to 100, not `{self.clip:g}`"
            )


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Makes sure, before any work is done, that `folder` can be filled.

    Raises:
        UsageError: It is a file, or holds something, or cannot be written.
    """
    try:
        if folder.is_dir():
            if not os.access(folder, os.W_OK | os.X_OK):
                raise unwritable(folder, "it takes no new files")
            if not overwrite and any(folder.iterdir()):
                raise UsageError(
                    f"the directory `{folder}` is not empty",
                    hint="--overwrite replaces files of the same names; others stay",
                )
            return
        if os.path.lexists(folder):
            raise unwritable(folder, "it is no directory")
        above = next(p for p in folder.absolute().parents if os.path.lexists(p))
        if not above.is_dir():
            raise unwritable(folder, f"`{above}` is no directory")
        if not os.access(above, os.W_OK | os.X_OK):
            raise unwritable(folder, f"`{above}` takes no new files")
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from None


def looks(result: Attributions, plan: Plan) -> list[Look]:
    """Returns what decides the colours of each method's maps."""
    from onnxattr.report.pictures import Look

    return [
        Look(method, maps[0].signed[0], plan.scale, plan.clip)
        for method, maps in result.by_method().items()
    ]


def drawable(result: Attributions) -> bool:
    """Returns whether maps can be drawn: those of three axes and more cannot."""
    from onnxattr.drawing.tiles import can_draw

    return can_draw(result.maps[0].by_method()[0].values.ndim - 1)


def fill(
    folder: Path,
    result: Attributions,
    plan: Plan,
    advance: Callable[[int], None] = lambda count: None,
) -> list[MapFile]:
    """Writes maps, pictures and the index into `folder`, and returns what was written.

    Args:
        folder: From `check_folder`; made if it is not there.
        result: What to write.
        plan: How.
        advance: Called with the number of pictures that were drawn.

    Raises:
        UsageError: A file cannot be written; there is no index then.
    """
    from onnxattr.report.index import to_index

    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
    by_method = result.by_method()
    methods = safe_names(by_method)
    sheets = {method: f"contact-{name}.png" for method, name in methods.items()}
    models = safe_names((m.name for m in result.models), {INDEX, *sheets.values()})
    writer = Writer(folder)
    for maps in result.maps:
        _numbers(writer, maps, models[maps.model], methods, plan)
    drawn = plan.pictures and drawable(result)
    if drawn:
        for look in looks(result, plan):
            chosen = by_method[look.method]
            _pictures(writer, result, chosen, look, models, methods, sheets, advance)
    about: Mapping[str, Any] = {"scale": plan.scale, "clip": plan.clip} if drawn else {}
    with writer.open(INDEX) as file:
        file.write(to_index(result, writer.files, about).encode("utf-8", "backslashreplace"))
    return writer.files


class Writer:
    """Writes files below one directory, and keeps account of them.

    Args:
        folder: The directory.

    Attributes:
        files: What was written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[MapFile] = []

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """Gives a file that is at `path` once the body ends; never behind a link to elsewhere."""
        place = self._folder / path
        with told(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            inside = os.path.join(os.path.realpath(self._folder), os.path.dirname(path))
            if os.path.realpath(place.parent) != inside.rstrip(os.sep):
                raise unwritable(place, "a link leads out of the directory")
            with whole(place) as file:
                yield file

    def keep(self, path: str, kind: str, model: str, methods: Sequence[str], probe: str) -> None:
        """Enters a file that was written."""
        with told(self._folder / path), (self._folder / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        self.files.append(MapFile(path, kind, model, tuple(methods), probe, digest, size))


def _numbers(writer: Writer, maps: Maps, name: str, methods: Mapping[str, str], plan: Plan) -> None:
    import numpy as np

    if plan.form == "npz":
        path = f"{name}/maps.npz"
        with writer.open(path) as file:
            arrays = {method: each.values for method, each in _each(maps)}
            np.savez(file, allow_pickle=False, probes=np.array(maps.probes), **arrays)
        writer.keep(path, "maps", maps.model, maps.methods, "")
        return
    for method, each in _each(maps):
        path = f"{name}/{methods[method]}.npy"
        with writer.open(path) as file:
            np.save(file, each.values, allow_pickle=False)
        writer.keep(path, "maps", maps.model, [method], "")


def _each(maps: Maps) -> list[tuple[str, Maps]]:
    return list(zip(maps.methods, maps.by_method(), strict=True))


def _pictures(
    writer: Writer,
    result: Attributions,
    chosen: Sequence[Maps],
    look: Look,
    models: Mapping[str, str],
    methods: Mapping[str, str],
    sheets: Mapping[str, str],
    advance: Callable[[int], None],
) -> None:
    """Writes the pictures of one method, and its sheet."""
    from onnxattr.report import pictures

    given = None if result.probes.kind == TOKENS else result.probes.values
    ends = pictures.limits([maps.values for maps in chosen], look)
    probes = safe_names(result.probes.names)
    for maps, limits in zip(chosen, ends, strict=True):
        for i, (probe, limit) in enumerate(zip(maps.probes, limits, strict=True)):
            path = f"{models[maps.model]}/{methods[look.method]}/{probes[probe]}.png"
            data = pictures.picture(
                maps.values[i],
                look,
                limit,
                model=maps.model,
                probe=probe,
                given=None if given is None else given[i],
            )
            with writer.open(path) as file:
                file.write(data)
            writer.keep(path, "picture", maps.model, [look.method], probe)
            advance(1)
    data = pictures.contact_sheet(
        [(maps.model, maps.values) for maps in chosen],
        look,
        ends,
        probes=result.probes.names,
        given=given,
    )
    with writer.open(sheets[look.method]) as file:
        file.write(data)
    writer.keep(sheets[look.method], "sheet", "", [look.method], "")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns what the system says of a file into an error that names it."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from None


def unwritable(path: Path, reason: str) -> UsageError:
    """Returns the error that says why a file cannot be written."""
    return UsageError(
        f"`{path}` cannot be written: {reason}", hint="choose another place with --output"
    )
