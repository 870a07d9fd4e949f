"""What a model file itself says of its input: our keys, ONNX's, and those of other tools.

It is a vendor's word: what makes no sense is left out, with the reason, and never an error.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from onnxattr.errors import UsageError
from onnxattr.graph.options import InputOptions
from onnxattr.graph.statement import Statement
from onnxattr.graph.walk import short
from onnxattr.registry import suggestion
from onnxattr.types import METADATA, PARTS

#: What our keys start with.
OWN = "onnxattr."

#: ONNX's keys of images, whose case does not matter, and what their values mean here.
PIXEL_FORMAT, GAMMA, PIXEL_RANGE = (
    "Image.BitmapPixelFormat",
    "Image.ColorSpaceGamma",
    "Image.NominalPixelRange",
)
COLORS = {"Gray8": None, "Rgb8": "RGB", "Bgr8": "BGR", "Rgba8": "RGB", "Bgra8": "BGR"}
#: sRGB is how files have pixels; linear light is what they stand for, by an exponent of 2.2.
GAMMAS = {"SRGB": 1.0, "Linear": 2.2}
RANGES = {
    "NominalRange_0_255": (0.0, 255.0),
    "Normalized_0_1": (0.0, 1.0),
    "Normalized_1_1": (-1.0, 1.0),
    "NominalRange_16_235": (16.0, 235.0),
}

#: ONNX's words for axes. Rows and columns have the same, and rows come first.
DENOTATIONS = {"DATA_BATCH": "N", "DATA_CHANNEL": "C", "DATA_FEATURE": "H"}

#: Characters of a value that are read: those of a name, and of anything else.
_MAX_NAME, _MAX_VALUE = 4096, 200


@dataclass
class _Reading:
    """What one source says, part by part, as it is read."""

    who: str
    parts: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    def take(self, part: str, key: str, value: str, read: Callable[[str], Any]) -> None:
        """Reads the value of a key, or notes why it makes no sense."""
        try:
            if len(value) > (_MAX_NAME if part in ("input", "at") else _MAX_VALUE):
                raise UsageError("it is too long")
            found = read(value)
            if part not in ("input", "at"):
                InputOptions(**{part: found})
        except (UsageError, ValueError) as error:
            reason = error.message if isinstance(error, UsageError) else str(error)
            self.ignored[part] = f"`{key}` is `{short(value)}`: {reason}"
        else:
            self.parts[part] = found

    def statement(self) -> Statement:
        """Returns all of it."""
        options = {k: v for k, v in self.parts.items() if k in PARTS}
        return Statement(
            self.who,
            InputOptions(**options),
            input=self.parts.get("input"),
            at=self.parts.get("at"),
            ignored=self.ignored,
            doubted=True,
        )


def said_inside(proto: onnx.ModelProto, named: str | None = None) -> tuple[Statement, ...]:
    """Returns what the metadata of a model says, in falling precedence.

    Args:
        proto: The model.
        named: The input that takes the probe, where somebody says so.
    """
    if not proto.metadata_props and not any(_denoted(v) for v in proto.graph.input):
        return ()
    props = {p.key: p.value for p in proto.metadata_props}
    own = _own(props)
    denotations = _denotations(proto.graph, own.parts.get("input") if named is None else named)
    readings = (own, *_standard(props), denotations, _ultralytics(props), _openvino(props))
    return tuple(r.statement() for r in readings if r.parts or r.ignored)


def _own(props: Mapping[str, str]) -> _Reading:
    reading = _Reading(METADATA)
    for key, value in props.items():
        part = key.removeprefix(OWN)
        if part in OWN_READERS and key != part:
            reading.take(part, key, value, OWN_READERS[part])
        elif key.startswith(OWN) and "metadata" not in reading.ignored:  # One tells enough.
            hint = suggestion(key, [OWN + p for p in OWN_READERS]).strip()
            reading.ignored["metadata"] = f"there is no key `{short(key)}`" + (
                f": {hint}" * bool(hint)
            )
    return reading


def _standard(props: Mapping[str, str]) -> Iterator[_Reading]:
    by_key = {key.lower(): value for key, value in props.items()}
    for key, part, values in (
        (PIXEL_FORMAT, "color", COLORS),
        (GAMMA, "gamma", GAMMAS),
        (PIXEL_RANGE, "range", RANGES),
    ):
        if (value := by_key.get(key.lower())) is not None:
            reading = _Reading(f"{METADATA}: {key}")
            reading.take(part, key, value, _choice(values))
            yield reading


def _denotations(graph: onnx.GraphProto, named: str | None) -> _Reading:
    """Reads what the axes of the input are called, where it is clear which input is meant."""
    reading = _Reading(f"{METADATA}: denotations of its axes")
    stored = {tensor.name for tensor in graph.initializer}
    values = [v for v in graph.input if v.name == named or (named is None and v.name not in stored)]
    values = [v for v in values if _denoted(v)]
    if len(values) == 1:
        words = [d.denotation for d in values[0].type.tensor_type.shape.dim]
        text = " ".join(words)
        reading.take("layout", "denotation", text, lambda _: _layout_of(words))
    return reading


def _denoted(value: onnx.ValueInfoProto) -> bool:
    return any(dim.denotation for dim in value.type.tensor_type.shape.dim)


def _layout_of(words: list[str]) -> str:
    layout = "".join(DENOTATIONS.get(word.upper(), "?") for word in words)
    if "?" in layout or layout.count("H") != 2:
        raise UsageError("those are not the axes of an image")
    return layout[::-1].replace("H", "W", 1)[::-1]


def _ultralytics(props: Mapping[str, str]) -> _Reading:
    """Reads the keys that all exports of Ultralytics have; `stride` and `names` are YOLOv5's."""
    reading = _Reading(f"{METADATA}: Ultralytics")
    stride, names = props.get("stride", ""), props.get("names", "")
    if not (re.fullmatch(r"[0-9]{1,4}", stride.strip()) and names.lstrip()[:1] in ("{", "[")):
        return reading
    classifies = props.get("task") == "classify"
    reading.parts |= {"color": "RGB", "range": (0.0, 1.0)}
    reading.parts["resize"] = "crop" if classifies else "letterbox"
    if "imgsz" in props:
        reading.take("size", "imgsz", props["imgsz"], lambda v: _size(re.sub(r"[\[\]()\s]", "", v)))
    return reading


