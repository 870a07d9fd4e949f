"""The measures by name: what each needs, and where it is computed.

Importing this loads no numpy, so that names can be listed and refused before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxattr.registry import Registry

if TYPE_CHECKING:
    from onnxattr.arrays import Float64
    from onnxattr.space.measures.evidence import Evidence

#: What a measure may need of a model.
MAPS, REPRESENTATION, OUTPUTS, FIELD = PARTS = ("maps", "representation", "outputs", "field")

#: How the number that a probe gets came about: its own value; what the measure loses without it
#: (jackknife); how the measure changes with its weight (influence).
EXACT, JACKKNIFE, INFLUENCE = "exact", "jackknife", "influence"


@dataclass(frozen=True)
class Measure:
    """One way to compare a source with a target.

    Attributes:
        module: Of this package; it has `prepare`, and may have `release`.
        function: That compares, in the module.
        needs: Parts of the evidence that it cannot do without.
        uses: Parts that it takes where they are given.
        directed: Whether source and target may not change places.
        spread: Where the numbers of the probes come from: `exact`, `jackknife` or `influence`.
        least: Probes at least.
        about: What it says, in one line.
    """

    module: str
    needs: tuple[str, ...]
    spread: str
    least: int
    about: str
    function: str = "compare"
    directed: bool = False
    uses: tuple[str, ...] = ()

    @property
    def prepare(self) -> Callable[..., Any]:
        """From the evidence of one model to what `compare` takes of it.

        Options of a measure are its keyword arguments.
        """
        prepare: Callable[..., Any] = self._find("prepare")
        return prepare

    @property
    def compare(self) -> Callable[[Any, Any], Float64]:
        """From a source and a target to one number a probe, [probe].

        The mean of those that are not NaN is the measure, and there is none without; higher is
        nearer.
        """
        compare: Callable[[Any, Any], Float64] = self._find(self.function)
        return compare

    @property
    def release(self) -> Callable[[Any], None] | None:
        """Lets go of what was computed of a source, if that is much; else None."""
        release: Callable[[Any], None] | None = self._find("release")
        return release

    def __call__(self, source: Evidence, target: Evidence, **options: Any) -> Float64:
        """Returns the measure of two models, one number a probe, [probe]."""
        return self.compare(self.prepare(source, **options), self.prepare(target, **options))

    def _find(self, name: str) -> Any:
        return getattr(import_module(f"onnxattr.space.measures.{self.module}"), name, None)


#: The name under which a combination is asked for; see `ensemble`.
ENSEMBLE = "ensemble"

#: `ensemble` is none of these: it is made of the others, for all models at once; see `all_pairs`.
MEASURES: Mapping[str, Measure] = Registry(
    "measure",
    {
        "attribution": Measure(
            "attribution",
            (MAPS,),
            EXACT,
            1,
            "cosine of the attribution maps (Song et al. 2019)",
        ),
        "predictability": Measure(
            "predictability",
            (REPRESENTATION,),
            INFLUENCE,
            5,
            "how well the source predicts the target's representation and outputs",
            directed=True,
            uses=(OUTPUTS,),
        ),
        "predictability-representation": Measure(
            "predictability",
            (REPRESENTATION,),
            INFLUENCE,
            5,
            "how well the source predicts the target's representation",
            function="of_representation",
            directed=True,
        ),
        "predictability-outputs": Measure(
            "predictability",
            (REPRESENTATION, OUTPUTS),
            INFLUENCE,
            5,
            "how well the source predicts the target's outputs",
            function="of_outputs",
            directed=True,
        ),
        "cka": Measure(
            "cka",
            (REPRESENTATION,),
            JACKKNIFE,
            5,
            "linear centred kernel alignment, unbiased (Kornblith et al. 2019)",
        ),
        "svcca": Measure(
            "svcca",
            (REPRESENTATION,),
            INFLUENCE,
            4,
            "mean canonical correlation of the main directions (Raghu et al. 2017)",
        ),
        "rsa": Measure(
            "rsa",
            (REPRESENTATION,),
            JACKKNIFE,
            4,
            "whether the same probes are alike to both (Dwivedi & Roig 2019)",
        ),
        "dds": Measure(
            "dds",
            (REPRESENTATION,),
            JACKKNIFE,
            5,
            "duality diagram similarity, z-scores and Pearson (Dwivedi et al. 2020)",
        ),
        "depara": Measure(
            "depara",
            (MAPS, REPRESENTATION),
            JACKKNIFE,
            4,
            "maps and the likeness of probes (Song et al. 2020)",
        ),
        "modelgif": Measure(
            "modelgif",
            (FIELD,),
            EXACT,
            2,
            "gradient fields between probes (Song et al. 2023)",
        ),
    },
)

#: All by their names, but for the parts of `predictability`, which are measures, too.
WHOLE_MEASURES = (*(name for name in MEASURES if "-" not in name), ENSEMBLE)
