"""How alike models are, and the rankings made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxattr.types.maps import Summary
from onnxattr.types.models import Failure
from onnxattr.types.showing import Shown

if TYPE_CHECKING:
    from onnxattr.arrays import Float64
    from onnxattr.types.galleries import Gallery
    from onnxattr.types.space import Layout


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines between the maps of every two models.

    Attributes:
        names: One a model.
        matrix: float64, [model, model]: mean cosine over the probes, -1..1; NaN where the two
            models share no probe with a usable map.
        per_probe: float64, [model, model, probe]; NaN where a map is zero or not finite.
        centred: Whether each model's mean map was removed first.
        canvas: (height, width) in pixels on which the maps of images met; of others, their shape.
        unusable: Probes without a usable map, one count a model.
    """

    names: tuple[str, ...]
    matrix: Float64
    per_probe: Float64
    centred: bool
    canvas: tuple[int, ...]
    unusable: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pairs:
    """One measure of every source and target.

    Attributes:
        measure: Its name.
        names: One a model; sources and targets are the same models.
        matrix: float64, [source, target], higher is nearer; NaN where there is none, as where only
            one target was asked for.
        per_probe: float64, [source, target, probe]: numbers whose mean is the measure.
        directed: Whether source and target may not change places.
    """

    measure: str
    names: tuple[str, ...]
    matrix: Float64
    per_probe: Float64
    directed: bool


@dataclass(frozen=True)
class Score:
    """What one measure says of a source.

    Attributes:
        value: The measure; higher is nearer.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        rank: Among the sources, by this measure; 1 is closest.
        tied: Whether another source shares the rank.
    """

    value: float
    low: float
    high: float
    rank: int
    tied: bool


@dataclass(frozen=True)
class PairScore:
    """What one measure says of two models, in one direction.

    Attributes:
        measure: Its name.
        source: Name of the model that is transferred from; of a measure without direction, of
            either.
        target: Name of the other.
        directed: Whether source and target may not change places.
        value: The measure; higher is nearer.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
    """

    measure: str
    source: str
    target: str
    directed: bool
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Source:
    """One row of a ranking: a possible source of a transfer to the target.

    Attributes:
        name: The source model.
        rank: By the first measure. 1 is closest; sources that the probes cannot tell apart share a
            rank.
        tied: Whether another source shares the rank.
        similarity: The first measure: by default the mean cosine over the probes, -1..1.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        distance: The paper's N / Σ cos, 1 or more, where maps are not centred and the sum is
            positive; None elsewhere.
        duplicate: Whether the source is the same file as the target, byte for byte.
        measures: What each measure says, by name, the first one too; not of those that say nothing.
        disputed: Whether two measures disagree: of the places that a source may have among the
            sources by one (several where it shares a rank), it has none by another.
    """

    name: str
    rank: int
    tied: bool
    similarity: float
    low: float
    high: float
    distance: float | None
    duplicate: bool
    measures: Mapping[str, Score] = field(default_factory=dict)
    disputed: bool = False


@dataclass(frozen=True)
class Target:
    """A target model and its sources, closest first; the target itself is not among them.

    Attributes:
        name: The model.
        sources: The others.
        probabilities: Where one target was asked for: how often, over resampled probes, each source
            takes each place by the first measure, [source, place]; rows and columns sum to 1.
    """

    name: str
    sources: tuple[Source, ...]
    probabilities: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Assumption:
    """What becomes of a ranking if something that was assumed of a model is otherwise.

    Attributes:
        model: Its name.
        part: What was assumed, such as `range`.
        value: What it was taken to be instead.
        changes: In words, targets whose closest source is another then; none if all stay.
        failure: Why the model cannot be used that way, or an empty string.
    """

    model: str
    part: str
    value: str
    changes: tuple[str, ...]
    failure: str


@dataclass(frozen=True)
class Stability:
    """How alike two orders of sources are that were made in two ways.

    Attributes:
        what: The other way: so many other probes, as `8 probes`, or the name of another measure.
        measure: The measure of the one way; of both, where probes are others.
        spearman: Spearman's ρ of both orders, the mean over targets and draws, -1..1.
        same_first: How often both have the same closest source, 0..1.
    """

    what: str
    measure: str
    spearman: float
    same_first: float


@dataclass(frozen=True, eq=False)
class Ranking(Shown):
    """The outcome of `rank`.

    Attributes:
        targets: One for each target asked for, in the order of the models.
        models: What is to be said of each ranked model.
        failures: Models and probes that were left out.
        similarity: The cosines of the models' maps.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        unfinished: Models that were not reached before an interruption. The ranking is partial
            where there are any.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
        assumptions: What was found when assumptions were checked; empty where they were not.
        measures: Each measure of all pairs; the first one orders the sources.
        stability: How far the order depends on the probes, and on the measure.
        layout: The same models as a tree and as points, for figures; None of fewer than three
            models, of more than are drawn, or where two have no similarity.
        gallery: A few maps of them, small, for figures; None where they cannot be drawn.
    """

    targets: tuple[Target, ...]
    models: tuple[Summary, ...]
    failures: tuple[Failure, ...]
    similarity: Similarity
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    unfinished: tuple[str, ...]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]
    assumptions: tuple[Assumption, ...] = ()
    measures: tuple[Pairs, ...] = ()
    stability: tuple[Stability, ...] = ()
    layout: Layout | None = None
    gallery: Gallery | None = None


@dataclass(frozen=True)
class ProbeCosine:
    """How alike two models' maps are on one probe: -1..1."""

    name: str
    cosine: float


@dataclass(frozen=True, eq=False)
class Comparison(Shown):
    """The outcome of `compare`.

    Attributes:
        models: The two.
        similarity: Mean cosine over the probes, -1..1.
        low: Lower end of the bootstrap interval.
        high: Upper end of the bootstrap interval.
        distance: As in `Source`.
        duplicate: Whether both are the same file, byte for byte.
        probes: All probes with a cosine, most alike first.
        failures: Probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
        measures: What each measure says, a directed one of both directions.
        gallery: Maps of both on the probes on which they are most and least alike, small, for
            figures; None where they cannot be drawn.
    """

    models: tuple[Summary, Summary]
    similarity: float
    low: float
    high: float
    distance: float | None
    duplicate: bool
    probes: tuple[ProbeCosine, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]
    measures: tuple[PairScore, ...] = ()
    gallery: Gallery | None = None
