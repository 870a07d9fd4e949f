"""Writes a sidecar: every value that a model is fed by, and what decided it."""

from onnxattr.graph.sidecar import said_beside
from onnxattr.sanitise import clean, visible
from onnxattr.types import ASSUMED, IMAGE, InputSpec, Inspection, Sidecar

_HEAD = """\
# How onnxattr feeds {model}, and what it attributes. Read with the model, from beside it.
# What stands behind `# ` is an assumption, which nobody vouches for: say what is right,
# and take the sign away.
"""

#: Columns between a value and its comment start here, where there is room.
_COLUMN = 32

#: Characters of a comment.
_COMMENT = 300


def to_toml(found: Inspection, sidecar: str) -> str:
    """Returns the text of a sidecar that says what was found of a model.

    Read beside the model, it gives the same `InputSpec`. What is assumed stands in it as a comment:
    a guess does not become knowledge by being written down.

    Args:
        found: What `inspect` found; it has a spec.
        sidecar: What the file will be called, for messages.

    Raises:
        ModelInputError: A name is too long to be read back.
    """
    assert found.spec is not None
    spec = found.spec
    lines = [_HEAD.format(model=f"`{clean(found.name)}`"), "[input]"]
    lines.append(_line("name", _quoted(spec.input), spec.sources.get("input", "the input")))
    for part, value in _values(spec).items():
        lines.append(_line(part, value, spec.sources[part]))
    if found.representation is not None:
        chosen = found.representation
        lines += ["", "[output]", _line("at", _quoted(found.at), f"{chosen.value}: {chosen.rule}")]
    if fixed := {**found.fixed, **{one.name: one.value for one in spec.fixed}}:
        lines += ["", "[fixed]"]
        lines += [f"{_quoted(name)} = {value!r}" for name, value in fixed.items()]
    text = "\n".join(lines) + "\n"
    said_beside(Sidecar(sidecar, text), found.name)
    return text


def _values(spec: InputSpec) -> dict[str, str]:
    if spec.kind != IMAGE:
        return {}
    values = {
        "layout": _quoted(spec.layout),
        "size": f"[{spec.height}, {spec.width}]",
        "color": _quoted(spec.color),
        "range": _numbers(spec.range),
        "mean": _numbers(spec.mean),
        "std": _numbers(spec.std),
        "gamma": repr(spec.gamma),
        "resize": _quoted(spec.resize),
    }
    if spec.channels == 1:
        del values["color"]
    return values


def _line(key: str, value: str, source: str) -> str:
    sign = "# " if source.startswith(ASSUMED) else ""
    return f"{sign}{key} = {value}".ljust(_COLUMN) + f"  # {clean(source, _COMMENT)}"


def _numbers(values: tuple[float, ...]) -> str:
    return repr(values[0]) if len(values) == 1 else f"[{', '.join(map(repr, values))}]"


def _quoted(text: str) -> str:
    """Returns a basic string of TOML; what cannot be seen is escaped."""

    def escaped(character: str) -> str:
        if character in '"\\':
            return f"\\{character}"
        if visible(character):
            return character
        return f"\\U{ord(character):08X}"

    return f'"{"".join(map(escaped, text))}"'
