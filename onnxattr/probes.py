"""Probe images: the built-in set, or the user's files. Imports `types`, `errors`."""

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxattr.arrays import UInt8
from onnxattr.errors import ProbeError, UsageError
from onnxattr.types import Probes

#: Side of the square canvas in pixels: that of the built-in images.
CANVAS = 256

#: Built-in probes used by default; there are 200.
DEFAULT_LIMIT = 64

_BUILT_IN = Path(__file__).parent / "probe_images"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")

#: A compressed image of a few kilobytes can be gigabytes when decoded.
_MAX_PIXELS = 100_000_000


def load_probes(
    sources: Sequence[str | Path] | None = None,
    *,
    limit: int | None = None,
    canvas: int = CANVAS,
) -> tuple[Probes, list[ProbeError]]:
    """Returns probe images on one square canvas, and an error for each file that is none.

    Images are turned upright by their EXIF tag, converted to RGB, centre-cropped to a square and
    resized with an antialiasing filter.

    Args:
        sources: Files and directories (searched one level deep); None for the built-in set.
        limit: Take the first so many; None takes 64 of the built-in set, and all of the user's.
        canvas: Side of the square in pixels.

    Raises:
        ProbeError: Not one image could be read.
        UsageError: `limit` or `canvas` is not positive.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a limit is a positive number of probes, not `{limit}`")
    if canvas < 1:
        raise UsageError(f"a canvas is a positive number of pixels, not `{canvas}`")
    errors: list[ProbeError] = []
    if sources is None:
        files, limit = sorted(_BUILT_IN.glob("*.webp")), limit or DEFAULT_LIMIT
        source = "built-in"
    else:
        files = _files(sources, errors)
        source = ", ".join(str(s) for s in sources)
    images: list[UInt8] = []
    names: list[str] = []
    for file in files:
        if limit is not None and len(images) >= limit:
            break
        try:
            images.append(read_image(file, canvas))
        except ProbeError as error:
            errors.append(error)
            continue
        names.append(file.name)
    if not images:
        reason = errors[0].message if errors else f"`{source}` holds no images"
        raise ProbeError(
            f"there are no probe images to use: {reason}",
            hint=f"images end in {', '.join(sorted(_SUFFIXES))}",
        )
    stacked = np.stack(images)
    digest = hashlib.sha256(repr(stacked.shape).encode() + stacked.tobytes()).hexdigest()
    return Probes(images=stacked, names=_unique(names), sha256=digest, source=source), errors


def read_image(file: Path, canvas: int = CANVAS) -> UInt8:
    """Returns one image, uint8 [canvas, canvas, 3], RGB.

    Raises:
        ProbeError: The file is missing, no image, damaged, or over 100 megapixels.
    """
    if not file.is_file():
        raise ProbeError(f"the probe `{file}` does not exist or is not a regular file")
    try:
        with warnings.catch_warnings():
            # The size is judged below, by our own limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ProbeError(
                        f"the probe `{file}` has {image.width}×{image.height} pixels, "
                        "over the limit of 100 megapixels"
                    )
                upright = ImageOps.exif_transpose(image)
                rgb = _on_white(upright)
                square = ImageOps.fit(rgb, (canvas, canvas), Image.Resampling.BICUBIC)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise ProbeError(
            f"the probe `{file}` is not an image in a known format",
            hint="known are JPEG, PNG, WebP, BMP, TIFF",
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ProbeError(f"the probe `{file}` cannot be decoded: {reason}") from None
    return np.asarray(square, dtype=np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """Returns `image` in RGB; 16-bit grey is scaled to 8 bits, transparency laid on white."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _files(sources: Sequence[str | Path], errors: list[ProbeError]) -> list[Path]:
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found = sorted(f for f in source.iterdir() if f.suffix.lower() in _SUFFIXES)
            if not found:
                errors.append(ProbeError(f"the directory `{source}` holds no images"))
            files += found
        else:
            files.append(source)
    return files


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Returns `names` with a number behind each one that was there before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
