"""Probes: the built-in images, or the user's files. Imports `types`, `errors`."""

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxattr.arrays import Probing, UInt8
from onnxattr.errors import ProbeError, UsageError
from onnxattr.probe_arrays import is_array, read_array
from onnxattr.types import Failure, Probes

#: Side of the square canvas in pixels: that of the built-in images.
CANVAS = 256

#: Built-in probes that there are, and those used by default.
BUILT_IN, DEFAULT_LIMIT = 200, 64

_BUILT_IN = Path(__file__).parent / "probe_images"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")

#: A compressed image of a few kilobytes can be gigabytes when decoded.
_MAX_PIXELS = 100_000_000


def load_probes(
    sources: str | Path | Sequence[str | Path] | None = None,
    *,
    limit: int | None = None,
    canvas: int = CANVAS,
    name: str | None = None,
) -> Probes:
    """Returns probe images on one square canvas; files that are none are in its `failures`.

    Images are turned upright by their EXIF tag, converted to RGB, centre-cropped to a square and
    resized with an antialiasing filter. A `.npy` or `.npz` file holds arrays or token ids
    instead, which are taken as they are.

    Args:
        sources: One or several files and directories (searched one level deep, hidden files left
            out), or one file of arrays; None for the built-in set.
        limit: Take the first so many; None takes 64 of the built-in set, and all of the user's.
        canvas: Side of the square in pixels.
        name: Which array of a `.npz` file is meant.

    Raises:
        ProbeError: Not one image could be read, or the array could not.
        UsageError: `limit` or `canvas` is not positive.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a limit is a positive number of probes, not `{limit}`")
    if canvas < 1:
        raise UsageError(f"a canvas is a positive number of pixels, not `{canvas}`")
    errors: list[ProbeError] = []
    sources = [sources] if isinstance(sources, str | Path) else sources
    if sources is not None and any(map(is_array, sources)):
        return _arrays(sources, limit, name)
    if sources is None:
        files, limit = sorted(_BUILT_IN.glob("*.webp")), limit or DEFAULT_LIMIT
        source = "built-in"
    else:
        files = _files(sources, errors)
        source = _listed([str(s) for s in sources])
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
        reason = errors[0].message if errors else "none is given"
        more = f", and {len(errors) - 1} more errors" if len(errors) > 1 else ""
        raise ProbeError(
            f"there are no probe images to use: {reason}{more}",
            hint=errors[0].hint if errors else "give image files or directories",
        )
    stacked = np.stack(images)
    return Probes(
        values=stacked,
        names=_unique(names),
        sha256=hash_values(stacked),
        source=source,
        failures=tuple(Failure("", error.message, error.hint) for error in errors),
    )


def _arrays(sources: Sequence[str | Path], limit: int | None, name: str | None) -> Probes:
    file = next(Path(source) for source in sources if is_array(source))
    if len(sources) > 1:
        raise UsageError(
            f"the probes `{file}` are arrays, and others are given as well",
            hint="put all arrays into one file, and rank images by themselves",
        )
    kind, values = read_array(file, name)
    values = values[:limit]
    names = tuple(f"{file.stem}[{i}]" for i in range(len(values)))
    return Probes(values, names, hash_values(values), str(file), kind=kind)


def hash_values(values: Probing) -> str:
    """Returns the SHA-256 of the shape, the type and the numbers of `values`."""
    # Of images, which came first, the type is not in it.
    kind = "" if values.dtype == np.uint8 else values.dtype.name
    return hashlib.sha256(f"{values.shape}{kind}".encode() + values.tobytes()).hexdigest()


def read_image(file: Path, canvas: int = CANVAS) -> UInt8:
    """Returns one image, uint8 [canvas, canvas, 3], RGB.

    Raises:
        ProbeError: The file is missing, no image, damaged, over 100 megapixels, or of a kind
            that has no defined black and white.
    """
    if not os.path.isfile(file):
        raise ProbeError(f"the probe `{file}` does not exist or is not a regular file")
    try:
        with warnings.catch_warnings():
            # The size is judged below, by our own limit; what Pillow says of odd metadata does not
            # concern the pixels.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise _too_large(file, f"{image.width}×{image.height}")
                if image.mode in ("I", "F"):
                    raise ProbeError(
                        f"the probe `{file}` has 32-bit values, of which black and white are "
                        "not defined",
                        hint="convert it to 8 or 16 bits",
                    )
                upright = ImageOps.exif_transpose(image)
                rgb = _on_white(upright)
                square = ImageOps.fit(rgb, (canvas, canvas), Image.Resampling.BICUBIC)
    except ProbeError:
        raise
    except Image.DecompressionBombError:
        # Pillow's own limit, which is higher than ours, is met before the size can be read.
        raise _too_large(file, "too many") from None
    except UnidentifiedImageError:
        raise ProbeError(
            f"the probe `{file}` is not an image in a known format",
            hint="known are JPEG, PNG, WebP, BMP, TIFF",
        ) from None
    except Exception as error:
        # Pillow's decoders raise whatever damaged bytes make them hit: struct.error, KeyError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ProbeError(f"the probe `{file}` cannot be decoded: {reason}") from None
    return np.asarray(square, dtype=np.uint8)


def _too_large(file: Path, pixels: str) -> ProbeError:
    return ProbeError(
        f"the probe `{file}` has {pixels} pixels, over the limit of 100 megapixels",
        hint="make it smaller: a probe is resized to a few hundred pixels anyway",
    )


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
        if not os.path.isdir(source):
            files.append(source)
            continue
        try:
            found = sorted(f for f in source.iterdir() if _looks_like_image(f))
        except OSError as error:
            reason = error.strerror or str(error)
            errors.append(ProbeError(f"the directory `{source}` cannot be read: {reason}"))
            continue
        if not found:
            errors.append(
                ProbeError(
                    f"the directory `{source}` holds no images",
                    hint=f"images end in {', '.join(sorted(_SUFFIXES))}",
                )
            )
        files += found
    return files


def _looks_like_image(file: Path) -> bool:
    # Some systems put a hidden file of metadata beside each image, under the same suffix.
    return file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")


def _listed(sources: Sequence[str]) -> str:
    """Returns `sources` in a few words, however many a shell made of a pattern."""
    few = 3
    if len(sources) <= few:
        return ", ".join(sources)
    return f"{sources[0]} and {len(sources) - 1} more"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Returns `names` with a number behind each one that was there before."""
    result: dict[str, None] = {}
    for name in names:
        numbered = (name if i == 1 else f"{name} ({i})" for i in count(1))
        result[next(n for n in numbered if n not in result)] = None
    return tuple(result)
