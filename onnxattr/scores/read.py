"""Reads a table of measured transfer, or of similarities, whatever form it has."""

import dataclasses
import hashlib
import os
import stat
from pathlib import Path

from onnxattr.errors import ScoresError
from onnxattr.scores.affinities import read_affinities
from onnxattr.scores.arrays import read_npy, read_npz
from onnxattr.scores.delimited import read_delimited
from onnxattr.scores.ranked import read_ranking
from onnxattr.types import Scores

#: Bytes of a file: a matrix of 5,000 models as text.
MAX_BYTES = 2**29

#: Forms by what files of theirs end in; all others are text.
_JSON, _PICKLE = (".json",), (".pkl", ".pickle", ".p")


def load_scores(path: str | Path, *, name: str | None = None) -> Scores:
    r"""Returns the table of a file: a number for each source and target, higher is better.

    - `.csv`, `.tsv`, `.txt`: a matrix with the targets in the first line and the sources in the
      first column (the other way round where the corner says `target`), or a long table with the
      columns `source`, `target` and a number, in any order.
    - `.json`: what `onnxattr rank MODELS… -o x.json` writes; of several measures the one called
      `name`, or else the first.
    - `.npz`: the arrays `matrix` [source, target] and `names`, or `sources` and `targets`.
    - `.npy`: a matrix [source, target], with its names in a `.txt` beside it, one a line.
    - `.pkl`: Taskonomy's official affinities. Nothing in a pickle is run.

    Args:
        path: The file.
        name: Of the measure; by default that of the file, without its suffix.

    Raises:
        ScoresError: It is missing, damaged, too large or of another form; or a name or a pair
            stands there twice.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "truth.csv")
        ...     _ = file.write_text("source,target,value\nedges,depth,0.7\nnormals,depth,0.9\n")
        ...     load_scores(file).values.tolist()
        [[0.7], [0.9]]
    """
    path = Path(path)
    data = _bytes(path)
    suffix, file = path.suffix.lower(), str(path)
    if suffix in _JSON:
        scores = read_ranking(data, file, name)
    elif suffix in _PICKLE:
        scores = read_affinities(data, file)
    elif suffix == ".npy":
        scores = read_npy(data, path)
    elif suffix == ".npz":
        scores = read_npz(data, path)
    else:
        scores = read_delimited(data, file)
    return dataclasses.replace(
        scores,
        name=path.stem if name is None else name,
        origin=file,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _bytes(path: Path) -> bytes:
    """Returns all of a regular file that is not too large.

    Raises:
        ScoresError: It is none.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ScoresError(f"`{path}` is no regular file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ScoresError(f"`{path}` does not exist") from None
    except (OSError, ValueError) as error:  # A name that holds a null is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ScoresError(f"`{path}` cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ScoresError(f"`{path}` is larger than {MAX_BYTES // 2**20} MiB")
    if not data:
        raise ScoresError(f"`{path}` is empty")
    return data
