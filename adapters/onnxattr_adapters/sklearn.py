"""scikit-learn: exports estimators in skops files through skl2onnx."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import Array, check, clean, draft, one_line, save, stamp
from onnxattr_adapters._source import existing, has_suffix

#: Types that skops does not know and that hold nothing but numbers: what a network was fitted with.
_HARMLESS = (
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)

#: skl2onnx computes in float32 what scikit-learn computes in float64.
TOLERANCE = 1e-3


def export(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator as an ONNX file that was compared with it.

    Probabilities are one array, not a list of dictionaries; the predicted label comes first, as
    skl2onnx has it.

    Args:
        estimator: A fitted classifier, regressor, transformer or pipeline.
        path: Where to write.

    Raises:
        ExportError: It is not fitted, skl2onnx cannot export it, or the file differs from it.
    """
    require("sklearn", "skl2onnx")
    from skl2onnx import to_onnx

    columns = getattr(estimator, "n_features_in_", None)
    if columns is None:
        raise ExportError("the estimator does not know its number of features: it is not fitted")
    rows = np.random.default_rng(0).standard_normal((16, int(columns))).astype(np.float32)
    choices = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    try:
        references = _references(estimator, rows)
        proto = to_onnx(estimator, rows[:1], options=choices)
    except Exception as error:  # both raise many unrelated types
        raise ExportError(f"skl2onnx cannot export it: {one_line(error)}") from error
    clean(proto)
    stamp(proto, {})
    with draft(path) as place:
        save(proto, place)
        check(place, [rows], references, TOLERANCE)


def _references(estimator: Any, rows: Array) -> list[Array]:
    """Return what the file must compute, in the order of its outputs."""
    from sklearn.base import is_classifier

    if hasattr(estimator, "predict"):
        predicted = np.asarray(estimator.predict(rows))
        if not is_classifier(estimator):
            return [predicted.reshape(len(rows), -1)]
        scores = getattr(estimator, "predict_proba", None) or estimator.decision_function
        return [predicted, np.asarray(scores(rows))]
    return [np.asarray(estimator.transform(rows))]


def _export_source(source: str, path: Path) -> None:
    file = existing(source)
    require("sklearn", "skl2onnx", "skops")
    import skops.io

    try:
        # Types beside those that skops itself trusts could be code.
        if unknown := set(skops.io.get_untrusted_types(file=file)) - set(_HARMLESS):
            raise ExportError(
                f"it holds types that skops does not trust: {', '.join(sorted(unknown))}"
            )
        estimator = skops.io.load(file, trusted=list(_HARMLESS))
    except (ExportError, ModuleNotFoundError):
        raise
    except Exception as error:  # zipfile, json and skops have their own
        raise ExportError(f"skops cannot read it: {one_line(error)}") from error
    export(estimator, path)


ADAPTER = Adapter(
    install="onnxattr[sklearn]",
    recognises=lambda source: has_suffix(source, ".skops"),
    holds_code=lambda source: False,
    export=_export_source,
)
