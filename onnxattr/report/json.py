"""Results as JSON, an interface with a version: keys are added, never changed, within one."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from onnxattr.report.rows import Result
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import (
    IMAGE,
    Audit,
    Comparison,
    Evaluation,
    InputSpec,
    ModelMap,
    Pairs,
    Ranking,
    Similarity,
)

SCHEMA_VERSION = 1


#: Parts of an `InputSpec` that say nothing of arrays and token ids.
_OF_IMAGES = ["height", "width", "channels", "color", "range", "mean", "std", "gamma", "resize"]

#: What results keep for figures alone.
_FIGURES = ("layout", "gallery")


def to_json(result: Result) -> str:
    """Returns `result` as JSON text: full precision, stable order of keys, null for NaN.

    Example:
        >>> from onnxattr.types import Survey
        >>> print(to_json(Survey((), ())))
        {
          "schema_version": 1,
          "kind": "survey",
          "models": [],
          "failures": []
        }
        <BLANKLINE>
    """
    kind = "map" if isinstance(result, ModelMap) else type(result).__name__.lower()
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "kind": kind}
    for field in dataclasses.fields(result):
        if field.name in _FIGURES:
            continue
        value = getattr(result, field.name)
        document[field.name] = _similarity(value) if isinstance(value, Similarity) else plain(value)
    if isinstance(result, ModelMap):
        document["newick"] = result.newick  # Cleaned already, and longer than any one string.
    if isinstance(result, Ranking | Comparison | Evaluation | ModelMap | Audit):
        # Last, so that two runs differ in their last lines only.
        for last in ("stored", "seconds"):
            document[last] = document.pop(last)
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Returns `value` in JSON's types: no NaN, no tuples, every string cleaned."""
    if isinstance(value, InputSpec) and value.kind != IMAGE:
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        value |= dict.fromkeys(_OF_IMAGES)
    if isinstance(value, Pairs):
        return _pairs(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {clean(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, str):
        return clean(value, MAX_TEXT)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _pairs(pairs: Pairs) -> dict[str, Any]:
    """Rows are sources, columns targets: all, or those that are named."""
    columns = pairs.targets
    return {
        "measure": pairs.measure,
        "directed": pairs.directed,
        "names": plain(pairs.names),
        **({} if columns is None else {"targets": plain([pairs.names[i] for i in columns])}),
        "matrix": plain(pairs.matrix.tolist()),
    }


def _similarity(similarity: Similarity) -> dict[str, Any]:
    """The cosines of single probes stay in Python: they are as many as models² × probes."""
    return {
        "names": plain(similarity.names),
        "centred": similarity.centred,
        "canvas": plain(similarity.canvas),
        "matrix": plain(similarity.matrix.tolist()),
    }
