"""Words and numbers for people: short forms of figures."""

from collections.abc import Mapping
from typing import Any

from onnxattr.sanitise import clean
from onnxattr.types import ASSUMED, IMAGE, GradientCheck, InputSpec, Parity

#: What our own words use beyond ASCII, for terminals that have nothing else.
_IN_ASCII = str.maketrans(
    {
        "×": "x",
        "·": "*",
        "⊙": "*",
        "−": "-",
        "±": "+-",
        "∂": "d",
        "∇": "grad ",
        "∫": "integral ",
        "Σ": "sum",
        "½": "1/2",
        "²": "^2",
        "⁺": "^+",
        "ᵍ": "^g",
        "α": "alpha",
        "β": "beta",
        "γ": "gamma",
        "Δ": "delta",
        "ε": "eps",
        "ρ": "rho",
        "σ": "sigma",
        "τ": "tau",
        "√": "root ",
        "≥": ">=",
        "≤": "<=",
        "‖": "|",
        "…": "...",
        "–": "-",
        "─": "-",
        "│": "|",
        **dict.fromkeys("┌└┐┘┬┴├┤┼", "+"),
    }
)


def in_ascii(text: str) -> str:
    """Returns `text` with ASCII for the symbols that our own words use."""
    return text.translate(_IN_ASCII)


def short(name: str, most: int = 60) -> str:
    """Returns a name without its middle, where it is long: both ends tell more."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def short_count(count: int) -> str:
    """Returns a number of parameters in at most five characters: `88.4k`, `11.7M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return (
                f"{count / size:.3g}{letter}"
                if count < 999.5 * size
                else f"{count / size:.0f}{letter}"
            )
    return str(count)


def probes(settings: Mapping[str, Any]) -> str:
    """Returns how many probes there were and where they are from: `64 probes (photos)`."""
    count = settings["probes"]["count"]
    number = "1 probe" if count == 1 else f"{count} probes"
    return f"{number} ({clean(settings['probes']['source'])})"


def cosine(value: float) -> str:
    """Returns a cosine with three digits behind the point, and no minus before a zero."""
    return f"{value:z.3f}"


def interval(low: float, high: float) -> str:
    """Returns an interval of cosines."""
    return f"{low:z.2f} to {high:z.2f}"


def rank(number: int, tied: bool) -> str:
    """Returns a rank; `=` says that it is shared."""
    return f"{number}=" if tied else str(number)


def value_range(spec: InputSpec) -> str:
    """Returns what black and white become, before mean and std; `*` says that it is assumed."""
    if spec.kind != IMAGE:
        return "as it is"
    low, high = spec.range
    doubt = "*" if spec.sources.get("range", "").startswith(ASSUMED) else ""
    standardised = (set(spec.mean), set(spec.std)) != ({0.0}, {1.0})
    return f"{low:g} to {high:g}{doubt}" + (", standardised" if standardised else "")


def fed(spec: InputSpec) -> str:
    """Returns what a model is fed: `NCHW 64×64`, `array 20×4`, `tokens 16`."""
    return f"{spec.layout if spec.kind == IMAGE else spec.kind} {sizes(spec)}"


def sizes(spec: InputSpec) -> str:
    """Returns the size of a probe as the model is fed it: `64×64`."""
    axes = (spec.height, spec.width) if spec.kind == IMAGE else spec.axes
    return "×".join(map(str, axes))


def fixed(spec: InputSpec) -> list[str]:
    """Returns what the other inputs are fed, one a line: `mask = 1 [batch, 16]`."""
    return [
        f"{one.name} = {one.value:g} "
        f"[{', '.join('batch' if size is None else str(size) for size in one.shape)}]"
        for one in spec.fixed
    ]


def colors(spec: InputSpec) -> str:
    """Returns the channels in their order: `RGB`, `BGR and opacity`, `grey`."""
    if spec.channels == 1:
        return "grey"
    return spec.color + (" and opacity" if spec.channels == 4 else "")


def assumptions(spec: InputSpec) -> str:
    """Returns the parts of `spec` that nobody and nothing vouches for: `color, range`."""
    return ", ".join(part for part, rule in spec.sources.items() if rule.startswith(ASSUMED))


def checked(check: Parity | GradientCheck) -> str:
    """Returns an error beside the largest that is let through: `2e-07, at most 0.1, …`."""
    noun = "probe" if check.probes == 1 else "probes"
    return f"{check.error:.0e}, at most {check.tolerance:g}, on {check.probes} {noun}"


def age(seconds: float) -> str:
    """Returns a span of time in its largest unit: `3 days ago`, `1 hour ago`, `just now`."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}" + ("s" if count > 1 else "") + " ago"
    return "just now"
