"""What is done to pictures before a task's network sees them; needs numpy only.

Each function takes float32 [image, height, width, 3] in 0..1 and a generator, and returns the same
shape in the same range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samples.tasks import LUMA

Float32 = npt.NDArray[np.float32]
HIDDEN_SIDE = 3 / 8
"""Share of the picture's side that `hide` covers."""


def grey(images: Float32, rng: np.random.Generator) -> Float32:
    """Return the luminance in all three channels; nothing is drawn."""
    return np.repeat((images @ LUMA)[..., None], 3, axis=-1)


def hide(images: Float32, rng: np.random.Generator) -> Float32:
    """Return the images with a square of mid-grey somewhere on each."""
    result = images.copy()
    height, width = images.shape[1:3]
    tall, wide = round(height * HIDDEN_SIDE), round(width * HIDDEN_SIDE)
    tops = rng.integers(height - tall + 1, size=len(images))
    lefts = rng.integers(width - wide + 1, size=len(images))
    for image, top, left in zip(result, tops, lefts, strict=True):
        image[top : top + tall, left : left + wide] = 0.5
    return result
