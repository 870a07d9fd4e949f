"""Probe images that chance has changed: each is used, or named in one clear line.

Some dozens by default; a thousand where the environment has `ROBUSTNESS=full`.
"""

import contextlib
import io
import os
import random
import re
import struct
import sys
import threading
import time
import zlib
from collections import Counter

import numpy as np
import psutil
from edits import edited
from PIL import Image
from small_models import encoder, save

import onnxattr
from onnxattr.pipeline.space import prepare
from onnxattr.sanitise import clean

FULL = os.environ.get("ROBUSTNESS") == "full"

#: Images, and those of one call.
COUNT, BATCH = (1000, 100) if FULL else (60, 60)

#: What decoding them may take.
LIMITS = onnxattr.Limits(seconds=120, memory=2 << 30)

OPTIONS = onnxattr.Options(device="cpu", store=None, limits=LIMITS)


def picture(mode="RGB", size=(24, 20)):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return image.convert(mode)


def written(form, mode="RGB", **options):
    buffer = io.BytesIO()
    picture(mode).save(buffer, form, **options)
    return buffer.getvalue()


def originals():
    """Returns pictures in every format, with what each of them has to offer, by suffix."""
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    more = {"save_all": True, "append_images": [picture(), picture()]}
    rows = [
        *(("png", "PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        ("png", "PNG", "P", {"transparency": 3}),
        ("png", "PNG", "RGB", {"icc_profile": bytes(200), "exif": upside_down}),
        ("png", "PNG", "RGB", more),
        *(("jpg", "JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
        (
            "jpg",
            "JPEG",
            "RGB",
            {"progressive": True, "exif": upside_down, "icc_profile": b"x" * 99},
        ),
        ("jpg", "JPEG", "RGB", {"restart_marker_blocks": 1, "subsampling": 2}),
        ("webp", "WEBP", "RGB", {}),
        ("webp", "WEBP", "RGBA", {"lossless": True, "exif": upside_down}),
        ("webp", "WEBP", "RGB", more),
        *(("bmp", "BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("tiff", "TIFF", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "CMYK")),
        *(
            ("tif", "TIFF", "RGB", {"compression": each})
            for each in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        ("tif", "TIFF", "1", {"compression": "group4"}),
        ("tif", "TIFF", "RGB", more),
    ]
    return [(suffix, written(form, mode, **options)) for suffix, form, mode, options in rows]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *before, bits=8, color=2, data=None):
    """Returns a PNG of any size, of which the pixels are black and take next to nothing."""
    if data is None:
        packer = zlib.compressobj(9)
        row = bytes(1 + width * (3 if color == 2 else 1) * bits // 8)
        data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *before, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def sized(data, form):
    """Returns a picture whose header says 65535 pixels a side, or the most that it can."""
    if form == "bmp":
        return data[:18] + struct.pack("<ii", 65535, -65535) + data[26:]
    if form == "jpg":
        place = re.search(rb"\xff[\xc0\xc2]", data).start()
        return data[: place + 5] + b"\xff\xff\xff\xff" + data[place + 9 :]
    if form == "webp":
        place = data.index(b"\x9d\x01\x2a")
        return data[: place + 3] + b"\xff\x3f\xff\x3f" + data[place + 7 :]
    raise AssertionError(form)


def bombs():
    """Returns small files that would take a lot, by name."""
    deflated = zlib.compress(bytes(200 * 2**20), 9)
    text = chunk(b"zTXt", b"Comment\0\0" + deflated)
    profile = chunk(b"iCCP", b"profile\0\0" + deflated)
    many = {"save_all": True, "append_images": [picture()] * 500}
    return {
        "just-right.png": png(9000, 9000, bits=1, color=0),
        "too-large.png": png(20_000, 20_000, bits=1, color=0),
        "header.png": png(2**31 - 1, 2**31 - 1, data=b""),
        "text.png": png(4, 4, text),
        "texts.png": png(4, 4, *[text] * 20),
        "profile.png": png(4, 4, profile),
        "frames.png": written("PNG", **many),
        "frames.webp": written("WEBP", **many),
        "pages.tiff": written("TIFF", **many),
        "sides.bmp": sized(written("BMP"), "bmp"),
        "sides.jpg": sized(written("JPEG"), "jpg"),
        "sides.webp": sized(written("WEBP"), "webp"),
        "line.png": png(90_000_000, 1, bits=1, color=0),
        "column.png": png(1, 9_000_000, bits=8, color=0),
        "wide.tif": wide(),
    }


def wide():
    """Returns a TIFF that is as large as is allowed."""
    buffer = io.BytesIO()
    Image.new("L", (9990, 9990)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    return buffer.getvalue()


def write(folder, names):
    """Writes images by name: `17.png` is the same one every time."""
    folder.mkdir()
    found = originals()
    for number in names:
        chance = random.Random(f"image-{number}")
        suffix, data = found[number % len(found)]
        _, other = chance.choice(found)
        (folder / f"{number}.{suffix}").write_bytes(edited(chance, data, other, head=64))
    (folder / "good.png").write_bytes(written("PNG"))
    return folder


class Watch(threading.Thread):
    """Notes how much memory the processes that this one started come to hold."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self._over = 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self.join()

    def run(self):
        me = psutil.Process()
        while not self._over.wait(0.02):
            for process in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    self.most = max(self.most, process.memory_info().rss)


def check(folder, names, failures):
    """Makes sure that each image is used or named; returns the kinds of reasons."""
    reasons = Counter()
    told = {f"`{folder / each}`": [] for each in os.listdir(folder) if each not in names}
    for failure in failures:
        (path,) = [path for path in told if path in failure.message]
        told[path].append(failure)
        assert clean(failure.message, 10**6) == failure.message
        assert "bug" not in failure.hint
        reasons[_kind(failure.message.split("` ", 1)[1])] += 1
    assert {path: len(each) for path, each in told.items()} == dict.fromkeys(told, 1)
    return reasons


def _kind(reason):
    return re.sub(r"\d+", "#", reason)[:60]


def decode(folder):
    with Watch() as watch:
        _, probes = prepare([folder], OPTIONS, threading.Event())
    assert probes.images.shape == (len(probes.names), 256, 256, 3)
    assert "good.png" in probes.names
    return probes, watch.most


def test_mutants(tmp_path):
    used, reasons, most, started = 0, Counter(), 0, time.monotonic()
    for start in range(0, COUNT, BATCH):
        folder = write(tmp_path / f"{start}", range(start, start + BATCH))
        probes, held = decode(folder)
        used += len(probes.names) - 1
        reasons += check(folder, probes.names, probes.failures)
        most = max(most, held)

    lines = [f"{number:8}  {reason}" for reason, number in reasons.most_common()]
    took = f"{time.monotonic() - started:.0f} s, {most / 2**20:.0f} MiB"
    sys.stdout.write("\n".join([f"{COUNT} images, {used} used, {took}", *lines, ""]))
    assert used + sum(reasons.values()) == COUNT
    assert used > COUNT // 10


def test_bombs(tmp_path):
    folder = write(tmp_path / "bombs", ())
    for name, data in bombs().items():
        (folder / name).write_bytes(data)

    probes, most = decode(folder)

    check(folder, probes.names, probes.failures)
    sys.stdout.write(f"bombs: {sorted(probes.names)} used, {most / 2**20:.0f} MiB\n")
    refused = {"too-large.png", "header.png", "sides.bmp", "sides.jpg", "sides.webp"}
    assert refused.isdisjoint(probes.names)
    assert {"frames.png", "frames.webp", "pages.tiff"} <= set(probes.names)


def test_ranked_on_what_is_left(tmp_path):
    folder = write(tmp_path / "images", range(BATCH))
    save(encoder(1), tmp_path / "models" / "torch.onnx")
    save(encoder(2, nhwc=True, framework="TensorFlow"), tmp_path / "models" / "keras.onnx")

    ranking = onnxattr.rank([tmp_path / "models"], probes=[folder], options=OPTIONS)

    count = ranking.settings["probes"]["count"]
    assert count + len(ranking.failures) == BATCH + 1
    assert np.isfinite(ranking.similarity.matrix).all()
