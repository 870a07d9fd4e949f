"""Makes the probe images that ship with the package: varied rooms, none of them trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from samples.scenes import render
from samples.worlds import PROBES
from samples.zoo import PROBE_COUNT, PROBE_SIZE, PROBES_FROM

FOLDER = Path(__file__).resolve().parents[1] / "onnxattr" / "probe_images"
QUALITY = 95
"""WebP quality at which 200 images take about 2.5 MB."""


def make(folder: Path, count: int | None = None) -> None:
    """Write `000.webp` and so on, 256×256, one random room of the probes' variety each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PROBE_COUNT if count is None else count):
        scene = render(PROBES_FROM + number, PROBE_SIZE, variety=PROBES)
        pixels = np.round(scene.image * 255).astype(np.uint8)
        path = folder / f"{number:03d}.webp"
        Image.fromarray(pixels).save(path, quality=QUALITY, method=6)
