"""Layer-wise relevance propagation, and its forms for transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnxattr.attribution.gradients import forward, gradient
from onnxattr.attribution.rules.apply import ATTN_LRP, CP, with_rules
from onnxattr.attribution.rules.composite_file import composite as composite_of
from onnxattr.attribution.rules.composites import Composite
from onnxattr.attribution.rules.multipliers import nonzero
from onnxattr.attribution.setting import Setting

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain


def lrp(setting: Setting, *, composite: str, epsilon: float, gamma: float) -> Explain:
    """Prepares layer-wise relevance propagation: R = z ⊙ c, averaged over the channels.

    z is what the model is fed, or the embedding of token ids, and R is shared out from T by one
    rule a layer (Bach et al. 2015; Montavon et al. 2019); the composite says which. Between layers
    relevance goes by contribution: where branches meet, by what each adds; a gate, a divisor and a
    standard deviation take none; of an elementwise f it is c = (f(z) − f(0))/z. Relevance of biases
    stays with them. T seeds c with ∂T/∂u at the units u: of the sum that is LRP from the units'
    own values.

    Args:
        setting: The network, and T.
        composite: A built-in composite (`rules.composites`), or the text of another one
            (`rules.composite_file`).
        epsilon: Of the ε-rules of a built-in composite, 0 or more; 0 is LRP-0.
        gamma: Of its γ-rules, 0 or more.

    Raises:
        SupportError: Operators have no rule.
        UsageError: There is no such composite.
    """
    return _relevance(setting, composite_of(composite, epsilon=epsilon, gamma=gamma), CP)


def attn_lrp(setting: Setting, *, composite: str, epsilon: float, gamma: float) -> Explain:
    """Prepares AttnLRP (Achtibat et al. 2024): relevance also goes through attention's weights.

    A product of two activations gives half of its relevance to each (prop. 3.3), softmax has its
    true gradient for multiplier, x ⊙ ∂ (prop. 3.1), a normalisation's standard deviation takes none
    (prop. 3.4). Softmax sheds relevance, so that the map's sum is not T.

    Args:
        setting: The network, and T.
        composite: As of `lrp`. In the paper it is ε for language, and γ for vision.
        epsilon: As of `lrp`.
        gamma: As of `lrp`.

    Raises:
        SupportError: Operators have no rule.
        UsageError: There is no such composite.
    """
    return _relevance(setting, composite_of(composite, epsilon=epsilon, gamma=gamma), ATTN_LRP)


def cp_lrp(setting: Setting, *, composite: str, epsilon: float, gamma: float) -> Explain:
    """Prepares CP-LRP (Ali et al. 2022): attention's weights are constants, as gates are.

    Relevance goes through the values alone (eq. 9), and a normalisation's standard deviation takes
    none (eq. 10): it is conserved.

    Args:
        setting: The network, and T.
        composite: As of `lrp`.
        epsilon: As of `lrp`.
        gamma: As of `lrp`.

    Raises:
        SupportError: Operators have no rule.
        UsageError: There is no such composite.
    """
    return _relevance(setting, composite_of(composite, epsilon=epsilon, gamma=gamma), CP)


def _relevance(setting: Setting, composite: Composite, attention: str) -> Explain:
    feed, network = setting.feed, setting.network
    module = with_rules(network, composite, attention=attention)

    def explain(probes: torch.Tensor) -> torch.Tensor:
        fed, units = forward(network, module, probes, fed=True)
        relevance = nonzero(fed.detach()) * gradient(network, units, fed, setting.target)
        return feed.to_map(feed.to_canonical(relevance))

    return explain
