"""The same weights in a graph that computes something else are no independent model."""

from onnxattr.lineage.verdict import decide
from onnxattr.types import Relation, WeightFinding
from onnxattr.types.audit import DERIVED
from onnxattr.types.weights import IDENTICAL


def test_the_same_weights_in_another_graph_are_derived() -> None:
    finding = WeightFinding(IDENTICAL, 0.1, 0.1, 9, ("all layers hold the same numbers",))
    verdict = decide([Relation("known", finding=finding)])
    assert (verdict.kind, verdict.reference) == (DERIVED, "known")
