"""What an audit says of one model, and of what it may be derived from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxattr.types.models import Failure, GradientCheck, InputSpec, Parity, Representation
from onnxattr.types.rankings import Target
from onnxattr.types.showing import Shown
from onnxattr.types.weights import Identity, WeightFinding, WeightMatch

if TYPE_CHECKING:
    from onnxattr.types.galleries import Gallery
    from onnxattr.types.maps import Summary

#: What a verdict may be, the strongest first.
VERDICTS = IDENTICAL, DERIVED, CLOSER, INDEPENDENT, UNDECIDABLE = (
    "identical",
    "weight-derived",
    "behaviourally closer than independent models",
    "consistent with independent",
    "undecidable",
)


@dataclass(frozen=True)
class Finding:
    """Something of a file that its reader must know.

    Attributes:
        kind: What it is, in a word or two: `external data`, `suspicious name`, …
        text: What was found.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Suspect:
    """The audited model: what its file is, and whether it runs as it says.

    Attributes:
        name: The model.
        path: The file as it was given.
        identity: What the file is; None where it cannot be read.
        inputs: Name and shape of each input, as text.
        outputs: Name and shape of each output, as text.
        findings: What was found while it was loaded and converted.
        spec: How probes are fed to it; None where no input fits.
        representation: What is attributed and compared; None where nothing fits.
        parity: Distance from ONNX Runtime; None where the model is not converted.
        gradient: Distance of the gradient from finite differences through ONNX Runtime.
        deterministic: Whether two runs through ONNX Runtime gave the same bits; None where it was
            not run.
    """

    name: str
    path: str
    identity: Identity | None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    spec: InputSpec | None = None
    representation: Representation | None = None
    parity: Parity | None = None
    gradient: GradientCheck | None = None
    deterministic: bool | None = None


@dataclass(frozen=True)
class Otherwise:
    """What becomes of the suspect if it is fed in another way than it is by itself.

    Attributes:
        fed: The way in words: `BGR, 0 to 255`; '' for its own.
        kept: Whether the same probes are alike to it as to itself in its own way: RSA, −1..1. Near
            1 the way makes no difference. NaN where it says nothing.
        nearest: The reference that it is most like in that way; '' where none is known.
        likeness: RSA with that one, −1..1.
    """

    fed: str
    kept: float
    nearest: str
    likeness: float


@dataclass(frozen=True)
class BehaviourEvidence:
    """One measure of the suspect and one reference, against independent models of the same task.

    Attributes:
        measure: Its name, of `lineage.behaviour.MEASURES`, or `combined`.
        value: What it says of the two; 1 is the same, up to what the measure does not see.
        baseline: The best of what it says of the reference and an independent model; NaN where
            there is none.
        headroom: (value − baseline) / (1 − baseline): how much of what is left above independent
            models is reached. 1 is the same, 0 and less no closer than they are.
        decides: Whether the verdict hangs on it.
    """

    measure: str
    value: float
    baseline: float
    headroom: float
    decides: bool = True


@dataclass(frozen=True)
class Relation:
    """What is known of the suspect and one reference.

    Attributes:
        reference: Name of the reference.
        identical: By what the two are the same: `file`, `weights` or `function`; '' where not.
        match: How the weights agree; None where they were not compared.
        finding: What is concluded from that; None likewise.
        behaviour: What each measure says, in the order of `MEASURES`.
        score: All measures that decide, in one number: see `lineage.behaviour.combined`. NaN where
            there are no independent models of the reference's task.
        p: Conformal p-value of the score; NaN likewise.
        floor: The least that p could be, 1 / (n + 1) with n comparisons of independent models.
        twins: Names of the independent models that count for this reference.
        fed: How the suspect was fed in this comparison, in words.
    """

    reference: str
    identical: str = ""
    match: WeightMatch | None = None
    finding: WeightFinding | None = None
    behaviour: tuple[BehaviourEvidence, ...] = ()
    score: float = float("nan")
    p: float = float("nan")
    floor: float = 1.0
    twins: tuple[str, ...] = ()
    fed: str = ""


@dataclass(frozen=True)
class Twin:
    """A model that was given as independent, and what became of it.

    Attributes:
        name: The model.
        reference: The reference whose task it shares; '' where it is not used.
        likeness: How alike the two are, by RSA, -1..1: see `lineage.twins.likeness`.
        reason: Why it is not used, or ''.
    """

    name: str
    reference: str
    likeness: float
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What an audit comes to.

    Attributes:
        kind: One of `VERDICTS`.
        reference: The reference that it is about; '' where it is about none.
        reasons: The evidence in words, a line each, the strongest first.
        p: Conformal p-value of the behaviour; NaN where there is none.
        floor: The least that p could be.
        caveats: What the verdict does not say, and what weakens it, a line each.
    """

    kind: str
    reference: str
    reasons: tuple[str, ...]
    p: float
    floor: float
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """A condition that a policy forbids, and whether it is met.

    Attributes:
        text: As it was given: `derived`, `similarity>0.9`.
        crossed: Whether the audit fails by it.
        reason: What was found, in words.
    """

    text: str
    crossed: bool
    reason: str


@dataclass(frozen=True, eq=False)
class Audit(Shown):
    """The outcome of `audit`.

    Attributes:
        suspect: What the file is.
        verdict: What the audit comes to.
        relations: What is known of the suspect and each reference, the closest first.
        twins: What became of the models that were given as independent.
        nearest: The references as the suspect's nearest known models, by each measure of a ranking.
        sensitivity: How much of this hangs on how the suspect is fed: a way each, its own first;
            nothing where other ways were not tried.
        gates: The policy's conditions.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        seconds: Wall time of the parts.
        unfinished: Models that were not reached before an interruption.
        models: What is to be said of the suspect and the references that have maps, the suspect
            first, then the closest.
        stored: Those of them whose maps were all in the store.
        gallery: A few of their maps, small, for figures; None where they cannot be drawn, or the
            suspect has none.
    """

    suspect: Suspect
    verdict: Verdict
    relations: tuple[Relation, ...]
    twins: tuple[Twin, ...]
    nearest: Target | None
    sensitivity: tuple[Otherwise, ...]
    gates: tuple[Gate, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    unfinished: tuple[str, ...] = field(default=())
    models: tuple[Summary, ...] = ()
    stored: tuple[str, ...] = ()
    gallery: Gallery | None = None
