"""Deep attribution graphs: what a model looks at, and which probes it finds alike."""

from dataclasses import dataclass

from onnxattr.arrays import Float64
from onnxattr.space.measures import attribution
from onnxattr.space.measures.evidence import Evidence, flat
from onnxattr.space.measures.ranks import Ranked, ranked, spearman
from onnxattr.space.measures.rsa import cosines
from onnxattr.space.measures.table import REPRESENTATION


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as a graph of its probes.

    Attributes:
        nodes: The map of each probe.
        edges: The cosine of the representations of every two probes, as ranks.
    """

    nodes: attribution.Mapped
    edges: Ranked


def prepare(evidence: Evidence) -> Graph:
    """Returns the attribution graph of a model.

    As in the authors' code for Taskonomy, the mean representation over the probes is removed before
    the cosines of the edges are taken. Nodes are the maps as they are given, uncentred.

    Args:
        evidence: Of a model, with its maps and its representation.

    Raises:
        InputError: The maps or the representation are missing, or the latter is not finite.
        ProbeError: There are fewer than four probes.
    """
    features = flat(evidence, REPRESENTATION, "depara", 4)
    features = features - features.mean(axis=0)
    return Graph(attribution.prepare(evidence, centred=False), ranked(cosines(features, 1e-12)))


def nodes(source: Graph, target: Graph) -> Float64:
    """Returns the node part: the cosine of the two maps of each probe, −1..1, [probe]."""
    return attribution.compare(source.nodes, target.nodes)


def edges(source: Graph, target: Graph) -> Float64:
    """Returns the edge part: Spearman's ρ of the edges, −1..1, as pseudo-values, [probe].

    It is RSA with another similarity: of centred features, and by their cosine.
    """
    return spearman(source.edges, target.edges)


def compare(source: Graph, target: Graph, *, weight: float = 1.0) -> Float64:
    """Returns (nodes + weight · edges) / (1 + weight), −1..1, [probe].

    Song et al. 2020 (*DEPARA: Deep Attribution Graph for Deep Knowledge Transferability*), which
    adds the two parts; divided by their weights, a model and itself are at 1. Symmetric.
    The nodes have a number a probe, the edges pseudo-values. NaN where a map is zero or not finite.
    Cost as of `attribution` and `rsa`.

    Args:
        source: A model.
        target: Another.
        weight: Of the edges.
    """
    values: Float64 = nodes(source, target) + weight * edges(source, target)
    return values / (1.0 + weight)
