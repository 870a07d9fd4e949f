"""Counts of the short sequences of integers that a row holds."""

from collections.abc import Sequence

import torch

from onnxattr.convert.ops.table import operator
from onnxattr.errors import SupportError


@operator("TfIdfVectorizer", 9, gradient=False)
def _tf_idf(
    x: torch.Tensor,
    *,
    mode: str,
    max_gram_length: int,
    min_gram_length: int,
    max_skip_count: int,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] = (),
    pool_strings: Sequence[str] = (),
    weights: Sequence[float] = (),
) -> torch.Tensor:
    if pool_strings:
        raise SupportError("strings")
    rows = x.to(torch.int64).reshape(-1, x.shape[-1])
    counts = x.new_zeros(len(rows), len(ngram_indexes), dtype=torch.float32)
    first = 0
    for length, (start, end) in enumerate(
        zip(ngram_counts, [*ngram_counts[1:], len(pool_int64s)], strict=True), 1
    ):
        number = (end - start) // length
        if min_gram_length <= length <= max_gram_length and number:
            pool = torch.tensor(pool_int64s[start:end], device=x.device).reshape(number, length)
            # A single number has nothing to skip.
            for step in range(1, max_skip_count + 2) if length > 1 else (1,):
                counts[:, first : first + number] += _found(rows, pool, step)
        first += number
    if mode == "IDF":
        counts = counts.clamp(max=1.0)
    if mode != "TF" and weights:
        counts = counts * torch.tensor(weights, dtype=torch.float32, device=x.device)
    places = torch.tensor(ngram_indexes, device=x.device)
    result = counts.new_zeros(len(rows), max(ngram_indexes) + 1).index_add(1, places, counts)
    return result.reshape(*x.shape[:-1], -1)


def _found(rows: torch.Tensor, pool: torch.Tensor, step: int) -> torch.Tensor:
    """Returns how often each row holds each of `pool`, with its numbers `step` apart."""
    starts = rows.shape[1] - (pool.shape[1] - 1) * step
    if starts <= 0:
        return rows.new_zeros(len(rows), len(pool))
    equal = rows.new_ones(len(rows), starts, len(pool), dtype=torch.bool)
    for i in range(pool.shape[1]):
        equal = equal & (rows[:, i * step : i * step + starts, None] == pool[:, i])
    return equal.sum(1)
