"""The measures by name: what each needs, and how it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxattr.arrays import Float64
from onnxattr.registry import Registry
from onnxattr.space.measures import (
    attribution,
    cka,
    dds,
    depara,
    modelgif,
    predictability,
    rsa,
    svcca,
)
from onnxattr.space.measures.evidence import FIELD, MAPS, OUTPUTS, REPRESENTATION, Evidence

#: How the number that a probe gets came about: its own value; what the measure loses without it
#: (jackknife); how the measure changes with its weight (influence).
EXACT, JACKKNIFE, INFLUENCE = "exact", "jackknife", "influence"


@dataclass(frozen=True)
class Measure:
    """One way to compare a source with a target.

    Attributes:
        needs: Parts of the evidence that it cannot do without.
        directed: Whether source and target may not change places.
        spread: Where the numbers of the probes come from: `exact`, `jackknife` or `influence`.
        least: Probes at least.
        prepare: From the evidence of one model to what `compare` takes of it. Options of a measure
            are its keyword arguments.
        compare: From a source and a target to one number a probe; the mean of those that are not
            NaN is the measure, and there is none without; higher is nearer.
        about: What it says, in one line.
        uses: Parts that it takes where they are given.
        release: Lets go of what was computed of a source, if that is much.
    """

    needs: tuple[str, ...]
    directed: bool
    spread: str
    least: int
    prepare: Callable[..., Any]
    compare: Callable[[Any, Any], Float64]
    about: str
    uses: tuple[str, ...] = ()
    release: Callable[[Any], None] | None = None

    def __call__(self, source: Evidence, target: Evidence, **options: Any) -> Float64:
        """Returns the measure of two models, one number a probe, [probe]."""
        return self.compare(self.prepare(source, **options), self.prepare(target, **options))


#: `ensemble` is none of these: it is made of the others, for all models at once.
MEASURES: Mapping[str, Measure] = Registry(
    "measure",
    {
        "attribution": Measure(
            (MAPS,), False, EXACT, 1, attribution.prepare, attribution.compare,
            "cosine of the attribution maps (Song et al. 2019)",
        ),
        "predictability": Measure(
            (REPRESENTATION,), True, INFLUENCE, 5, predictability.prepare, predictability.compare,
            "how well the source predicts the target's representation and outputs",
            uses=(OUTPUTS,),
            release=predictability.release,
        ),
        "predictability-representation": Measure(
            (REPRESENTATION,), True, INFLUENCE, 5,
            predictability.prepare, predictability.of_representation,
            "how well the source predicts the target's representation",
            release=predictability.release,
        ),
        "predictability-outputs": Measure(
            (REPRESENTATION, OUTPUTS), True, INFLUENCE, 5,
            predictability.prepare, predictability.of_outputs,
            "how well the source predicts the target's outputs",
            release=predictability.release,
        ),
        "cka": Measure(
            (REPRESENTATION,), False, JACKKNIFE, 5, cka.prepare, cka.compare,
            "linear centred kernel alignment, unbiased (Kornblith et al. 2019)",
        ),
        "svcca": Measure(
            (REPRESENTATION,), False, INFLUENCE, 4, svcca.prepare, svcca.compare,
            "mean canonical correlation of the main directions (Raghu et al. 2017)",
        ),
        "rsa": Measure(
            (REPRESENTATION,), False, JACKKNIFE, 4, rsa.prepare, rsa.compare,
            "whether the same probes are alike to both (Dwivedi & Roig 2019)",
        ),
        "dds": Measure(
            (REPRESENTATION,), False, JACKKNIFE, 5, dds.prepare, dds.compare,
            "duality diagram similarity, z-scores and Pearson (Dwivedi et al. 2020)",
        ),
        "depara": Measure(
            (MAPS, REPRESENTATION), False, JACKKNIFE, 4, depara.prepare, depara.compare,
            "maps and the likeness of probes (Song et al. 2020)",
        ),
        "modelgif": Measure(
            (FIELD,), False, EXACT, 1, modelgif.prepare, modelgif.compare,
            "gradient fields between probes (Song et al. 2023)",
        ),
    },
)  # fmt: skip
