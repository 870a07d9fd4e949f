"""Representational similarity analysis."""

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.space.measures.evidence import Evidence, flat
from onnxattr.space.measures.ranks import Ranked, ranked, spearman
from onnxattr.space.measures.table import REPRESENTATION


def prepare(evidence: Evidence) -> Ranked:
    """Returns the ranks of the dissimilarities between the probes, 1 − Pearson's r over the units.

    A probe on which all units are equal correlates with none: its dissimilarities are 1.

    Args:
        evidence: Of a model, with its representation.

    Raises:
        InputError: The representation is missing or not finite.
        ProbeError: There are fewer than four probes.
    """
    return ranked(1.0 - pearson(flat(evidence, REPRESENTATION, "rsa", 4)))


def compare(source: Ranked, target: Ranked) -> Float64:
    """Returns Spearman's ρ of the lower triangles of the two dissimilarity matrices, [probe].

    Dwivedi & Roig 2019 (*Representation Similarity Analysis for Efficient Task Taxonomy & Transfer
    Learning*), after Kriegeskorte et al. 2008. Symmetric, −1..1; does not change under a
    scale or an offset of all units, nor under any order of them. As pseudo-values from leaving out
    each probe; see `spearman`. O(probe² · unit) to prepare, O(probe²) to compare. NaN where a
    representation is the same on all probes, or has one unit.
    """
    return spearman(source, target)


def pearson(rows: Float64) -> Float64:
    """Returns Pearson's r between every two rows, [row, row]; 0 of a row that never changes."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    return cosines(rows, 1e-12)


def cosines(rows: Float64, floor: float = 0.0) -> Float64:
    """Returns the cosine between every two rows, [row, row]; 0 of a row that is zero.

    Args:
        rows: [row, column], at most about 1 in size.
        floor: What is left of a row is rounding, and taken for zero, below this norm per √column.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    norms[norms <= floor * np.sqrt(rows.shape[1])] = np.inf
    units = rows / norms[:, None]
    result: Float64 = np.clip(units @ units.T, -1.0, 1.0)
    return result
