"""How well a measure predicts transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxattr.types.models import Failure

if TYPE_CHECKING:
    from onnxattr.arrays import Float64


@dataclass(frozen=True, eq=False)
class Scores:
    """A number for each source and target: measured transfer, or how good a source a measure says.

    Attributes:
        name: Of the measure, or of the truth, for reports.
        sources: Names of the models that are transferred from.
        targets: Names of the models, or tasks, that are transferred to.
        values: float64 [source, target], higher is better; NaN where there is none.
        origin: The file that it is from, or an empty string.
        sha256: Hash over the bytes of that file, or an empty string.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: Float64
    origin: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Estimate:
    """A mean over targets, and its bootstrap interval over targets; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """How many of the relevant sources are among the first K.

    Attributes:
        k: K.
        hits: n_K, pooled over the targets; whole for every measure, expected for `random`.
        precision: P@K, n_K / (targets · K).
        recall: R@K, n_K / (targets · relevant).
        low: Lower end of the bootstrap interval of `precision`. That of `recall` is it times
            K / relevant.
        high: Upper end, likewise.
    """

    k: int
    hits: float
    precision: float
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class TargetOutcome:
    """How well a measure orders the sources of one target.

    Attributes:
        target: Its name.
        best: The source of the best truth.
        chosen: The source that the measure puts first; empty for `random`.
        hits: Relevant sources among the first `Evaluation.relevant`.
        spearman: Rank correlation of truth and measure over all sources but the target itself.
        spearman_with_self: Likewise with the target itself; NaN where there is no truth of that.
        tau: Weighted Kendall τ, without the target itself.
        tau_with_self: With it.
        regret: Truth of the best source minus that of the chosen one, in the truth's own unit.
        relative_regret: That, as a share of what lies between the best and the worst source.
    """

    target: str
    best: str
    chosen: str
    hits: float
    spearman: float
    spearman_with_self: float
    tau: float
    tau_with_self: float
    regret: float
    relative_regret: float


#: The figures of a measure, each a mean over the targets: `p_at_1`; `p_at_relevant`, P@R where R is
#: `Evaluation.relevant`; and those of `TargetOutcome`.
FIGURES = (
    "p_at_1",
    "p_at_relevant",
    "spearman",
    "spearman_with_self",
    "tau",
    "tau_with_self",
    "regret",
    "relative_regret",
)


@dataclass(frozen=True)
class Measured:
    """How well one measure predicts the truth.

    Attributes:
        name: The measure.
        figures: One for each of `FIGURES`.
        differences: Each figure minus that of the first measure, paired by target; empty for the
            first one itself, and for the references.
        curve: One point for each K.
        outcomes: One for each target.
    """

    name: str
    figures: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    curve: tuple[CurvePoint, ...]
    outcomes: tuple[TargetOutcome, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of `evaluate`: measures beside measured transfer.

    Attributes:
        measures: One for each similarity, in the order given.
        references: `oracle`, the truth itself; `random`, what a random order is expected to reach;
            and `symmetric ceiling`, what the symmetrised truth reaches, where both directions of
            any pair were measured.
        sources: Models that were ordered, by name.
        targets: Models that they were ordered for, by name.
        relevant: Number of best sources of each target that are relevant.
        missing: Models of the truth that are not in every similarity.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
    """

    measures: tuple[Measured, ...]
    references: tuple[Measured, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    relevant: int
    missing: tuple[str, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    stored: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
