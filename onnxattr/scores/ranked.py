"""Similarities from rankings and maps: the record, or what `onnxattr rank -o x.json` writes."""

import json
from typing import Any, NoReturn

import numpy as np

from onnxattr.errors import ScoresError
from onnxattr.scores.table import from_matrix, name_of
from onnxattr.types import Pairs, Scores, Similarity

#: Of a measure without direction, numbers that differ by more between both are not of a ranking.
_ROUNDING = 1e-6


def from_similarity(similarity: Similarity, name: str) -> Scores:
    """Returns the table of a ranking's similarities: how alike each source is to each target.

    Raises:
        ScoresError: There were too many models for a matrix.
    """
    _require_matrix(similarity)
    # A ranking keeps a row for each target.
    return Scores(name, similarity.names, similarity.names, similarity.matrix.T)


def from_pairs(pairs: Pairs) -> Scores:
    """Returns the table of one measure of a ranking.

    Raises:
        ScoresError: There were too many models for a matrix.
    """
    _require_matrix(pairs)
    targets = pairs.names if pairs.targets is None else tuple(pairs.names[i] for i in pairs.targets)
    return Scores(pairs.measure, pairs.names, targets, pairs.matrix)


def _require_matrix(given: Similarity | Pairs) -> None:
    """Makes sure that there are similarities of all pairs.

    Raises:
        ScoresError: There were too many models for them.
    """
    if given.names and not given.matrix.size:
        raise ScoresError(
            f"a ranking of `{len(given.names)}` models keeps no matrix of their similarities",
            hint="rank fewer models",
        )


def read_ranking(data: bytes, file: str, measure: str | None = None) -> Scores:
    """Returns the similarities of a ranking in JSON, by one of its measures.

    Args:
        data: The bytes of the file.
        file: What it is called.
        measure: By which; by default, or where the ranking has none of that name, by its first.

    Raises:
        ScoresError: It is no ranking, or its matrix is none, or not symmetric where it should be.
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
    part, directed, transposed = _part(document, measure)
    names: Any
    rows: Any
    names, rows = (part.get("names"), part.get("matrix")) if isinstance(part, dict) else (0, 0)
    if not _is_square(names, rows):
        raise ScoresError(f"`{file}` has no square matrix of similarities with a name a row")
    names = [name_of(name, f"a model of `{file}`") for name in names]
    matrix = np.array([[np.nan if cell is None else cell for cell in row] for row in rows])
    matrix = matrix.astype(np.float64).reshape(len(names), len(names))
    gap = np.nan_to_num(np.abs(matrix - matrix.T))
    if not directed and gap.size and gap.max() > _ROUNDING:
        i, j = np.unravel_index(np.argmax(gap), gap.shape)
        raise ScoresError(
            f"`{file}` is not symmetric: {matrix[i, j]:.4g} for `{names[i]}` and `{names[j]}`, "
            f"and {matrix[j, i]:.4g} for `{names[j]}` and `{names[i]}`"
        )
    return from_matrix(matrix.T if transposed else matrix, names, names, file)


def _part(document: dict[str, Any], measure: str | None) -> tuple[Any, bool, bool]:
    """Returns what holds a matrix, whether it is directed, and whether a row is a target.

    The cosines, which are all that there was once, have a row for each target, measures one for
    each source.
    """
    found = document.get("measures")
    measures = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if not measures:
        return document.get("similarity"), False, True
    named = [one for one in measures if measure is not None and one.get("measure") == measure]
    chosen = (*named, *measures)[0]
    return chosen, chosen.get("directed") is True, False


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
