"""Rules of attention: its weights gate the values, or share the relevance with them.

By CP-LRP queries and keys bear nothing (Ali et al. 2022, section 3.1). By AttnLRP a product of two
activations gives each a half, and the softmax keeps its true gradient (Achtibat et al. 2024,
propositions 3.1 and 3.3): the values have one half of it, the scores the other, of which queries
and keys have a half each. All of these are factors, so that the fused kernel serves either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from onnxattr.attribution.rules.parts import held, share
from onnxattr.attribution.rules.table import Function, Rule, Site, row, rule
from onnxattr.errors import SupportError

#: What an input is of an attention.
_QUERY, _ADDED, _VALUE = range(3)

#: In how many parts AttnLRP cuts its gradient.
_PARTS = {_QUERY: 4, _ADDED: 2, _VALUE: 2}


def _taken(site: Site, value: Any, what: int) -> Any:
    """Returns an input of attention with its part of the relevance."""
    if site.attention == "attn-lrp":
        return share(value, _PARTS[what])
    return value if what == _VALUE else held(value)


def _of_inputs(inputs: Mapping[int, int], separate: bool = False) -> Rule:
    """Returns the rule of an attention that takes queries, keys and values by position.

    Args:
        inputs: What they are; those that are not there are held.
        separate: Whether keys and values might also come inside the queries, and must not.
    """

    def rule(site: Site) -> Function:
        def compute(*arguments: Any) -> Any:
            if separate and any(value is None for value in arguments[:3]):
                raise SupportError("an attention whose queries, keys and values are one tensor")
            taken = [
                _taken(site, value, inputs[i]) if i in inputs else held(value)
                for i, value in enumerate(arguments)
            ]
            return site.function(*taken)

        return compute

    return rule


_QKV = {0: _QUERY, 1: _QUERY, 2: _VALUE}
row("FusedAttention", signal=(0, 1, 2, 3), rule=_of_inputs(_QKV | {3: _ADDED}))
row(
    "Attention",
    signal=(0, 1, 2, 3, 4, 5),
    rule=_of_inputs(_QKV | {3: _ADDED, 4: _QUERY, 5: _VALUE}),
)
row(
    "com.microsoft.GroupQueryAttention",
    signal=(0, 1, 2, 3, 4),
    rule=_of_inputs(_QKV | {3: _QUERY, 4: _VALUE}, separate=True),
)


@rule("com.microsoft.MultiHeadAttention", signal=(0, 1, 2, 3, 5, 6, 7))
def _multi_head_attention(site: Site) -> Function:
    """Its bias, that of queries, keys and values one after another, is added before."""
    attend = _of_inputs(_QKV | {5: _ADDED, 6: _QUERY, 7: _VALUE}, separate=True)(site)

    def compute(
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        *rest: Any,
    ) -> Any:
        if bias is not None and key is not None and value is not None:
            width = query.shape[-1]
            query = query + bias[:width]
            if key.ndim == 3:
                key, value = key + bias[width : 2 * width], value + bias[2 * width :]
        return attend(query, key, value, None, *rest)

    return compute


@rule("com.microsoft.Attention", signal=(0, 2, 4, 5))
def _attention_of_one_input(site: Site) -> Function:
    """Queries, keys and values are one product with stored weights, which has no other rule."""
    sizes = site.call.attributes.get("qkv_hidden_sizes") or ()

    def compute(
        x: torch.Tensor,
        weights: torch.Tensor,
        bias: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        past: torch.Tensor | None = None,
        added: torch.Tensor | None = None,
        *rest: Any,
    ) -> Any:
        # Two copies of the input, of which the values see one, and queries and keys the other.
        width, columns = weights.shape
        split = sum(sizes[:2]) if sizes else columns // 3 * 2
        kinds = (_QUERY, _VALUE)
        both = torch.cat([_taken(site, x, kind) for kind in kinds], -1)
        apart = weights.new_zeros(2 * width, columns)
        apart[:width, :split] = weights.detach()[:, :split]
        apart[width:, split:] = weights.detach()[:, split:]
        if bias is not None:
            pair = zip(kinds, (bias[:split], bias[split:]), strict=True)
            bias = torch.cat([_taken(site, part, kind) for kind, part in pair])
        if past is not None:
            past = torch.stack([_taken(site, p, k) for k, p in zip(kinds, past, strict=True)])
        added = _taken(site, added, _ADDED)
        return site.function(both, apart, bias, held(mask), past, added, *map(held, rest))

    return compute
