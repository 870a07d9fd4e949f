"""What there is to say of each method, as data: `methods` reads it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: What the options of a method may be.
Value = bool | int | float | str

GRADIENT, RELEVANCE, OUTPUTS = KINDS = ("gradient", "relevance", "black-box")


@dataclass(frozen=True)
class Option:
    """An option of a method.

    Attributes:
        default: Its value where nobody says; the type of all values is that of this one.
        about: What it decides, on one line.
        least: The smallest number that is allowed, or None.
        most: The largest number that is allowed, or None.
        choices: The texts that are allowed; any, where there are none.
        resolve: `module:function` of this package, which turns what the user wrote (a path, say)
            into what decides the maps. It runs in the user's process, and loads no torch.
    """

    default: Value
    about: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    resolve: str = ""


@dataclass(frozen=True)
class Entry:
    """What the table says of a method.

    Attributes:
        kind: One of `KINDS`.
        module: Of this package; its function of the method's name, with underscores, prepares it.
        about: What the maps are, on one line.
        source: Where the method was published.
        cost: Passes a probe, in words.
        signed: Whether its maps have both signs.
        options: By name.
        unfused: Fusions, of `graph.normalise.FUSIONS`, that it wants left out.
        draws: Whether it draws random numbers: maps depend on the seed.
        background: How many other probes it looks at, the first of the set; 0 for none.
    """

    kind: str
    module: str
    about: str
    source: str
    cost: str
    signed: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    unfused: frozenset[str] = frozenset()
    draws: bool = False
    background: int = 0


def _of_layers(composite: str) -> Mapping[str, Option]:
    """Returns the options of a method that has a rule for each layer."""
    return MappingProxyType(
        {
            "composite": Option(
                composite,
                "epsilon, epsilon-plus, epsilon-plus-flat, epsilon-alpha2-beta1, "
                "epsilon-gamma-box, or a TOML file",
                resolve="rules.composite_file:resolve",
            ),
            "epsilon": Option(1e-6, "of the ε-rules of a built-in composite", 0),
            "gamma": Option(0.25, "of the γ-rules of a built-in composite", 0),
        }
    )


_BASELINE = Option(
    "black",
    "black, white, grey, mean, blur, noise, or a file; several are joined by +",
    resolve="baseline_files:resolve",
)

_NOISE: Mapping[str, Option] = {
    "samples": Option(32, "probes with noise", 1, 4096),
    "noise": Option(0.15, "standard deviation, as a part of the range", 0.0, 10.0),
}

#: What black-box methods hide by.
_FILL = Option(
    "auto",
    "what hides: the mean of a probe (of each channel), or zero; auto: zero in arrays alone",
    choices=("auto", "mean", "zero"),
)

#: All methods, by name.
ENTRIES: Mapping[str, Entry] = {
    "saliency": Entry(
        kind=GRADIENT,
        module="gradients",
        about="|∂T/∂x| at the probe x",
        source="Simonyan et al. 2014",
        cost="1 forward, 1 backward",
        signed=False,
    ),
    "grad-input": Entry(
        kind=GRADIENT,
        module="gradients",
        about="z ⊙ ∂T/∂z, z what the model is fed",
        source="Shrikumar et al. 2016",
        cost="1 forward, 1 backward",
    ),
    "elrp": Entry(
        kind=GRADIENT,
        module="relevance",
        about="z ⊙ ∂ᵍT/∂z, five activations' derivatives replaced by f(z)/(z + ε·sign z)",
        source="Ancona et al. 2018; Song et al. 2019",
        cost="1 forward, 1 backward",
    ),
    "lrp": Entry(
        kind=RELEVANCE,
        module="lrp",
        about="layer-wise relevance propagation, by a composite of rules",
        source="Bach et al. 2015; Montavon et al. 2019",
        cost="1 to 3 forward, 1 to 2 backward, by the rules",
        options=_of_layers("epsilon-plus"),
    ),
    "attn-lrp": Entry(
        kind=RELEVANCE,
        module="lrp",
        about="relevance that goes through attention's weights and values, half each",
        source="Achtibat et al. 2024",
        cost="1 forward, 1 backward",
        options=_of_layers("epsilon"),
    ),
    "cp-lrp": Entry(
        kind=RELEVANCE,
        module="lrp",
        about="relevance that goes through attention's values, its weights held constant",
        source="Ali et al. 2022",
        cost="1 forward, 1 backward",
        options=_of_layers("epsilon"),
    ),
    "integrated-gradients": Entry(
        kind=GRADIENT,
        module="paths",
        about="(x − x₀) ⊙ ∫ ∂T/∂x from the baseline x₀ to x",
        source="Sundararajan et al. 2017",
        cost="steps forward, steps backward, for each baseline",
        options=MappingProxyType(
            {
                "steps": Option(32, "points on the way", 1, 1024),
                "baseline": _BASELINE,
            }
        ),
    ),
    "whitened": Entry(
        kind=GRADIENT,
        module="whitened",
        about="z ⊙ ∂T/∂z, T = ½‖u‖² of units that are whitened over probes and places",
        source="docs/audit.md",
        cost="1 forward, 1 backward; 1 forward of up to 64 probes",
        options=MappingProxyType(
            {"ridge": Option(0.01, "added to all variances, as a part of their mean", 1e-9, 1e9)}
        ),
        background=64,
    ),
    "expected-gradients": Entry(
        kind=GRADIENT,
        module="paths",
        about="the mean of integrated gradients over other probes as baselines, by sampling",
        source="Erion et al. 2021",
        cost="samples forward, samples backward",
        options=MappingProxyType(
            {"samples": Option(64, "pairs of another probe and a place on the way", 1, 4096)}
        ),
        draws=True,
        background=16,
    ),
    "smoothgrad": Entry(
        kind=GRADIENT,
        module="noise",
        about="|mean of ∂T/∂x at probes with noise|",
        source="Smilkov et al. 2017",
        cost="samples forward, samples backward",
        signed=False,
        options=MappingProxyType(
            {
                **_NOISE,
                "of": Option(
                    "saliency",
                    "what is made of the mean gradient",
                    choices=("saliency", "grad-input"),
                ),
            }
        ),
        draws=True,
    ),
    "vargrad": Entry(
        kind=GRADIENT,
        module="noise",
        about="the variance of ∂T/∂x at probes with noise",
        source="Adebayo et al. 2018",
        cost="samples forward, samples backward",
        signed=False,
        # One draw has no variance.
        options=MappingProxyType({**_NOISE, "samples": Option(32, "probes with noise", 2, 4096)}),
        draws=True,
    ),
    "deeplift": Entry(
        kind=GRADIENT,
        module="deeplift",
        about="(x − x₀) ⊙ m, m the multipliers of the rescale rule, x₀ the baseline",
        source="Shrikumar et al. 2017",
        cost="2 forward, 1 backward, for each baseline",
        options=MappingProxyType({"baseline": _BASELINE}),
    ),
    "guided-backprop": Entry(
        kind=GRADIENT,
        module="guided",
        about="∂T/∂x through rectifiers that pass back what is positive; fails sanity checks",
        source="Springenberg et al. 2015",
        cost="1 forward, 1 backward",
    ),
    "grad-cam": Entry(
        kind=GRADIENT,
        module="cam",
        about="channels of an inner tensor, weighted by their gradients, over the probe",
        source="Selvaraju et al. 2017",
        cost="1 forward, 1 backward to the tensor",
        options=MappingProxyType(
            {
                "layer": Option("last", "`last`, `bottleneck`, or the name of a tensor"),
                "of": Option(
                    "grad-cam",
                    "a weight a channel, or a gradient at each place",
                    choices=("grad-cam", "grad-input"),
                ),
            }
        ),
        # A tensor within a fusion is no tensor of its own.
        unfused=frozenset(
            {
                *("batch-norm", "gelu", "layer-norm", "attention", "linear", "swish", "mish"),
                *("hard-swish", "bounds", "affine"),
            }
        ),
    ),
    "occlusion": Entry(
        kind=OUTPUTS,
        module="occlusion",
        about="T(x) − T(x with a patch hidden)",
        source="Zeiler & Fergus 2014",
        cost="1 + grid² forward",
        options=MappingProxyType(
            {
                "grid": Option(8, "cells a side, at each of which a patch begins", 1, 64),
                "span": Option(1, "cells a side that a patch takes", 1, 64),
                "fill": _FILL,
            }
        ),
    ),
    "rise": Entry(
        kind=OUTPUTS,
        module="rise",
        about="mean of T over random masks that keep a place, less that over all of them",
        source="Petsiuk et al. 2018",
        cost="`masks` forward",
        options=MappingProxyType(
            {
                "masks": Option(1000, "random masks", 1, 1_000_000),
                "grid": Option(7, "cells a side of a mask before it is upsampled", 1, 64),
                "p": Option(0.5, "probability that a cell is kept", 0.01, 0.99),
                "fill": _FILL,
                "centre": Option(True, "take away the mean of T; false is the paper's own formula"),
            }
        ),
        draws=True,
    ),
    "kernel-shap": Entry(
        kind=OUTPUTS,
        module="kernel_shap",
        about="Shapley values of the cells of a grid, by weighted least squares",
        source="Lundberg & Lee 2017",
        cost="2 + `samples` forward",
        options=MappingProxyType(
            {
                "grid": Option(7, "cells a side", 1, 16),
                "samples": Option(1000, "coalitions of cells", 2, 65536),
                "fill": _FILL,
            }
        ),
        draws=True,
    ),
}
