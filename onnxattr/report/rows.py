"""Results as flat rows, which CSV, TSV, JSON lines and markdown write down."""

from collections.abc import Iterator, Sequence
from typing import Any

from onnxattr.report.dendrogram import gaps
from onnxattr.report.text import assumptions, sizes, value_range
from onnxattr.types import (
    IMAGE,
    Audit,
    Comparison,
    Evaluation,
    Inspection,
    ModelMap,
    Ranking,
    Source,
    Summary,
    Survey,
)

Result = Ranking | Comparison | Survey | Evaluation | ModelMap | Audit
Row = dict[str, Any]


def rows(result: Result) -> list[Row]:
    """Returns one row a target and source, a probe, a model, or a figure of a measure.

    Of a map, one a model in the order of the leaves; without a tree, one a model and neighbour. Of
    an audit, one a reference.

    Keys are the same in each.
    """
    if isinstance(result, Ranking):
        return _ranking(result)
    if isinstance(result, Comparison):
        return _comparison(result)
    if isinstance(result, Evaluation):
        return list(_evaluation(result))
    if isinstance(result, ModelMap):
        return list(_map(result) if result.leaves else nearest_rows(result))
    if isinstance(result, Audit):
        return list(_audit(result))
    return [_inspection(i) for i in result.models]


def _ranking(result: Ranking) -> list[Row]:
    models = {m.name: m for m in result.models}
    names = [pairs.measure for pairs in result.measures]
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
            **_measures(source, names),
            **_facts(models[source.name]),
        }
        for target in result.targets
        for source in target.sources
    ]


def _measures(source: Source, names: Sequence[str]) -> Row:
    """Returns what each measure says, where it is not the cosines of the maps alone."""
    if names in ([], ["attribution"]):
        return {}
    row: Row = {"ordered_by": names[0], "disputed": source.disputed}
    for name in names:
        score = source.measures.get(name)
        row[name] = score.value if score else None
        row[f"{name}_low"] = score.low if score else None
        row[f"{name}_high"] = score.high if score else None
        row[f"{name}_rank"] = score.rank if score else None
    return row


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
    if {one.measure for one in result.measures} - {"attribution"}:
        for one in result.measures:
            back = one.directed and one.source != first
            name = f"{one.measure}_back" if back else one.measure
            whole |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return [{**whole, "probe": p.name, "cosine": p.cosine} for p in result.probes]


def _evaluation(result: Evaluation) -> Iterator[Row]:
    """Yields all figures of every measure and reference, then their curves."""
    for one in (*result.measures, *result.references):
        start = {"measure": one.name, "reference": one in result.references}
        for name, figure in one.figures.items():
            gap = one.differences.get(name)
            yield {
                **start,
                "figure": name,
                "k": {"p_at_1": 1, "p_at_relevant": result.relevant}.get(name),
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "difference": gap.value if gap else None,
                "difference_low": gap.low if gap else None,
                "difference_high": gap.high if gap else None,
            }
        for point in one.curve:
            scale = point.k / result.relevant
            yield _point(start, "precision", point.k, point.precision, point.low, point.high)
            low, high = point.low * scale, point.high * scale
            yield _point(start, "recall", point.k, point.recall, low, high)


def _map(result: ModelMap) -> Iterator[Row]:
    points = result.points.tolist()
    for leaf, joined in zip(result.leaves, [None, *gaps(result)], strict=True):
        model = result.models[leaf]
        near = result.nearest[leaf][0]
        yield {
            "model": model.name,
            "cluster": result.clusters[leaf] if result.clusters else None,
            "joined_at": joined,
            "nearest": near.name,
            "similarity": near.similarity,
            "x": points[leaf][0],
            "y": points[leaf][1],
            **_facts(model),
        }


def nearest_rows(result: ModelMap) -> Iterator[Row]:
    """Yields one row a model and neighbour, nearest first."""
    for model, near in zip(result.models, result.nearest, strict=True):
        for place, one in enumerate(near, 1):
            yield {
                "model": model.name,
                "place": place,
                "nearest": one.name,
                "similarity": one.similarity,
            }


def _audit(result: Audit) -> Iterator[Row]:
    """Yields all that is known of the suspect and each reference, the closest first."""
    for each in result.relations:
        match, finding = each.match, each.finding
        known = {e.measure: e for e in each.behaviour}
        names = [e.measure for one in result.relations for e in one.behaviour]
        row: Row = {
            "suspect": result.suspect.name,
            "verdict": result.verdict.kind,
            "reference": each.reference,
            "identical": each.identical,
            "weights": finding.kind if finding else None,
            "late": match.late if match else None,
            "copied": match.copied if match else None,
            "weights_p": finding.p_value if finding else None,
            "score": each.score,
            "p": each.p,
            "floor": each.floor,
            "independent": len(each.twins),
            "fed": each.fed,
        }
        for name in dict.fromkeys(names):
            key = name.replace(" ", "_")
            row[key] = known[name].value if name in known else None
            row[f"{key}_headroom"] = known[name].headroom if name in known else None
        yield row


def _point(start: Row, figure: str, k: int, value: float, low: float, high: float) -> Row:
    row = {**start, "figure": figure, "k": k, "value": value, "low": low, "high": high}
    return {**row, **dict.fromkeys(("difference", "difference_low", "difference_high"))}


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
