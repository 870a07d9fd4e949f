"""Similarities from rankings and maps: the record, or what `onnxattr rank -o x.json` writes."""

import json
from typing import Any, NoReturn

import numpy as np

from onnxattr.errors import ScoresError
from onnxattr.scores.table import from_matrix, name_of
from onnxattr.types import Scores, Similarity

#: Cosines that differ by more between both directions are not those of a ranking.
_ROUNDING = 1e-6


def from_similarity(similarity: Similarity, name: str) -> Scores:
    """Returns the table of a ranking's similarities: how alike each source is to each target."""
    # A ranking keeps a row for each target.
    return Scores(name, similarity.names, similarity.names, similarity.matrix.T)


def read_ranking(data: bytes, file: str) -> Scores:
    """Returns the similarities of a ranking in JSON.

    Raises:
        ScoresError: It is no ranking, or its matrix is no matrix of cosines.
    """
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except ScoresError as error:
        raise ScoresError(f"`{file}`: {error.message}") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ScoresError(f"`{file}` is no JSON: {reason}") from None
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in ("ranking", "map"):
        raise ScoresError(
            f"`{file}` is no ranking in JSON: its kind is `{str(kind)[:80]}`",
            hint="`onnxattr rank MODELS... -o x.json` writes one",
        )
    part = document.get("similarity")
    names: Any
    rows: Any
    names, rows = (part.get("names"), part.get("matrix")) if isinstance(part, dict) else (0, 0)
    if not _is_square(names, rows):
        raise ScoresError(f"`{file}` has no square matrix of similarities with a name a row")
    names = [name_of(name, f"a model of `{file}`") for name in names]
    matrix = np.array([[np.nan if cell is None else cell for cell in row] for row in rows])
    matrix = matrix.astype(np.float64).reshape(len(names), len(names))
    gap = np.nan_to_num(np.abs(matrix - matrix.T))
    if gap.size and gap.max() > _ROUNDING:
        i, j = np.unravel_index(np.argmax(gap), gap.shape)
        raise ScoresError(
            f"`{file}` is not symmetric: {matrix[i, j]:.4g} for `{names[i]}` and `{names[j]}`, "
            f"and {matrix[j, i]:.4g} for `{names[j]}` and `{names[i]}`"
        )
    return from_matrix(matrix.T, names, names, file)


def _is_square(names: Any, rows: Any) -> bool:
    """Whether `rows` is a list of lists of numbers and nulls, as many each as `names`, strings."""
    return (
        isinstance(names, list)
        and isinstance(rows, list)
        and len(rows) == len(names)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(row, list) and len(row) == len(names) for row in rows)
        and all(cell is None or type(cell) in (int, float) for row in rows for cell in row)
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ScoresError("a key stands there twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is no number of JSON")
