"""Writes `docs/operators.md` from a run of the backend suite: `python tests/backend/report.py`."""

import collections
import functools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from cases import KINDS, MODES, is_core, operators, suite
from exclusions import GEOMETRY, REFUSED, VALUES, VERSIONS, ZERO
from outcomes import gradient, has_gradients, matching, values
from own_cases import labels
from versions import earlier

from onnxattr.convert.ops import OPERATORS

PAGE = Path(__file__).parents[2] / "docs/operators.md"

INTRODUCTION = """\
# Operators

What onnxattr converts, and what was tried of it. This page is written by
`python tests/backend/report.py` from a run of the backend suite that ships with onnx {version}; a
test compares it with the run of the day.

An operator is known by its name and its *since-version*: the opset that last changed it. A case
*matches* if type and shape are the expected ones and the numbers are within a relative 1e-3 and an
absolute 1e-5, or the suite's own tolerance where that is wider; half precision has two units in the
last place. A gradient is *right* if it agrees, for every input of floating point, with finite
differences in float64 of the converted model and with those of another engine (onnx's reference
evaluator or ONNX Runtime), along random directions; and if the gradient in the model's own type
agrees with that in float64.

Each case is run twice: with everything fed, weights and shapes too, and with everything but the
first data input stored.
"""


def page() -> str:
    """Returns the text of the page."""
    parts = [
        INTRODUCTION.format(version=onnx.__version__),
        "## Totals\n",
        _table(("cases", "number", "of them", *(f"{m}" for m in MODES)), _totals()),
        "Those that count have tensors of bool, integers and floating point of two bytes and more,"
        " and operators\nof ONNX itself that are not random and not of training.\n",
        "## By operator\n",
        "`values` and `gradients` say how many cases of that since-version are as they should be,"
        " in both modes.\nOf a version that the suite has no case of, `own case` says that there is"
        " one in `own_cases.py`, whose values and\nslopes are ONNX Runtime's, and `later case` that"
        " the values are those of cases of a later version, told again in\nthis one, by another"
        " engine.\n",
        _table(
            ("operator", "since-versions", "values", "gradients", "why not"), _rows(), code=(0,)
        ),
        "## Exclusions\n",
        _table(("cases", "reason"), _exclusions(VALUES | REFUSED), code=(0,)),
        "## Gradients that are zero\n",
        "They are compared as all others, and are zero in the other engine too.\n",
        _table(("case and input", "reason"), _exclusions(ZERO), code=(0,)),
        "## Inputs without a gradient\n",
        _table(
            ("operator", "input", "reason"),
            [(op, str(i + 1), reason) for (op, i), reason in GEOMETRY.items()],
            code=(0,),
        ),
    ]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], code: tuple[int, ...] = ()) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head)]
    lines += ([f"`{c}`" if i in code else c for i, c in enumerate(row)] for row in rows)
    return "".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |\n" for r in lines)


def _exclusions(patterns: dict[str, str]) -> list[tuple[str, str]]:
    return list(patterns.items())


def _totals() -> Iterator[tuple[str, ...]]:
    groups = {"all that count": [c for c in suite().values() if is_core(c)]}
    groups |= {
        f"{kind}, that count": [c for c in groups["all that count"] if c.kind == kind]
        for kind in KINDS
    }
    groups["the others"] = [c for c in suite().values() if not is_core(c)]
    for title, cases in groups.items():
        matched = (str(sum(not values(c, m) for c in cases)) for m in MODES)
        yield title, str(len(cases)), "match", *matched
        smooth = [c for c in cases if has_gradients(c)]
        right = (str(sum(_is_right(c.id, m) for c in smooth)) for m in MODES)
        yield "", str(len(smooth)), "have right gradients", *right


@functools.cache
def _is_right(id: str, mode: str) -> bool:
    # Where the suite's own values are wrong, the gradient is that of the other engines' values.
    return not gradient(suite()[id], mode).problem


def _rows() -> Iterator[tuple[str, ...]]:
    cases = collections.defaultdict(list)
    for case in suite().values():
        for label in operators(case):
            cases[label].append(case)
    told = {key.split("/")[0] for key in earlier() if not matching(key, VERSIONS)}
    versions: dict[str, set[int]] = collections.defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in ("", "ai.onnx"):
            versions[schema.name].add(schema.since_version)
    for name in sorted(versions):
        named = {version: f"{name}_{version}" for version in sorted(versions[name])}
        known = [v for v, label in named.items() if label in OPERATORS]
        unknown = [v for v, label in named.items() if label not in OPERATORS]
        right, slopes, why = [], [], []
        for version, label in named.items():
            here = cases[label]
            if here:
                good = sum(not values(c, m) for c in here for m in MODES)
                right.append(f"{version}: {good}/{2 * len(here)}")
            elif label in labels():
                right.append(f"{version}: own case")
            elif label in told:
                right.append(f"{version}: later case")
            smooth = [c for c in here if has_gradients(c) and not matching(c.id, REFUSED)]
            if smooth:
                good = sum(_is_right(c.id, m) for c in smooth for m in MODES)
                slopes.append(f"{version}: {good}/{2 * len(smooth)}")
            why += [matching(c.id, VALUES | REFUSED) for c in here]
        if known and not any(OPERATORS[named[v]].gradient for v in known):
            why.append("has no gradient: its results are no floating point, or piecewise constant")
        if unknown:
            why.append("not converted: " + ", ".join(map(str, unknown)))
        reasons = "; ".join(dict.fromkeys(filter(None, why)))
        yield (
            name,
            ", ".join(map(str, known)) or "–",
            ", ".join(right) or "–",
            ", ".join(slopes) or "–",
            reasons,
        )
    for name in sorted(n for n in OPERATORS if "." in n):
        yield name, "all", "–", "–", "no case in the suite; tried against ONNX Runtime"


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = page()
    PAGE.write_text(text)