def _openvino(props: Mapping[str, str]) -> _Reading:
    """Reads what OpenVINO's exporters write for its Model API, of images of 0 to 255."""
    reading = _Reading(f"{METADATA}: OpenVINO")
    keys = {" ".join(key.split()): value for key, value in props.items() if "model_info" in key}
    given = {part: keys.get(f"model_info {part}", "").strip() for part in _MODEL_INFO}
    mode = given["intensity_mode"]
    if mode not in ("", "scale_to_unit"):
        reading.ignored["range"] = f"`model_info intensity_mode` is `{short(mode)}`: not known"
    elif given["mean_values"] or given["scale_values"]:
        reading.parts["range"] = (0.0, 1.0 if mode else 255.0)
        for part, key in (("mean", "mean_values"), ("std", "scale_values")):
            if given[key]:
                reading.take(
                    part, f"model_info {key}", given[key], lambda v: _numbers(v.strip("[]()"))
                )
    # It means that images come as OpenCV reads them, in BGR, and the model wants RGB. Exporters do
    # not agree on what its absence means.
    if given["reverse_input_channels"].lower() in ("true", "yes", "1"):
        reading.parts["color"] = "RGB"
    if given["resize_type"]:
        reading.take(
            "resize", "model_info resize_type", given["resize_type"], _choice(_RESIZE_TYPES)
        )
    return reading


_MODEL_INFO = (
    "mean_values",
    "scale_values",
    "reverse_input_channels",
    "resize_type",
    "intensity_mode",
)

#: `fit_to_window` pads at two sides only, and is none of our rules.
_RESIZE_TYPES = {"standard": "stretch", "crop": "crop", "fit_to_window_letterbox": "letterbox"}


def _choice(values: Mapping[str, Any]) -> Callable[[str], Any]:
    known = {name.lower(): meaning for name, meaning in values.items()}

    def read(value: str) -> Any:
        if value.strip().lower() not in known:
            hint = suggestion(value, values).strip()
            raise UsageError(hint or f"known are {', '.join(values)}")
        return known[value.strip().lower()]

    return read


def _numbers(value: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in re.split(r"\s*,\s*|\s+", value.strip()))
    except ValueError:
        raise UsageError("those are not numbers") from None


def _pair(value: str) -> tuple[float, ...]:
    values = _numbers(value)
    if len(values) != 2:
        raise UsageError("it takes two numbers")
    return values


def _one(value: str) -> float:
    values = _numbers(value)
    if len(values) != 1:
        raise UsageError("it takes one number")
    return values[0]


def _size(value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})(?:[x×,]([0-9]{1,6}))?", value.strip())
    if match is None:
        raise UsageError("it takes HEIGHTxWIDTH")
    return int(match[1]), int(match[2] or match[1])


def _name(value: str) -> str:
    if not value:
        raise UsageError("it is empty")
    return value


#: How our keys are read, by what follows `OWN`.
OWN_READERS: Mapping[str, Callable[[str], Any]] = {
    "layout": lambda v: v.strip().upper(),
    "size": _size,
    "color": lambda v: v.strip().upper(),
    "range": _pair,
    "mean": _numbers,
    "std": _numbers,
    "gamma": _one,
    "resize": lambda v: v.strip().lower(),
    "input": _name,
    "at": _name,
}
