"""Composites that a user writes, as TOML. No torch.

    [[rule]]
    operators = ["Conv", "ConvTranspose"]   # by default Gemm and MatMul, too: all layers
    first = true                            # only those without another layer before them
    rule = "flat"                           # epsilon, gamma, z-plus, alpha-beta, flat, …

    [[rule]]
    rule = "gamma"
    gamma = 0.1                             # the options of the rule

The first rule that fits a layer is its rule. What none fits keeps its gradient, which is LRP-0.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onnxattr.attribution.rules.composites import (
    ABSOLUTE,
    COMPOSITES,
    LAYERS,
    RULES,
    Choice,
    Composite,
    LayerRule,
    Value,
    built_in,
)
from onnxattr.errors import UsageError
from onnxattr.registry import closest

#: Keys of a rule beside its options.
_KEYS = ("operators", "first", "rule")

#: Where a rule begins in the text.
_HEADER = re.compile(r"\s*\[\[\s*rule\s*\]\]")

#: Options that may be below zero, and one number a channel.
_BOUNDS = frozenset({"low", "high"})


def composite(value: str, *, epsilon: float = 1e-6, gamma: float = 0.25) -> Composite:
    """Returns the composite that an option names, or is.

    Args:
        value: What `resolve` returned.
        epsilon: Of a built-in one's ε-rules, 0 or more.
        gamma: Of a built-in one's γ-rules, 0 or more.

    Raises:
        UsageError: There is no such composite, or it is wrong.
    """
    return parse(value) if _is_text(value) else built_in(value, epsilon=epsilon, gamma=gamma)


def resolve(value: str) -> str:
    """Returns a composite as an option that any process understands: its name, or its text.

    Args:
        value: The name of a built-in one, a path of a TOML file, or the text of one.

    Raises:
        UsageError: There is no such composite or file, or what it says is wrong.

    Example:
        >>> resolve("epsilon-plus")
        'epsilon-plus'
    """
    if _is_text(value):
        parse(value)
        return value
    if value in COMPOSITES or not (value.endswith(".toml") or Path(value).is_file()):
        COMPOSITES[value]
        return value
    try:
        text = Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the composite `{value}` cannot be read: {reason}") from error
    # A line break tells a text from a name.
    text = text if "\n" in text else f"{text}\n"
    parse(text, value)
    return text


def parse(text: str, name: str = "") -> Composite:
    """Returns the composite that a text says.

    Args:
        text: TOML, as the module's docstring has it.
        name: Of its file, for messages.

    Raises:
        UsageError: It is no TOML, or says what there is not; names the line.
    """
    name = name or "composite"
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"`{name}` is not TOML: {error}") from error
    lines = text.splitlines()
    if unknown := next((key for key in said if key != "rule"), None):
        raise UsageError(
            f"{_at(name, lines, unknown)} there is no `{unknown}` in a composite",
            hint="a composite is made of `[[rule]]`, nothing else",
        )
    rules = said.get("rule", [])
    if not isinstance(rules, list) or not rules or not all(isinstance(r, dict) for r in rules):
        raise UsageError(f"`{name}` has no `[[rule]]`", hint="each is a table: `[[rule]]`")
    starts = [i for i, line in enumerate(lines) if _HEADER.match(line)]
    # Written in another way, `rule = [{…}]`, they have no lines of their own.
    ends = [*starts[1:], len(lines)] if len(starts) == len(rules) else []
    spans = list(zip(starts, ends, strict=True)) if ends else [(0, len(lines))] * len(rules)
    return Composite(
        tuple(
            _Reader(name, lines, span).choice(rule) for rule, span in zip(rules, spans, strict=True)
        )
    )


class _Reader:
    """Reads one rule of a file, and says where it is wrong."""

    def __init__(self, name: str, lines: list[str], span: tuple[int, int]) -> None:
        self._name, self._lines, self._span = name, lines, span

    def choice(self, said: Mapping[str, Any]) -> Choice:
        """Returns what a rule says."""
        if "rule" not in said:
            raise self._wrong("", "it does not say which rule", hint=closest("", RULES))
        name = self._one_of("rule", said["rule"], RULES, "rule")
        known = RULES[name]
        for key in said:
            if key not in _KEYS and key not in known:
                raise self._wrong(
                    key, f"the rule `{name}` has no option `{key}`", closest(key, [*_KEYS, *known])
                )
        operators = said.get("operators", list(LAYERS))
        if not isinstance(operators, list) or not operators:
            raise self._wrong("operators", f"`operators` is a list of names, not `{operators}`")
        for operator in operators:
            self._one_of("operators", operator, LAYERS, "layer")
        first = said.get("first", False)
        if not isinstance(first, bool):
            raise self._wrong("first", f"`first` is true or false, not `{first}`")
        if name in ABSOLUTE and not first:
            raise self._wrong(
                "rule", f"`{name}` is a rule of first layers", "add `first = true` to it"
            )
        options = {key: self._value(key, said[key]) for key in known if key in said}
        rule = LayerRule(name, {**known, **options})
        self._require_shares(rule)
        return Choice(tuple(operators), rule, first)

    def _one_of(self, key: str, value: Any, valid: Iterable[str], kind: str) -> str:
        valid = list(valid)
        if not isinstance(value, str) or value not in valid:
            raise self._wrong(key, f"there is no {kind} `{value}`", closest(str(value), valid))
        return value

    def _value(self, key: str, value: Any) -> Value:
        if key in _BOUNDS and isinstance(value, list) and value and all(map(_is_number, value)):
            return tuple(float(v) for v in value)
        if not _is_number(value) or (value < 0 and key not in _BOUNDS):
            kind = "a number, or one a channel" if key in _BOUNDS else "a number from 0"
            raise self._wrong(key, f"`{key}` is {kind}, not `{value}`")
        return float(value)

    def _require_shares(self, rule: LayerRule) -> None:
        """Refuses numbers by which a rule would not keep the amount of relevance."""
        options = rule.options
        if rule.name == "alpha-beta":
            alpha, beta = options["alpha"], options["beta"]
            assert isinstance(alpha, float)
            assert isinstance(beta, float)
            if abs(alpha - beta - 1) > 1e-9:
                raise self._wrong(
                    "alpha",
                    f"`alpha` − `beta` is 1, not {alpha:g} − {beta:g}",
                    "as 2 and 1, or 1 and 0",
                )
        if rule.name == "z-box" and (options["low"] is None) != (options["high"] is None):
            raise self._wrong("rule", "`z-box` has both `low` and `high`, or none of them")

    def _wrong(self, key: str, message: str, hint: str = "") -> UsageError:
        return UsageError(f"{_at(self._name, self._lines, key, self._span)} {message}", hint=hint)


def _at(name: str, lines: list[str], key: str, span: tuple[int, int] | None = None) -> str:
    """Returns the place of a key in a file: its line, or that where its rule begins."""
    begin, end = span or (0, len(lines))
    # Outside of a rule it may be the name of a table.
    start = r"\s*" if span else r"[\s\[]*"
    pattern = re.compile(rf"{start}[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    found = (i for i in range(begin, end) if key and pattern.match(lines[i]))
    return f"`{name}`, line {next(found, begin) + 1}:"


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and math.isfinite(value)


def _is_text(value: str) -> bool:
    return "\n" in value
