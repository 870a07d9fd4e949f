"""Composites: which rule each layer gets, as ordered data. No torch.

A composite is a list of choices, and the first one that fits a layer decides. Layers are called by
their ONNX operator, so models of all frameworks go through the same list. Those that are not built
in are TOML; see `composite_file`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnxattr.registry import Registry

#: Operators that take weights, as composites call them.
CONVOLUTIONS, DENSE = ("Conv", "ConvTranspose"), ("Gemm", "MatMul")
LAYERS = CONVOLUTIONS + DENSE

#: ε of denominators, but for that of a rule `epsilon`: Zennit's.
STABILIZER = 1e-6

#: Rules whose relevance does not go by the input: of an input that is 0 it is not 0. In the middle
#: of a network it would be lost there, so they are for first layers alone.
ABSOLUTE = frozenset({"flat", "w-square", "z-box", "pass"})

#: An option of a rule: a number, one number a channel, or nothing.
Value = float | tuple[float, ...] | None

#: Rules of layers, each with its options and their defaults.
RULES: Registry[Mapping[str, Value]] = Registry(
    "rule",
    {
        "epsilon": {"epsilon": 1e-6},
        "gamma": {"gamma": 0.25, "stabilizer": STABILIZER},
        "z-plus": {"stabilizer": STABILIZER},
        "alpha-beta": {"alpha": 2.0, "beta": 1.0, "stabilizer": STABILIZER},
        "flat": {"stabilizer": STABILIZER},
        "w-square": {"stabilizer": STABILIZER},
        "z-box": {"low": None, "high": None, "stabilizer": STABILIZER},
        "pass": {},
    },
)


@dataclass(frozen=True)
class LayerRule:
    """A rule of layers, with its options.

    Attributes:
        name: One of `RULES`.
        options: Those of the rule, all of them.
    """

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)


def layer_rule(name: str, **options: Value) -> LayerRule:
    """Returns a rule with its options, the defaults filled in.

    Raises:
        UsageError: There is no such rule.
    """
    return LayerRule(name, {**RULES[name], **options})


#: What a layer gets that no choice fits: its gradient, which is LRP-0.
PLAIN = layer_rule("epsilon", epsilon=0.0)


@dataclass(frozen=True)
class Choice:
    """Layers, and the rule that they get.

    Attributes:
        operators: As composites call them.
        rule: What they get.
        first: Only those without another layer before them.
    """

    operators: tuple[str, ...]
    rule: LayerRule
    first: bool = False


@dataclass(frozen=True)
class Composite:
    """An ordered list of choices."""

    choices: tuple[Choice, ...]

    def rule(self, operator: str, *, first: bool) -> LayerRule:
        """Returns the rule of a layer: that of the first choice that fits it."""
        fitting = (c for c in self.choices if operator in c.operators and (first or not c.first))
        return next((choice.rule for choice in fitting), PLAIN)


def _epsilon(epsilon: float, gamma: float) -> list[Choice]:
    return [Choice(LAYERS, layer_rule("epsilon", epsilon=epsilon))]


def _epsilon_plus(epsilon: float, gamma: float) -> list[Choice]:
    return [Choice(CONVOLUTIONS, layer_rule("z-plus")), *_epsilon(epsilon, gamma)]


def _epsilon_plus_flat(epsilon: float, gamma: float) -> list[Choice]:
    return [Choice(LAYERS, layer_rule("flat"), first=True), *_epsilon_plus(epsilon, gamma)]


def _epsilon_alpha2_beta1(epsilon: float, gamma: float) -> list[Choice]:
    rule = layer_rule("alpha-beta", alpha=2.0, beta=1.0)
    return [Choice(CONVOLUTIONS, rule), *_epsilon(epsilon, gamma)]


def _epsilon_gamma_box(epsilon: float, gamma: float) -> list[Choice]:
    return [
        Choice(CONVOLUTIONS, layer_rule("z-box"), first=True),
        Choice(CONVOLUTIONS, layer_rule("gamma", gamma=gamma)),
        *_epsilon(epsilon, gamma),
    ]


#: As Zennit has them (Anders et al. 2021; Kohlbrenner et al. 2020).
COMPOSITES: Registry[Callable[[float, float], list[Choice]]] = Registry(
    "composite",
    {
        "epsilon": _epsilon,
        "epsilon-plus": _epsilon_plus,
        "epsilon-plus-flat": _epsilon_plus_flat,
        "epsilon-alpha2-beta1": _epsilon_alpha2_beta1,
        "epsilon-gamma-box": _epsilon_gamma_box,
    },
)


def built_in(name: str, *, epsilon: float = 1e-6, gamma: float = 0.25) -> Composite:
    """Returns a built-in composite.

    Args:
        name: One of `COMPOSITES`.
        epsilon: Of its ε-rules, 0 or more.
        gamma: Of its γ-rules, 0 or more.

    Raises:
        UsageError: There is no such composite.
    """
    return Composite(tuple(COMPOSITES[name](epsilon, gamma)))
