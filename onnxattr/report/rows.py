"""Results as flat rows, which CSV, TSV, JSON lines and markdown write down."""

from typing import Any

from onnxattr.report.text import assumptions, sizes, value_range
from onnxattr.types import IMAGE, Comparison, Inspection, Ranking, Summary, Survey

Result = Ranking | Comparison | Survey
Row = dict[str, Any]


def rows(result: Result) -> list[Row]:
    """Returns one row a target and source, a probe, or a model; keys are the same in each."""
    if isinstance(result, Ranking):
        return _ranking(result)
    if isinstance(result, Comparison):
        return _comparison(result)
    return [_inspection(i) for i in result.models]


def _ranking(result: Ranking) -> list[Row]:
    models = {m.name: m for m in result.models}
    return [
        {
            "target": target.name,
            "rank": source.rank,
            "tied": source.tied,
            "source": source.name,
            "similarity": source.similarity,
            "low": source.low,
            "high": source.high,
            "distance": source.distance,
            "duplicate": source.duplicate,
            **_facts(models[source.name]),
        }
        for target in result.targets
        for source in target.sources
    ]


def _comparison(result: Comparison) -> list[Row]:
    first, second = (model.name for model in result.models)
    whole = {
        "first": first,
        "second": second,
        "similarity": result.similarity,
        "low": result.low,
        "high": result.high,
        "distance": result.distance,
        "duplicate": result.duplicate,
    }
    return [{**whole, "probe": p.name, "cosine": p.cosine} for p in result.probes]


def _facts(model: Summary) -> Row:
    return {
        "origin": model.origin.framework,
        "exporter": model.origin.exporter,
        "opset": model.opset,
        "parameters": model.parameters,
        "parity_error": model.parity.error if model.parity else None,
        "gradient_error": model.gradient.error if model.gradient else None,
        "kind": model.spec.kind,
        "shape": sizes(model.spec),
        "layout": model.spec.layout,
        "range": value_range(model.spec).replace("*", ""),
        "assumed": assumptions(model.spec),
        "sha256": model.sha256,
    }


def _inspection(model: Inspection) -> Row:
    spec = model.spec
    return {
        "model": model.name,
        "path": model.path,
        "origin": model.origin.framework,
        "exporter": model.origin.exporter,
        "opset": model.opset,
        "parameters": model.parameters,
        "inputs": "; ".join(model.inputs),
        "outputs": "; ".join(model.outputs),
        "kind": spec.kind if spec else None,
        "shape": sizes(spec) if spec else None,
        "layout": spec.layout if spec else None,
        "height": spec.height if spec and spec.kind == IMAGE else None,
        "width": spec.width if spec and spec.kind == IMAGE else None,
        "range": value_range(spec).replace("*", "") if spec else None,
        "assumed": assumptions(spec) if spec else None,
        "representation": model.representation.value if model.representation else None,
        "rule": model.representation.rule if model.representation else None,
        "parity_error": model.parity.error if model.parity else None,
        "gradient_error": model.gradient.error if model.gradient else None,
        "problems": "; ".join(model.problems),
        "sha256": model.sha256,
    }
