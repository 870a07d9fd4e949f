"""Variants of probes as a model is fed them, a batch at a time, in one buffer."""

from typing import Any

import numpy as np
import torch

from onnxattr.attribution.hiding import Masks, Scheme, filling, remembered
from onnxattr.convert.array_feed import ArrayFeed, wrap
from onnxattr.convert.feed import Feed
from onnxattr.types import IMAGE


class Variants:
    """All variants of some probes, those of the first probe first.

    A variant is hidden + mask · (probe − hidden), and exactly the probe where the mask is 1. Where
    the feed is affine, probes and what hides them are fed once, and variants are made in the
    model's own layout: that is one pass over the numbers, where ONNX Runtime takes many.

    Args:
        feed: From canonical probes to what the model is fed.
        x: Canonical probes.
        scheme: What is hidden.
        masks: From `laid_over`.
        size: The largest number of variants at a time.
    """

    def __init__(
        self, feed: Feed | ArrayFeed, x: torch.Tensor, scheme: Scheme, masks: Masks, size: int
    ) -> None:
        self._feed, self._scheme, self._masks = feed, scheme, masks
        self._batch = feed.spec.batch
        self._count = len(x) * scheme.count
        hidden = filling(x, scheme.fill, image=feed.spec.kind == IMAGE)
        if feed.is_affine:
            x, hidden = feed(x).contiguous(), feed(hidden).contiguous()
        self._seen, self._hidden = x, hidden
        rows = self._batch or min(size, self._count)
        self._buffer = torch.empty(rows, *x.shape[1:], dtype=x.dtype)

    def __len__(self) -> int:
        return self._count

    def fed(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Returns what the model is fed for some variants, which is valid until the next call.

        A batch that the graph fixes is filled up with them.
        """
        count, done = self._scheme.count, start
        while done < stop:
            probe, first = divmod(done, count)
            last = min(count, first + stop - done)
            torch.lerp(
                self._hidden[probe],
                self._seen[probe],
                self._masks(first, last),
                out=self._buffer[done - start : done - start + last - first],
            )
            done += last - first
        given = self._buffer[: stop - start]
        given = wrap(given, self._batch) if self._batch else given
        if not self._feed.is_affine:
            return self._feed.array(given)
        found: np.ndarray[Any, Any] = given.numpy()
        return found


def laid_over(feed: Feed | ArrayFeed, scheme: Scheme) -> Masks:
    """Returns masks that broadcast with probes: as they are fed, where the feed is affine."""

    def make(start: int, stop: int) -> torch.Tensor:
        masks = scheme.masks(start, stop)
        if feed.is_affine:
            return feed.masks(masks)
        return masks.unsqueeze(1) if feed.spec.kind == IMAGE else masks

    return remembered(make, scheme.count, make(0, 1).shape[1:])
