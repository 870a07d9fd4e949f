"""What a measure of likeness must know whatever transfer says: twins, and who has learnt nothing.

    python samples/miniature/controls.py           # zoo A and the other architectures
    python samples/miniature/controls.py --zoo b   # zoo B, each zoo the second seed of the other

Three questions, each with the place that the answer has among the sources of a target, 1 the
closest: the same task learnt by another architecture in another framework; the same task from
another seed; and a network that has learnt nothing, which should come last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
# As a script, this file finds only its own folder; where the package is installed, both are there.
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

import onnxattr  # noqa: E402
from samples.miniature import zoo  # noqa: E402

Float64 = npt.NDArray[np.float64]

MEASURES = "attribution,predictability,cka,svcca,rsa,dds,depara,modelgif,ensemble"


@dataclass(frozen=True)
class Question:
    """For each of some targets, the source that is looked for among others.

    Attributes:
        text: What is asked.
        wanted: Source by target.
        sources: Those that compete; a target itself is never among them.
    """

    text: str
    wanted: Mapping[str, str]
    sources: tuple[str, ...]


def places(scores: Float64, names: Sequence[str], question: Question) -> list[int]:
    """Returns the place of each wanted source, from 1; equal scores count against it.

    Args:
        scores: [source, target], higher is nearer.
        names: Of the rows and of the columns.
        question: What is looked for.

    Example:
        >>> scores = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.1], [0.3, 0.1, 1.0]])
        >>> places(scores, ("a", "b", "c"), Question("", {"a": "b", "b": "a"}, ("a", "b", "c")))
        [2, 1]
    """
    index = {name: position for position, name in enumerate(names)}
    found = []
    for target, wanted in question.wanted.items():
        column = scores[:, index[target]]
        others = [index[s] for s in question.sources if s not in (target, wanted)]
        found.append(1 + int(np.sum(~(column[others] < column[index[wanted]]))))
    return found


def questions(family: zoo.Family, present: set[str]) -> list[Question]:
    """Returns what can be asked of the models that are there."""
    own = tuple(f"{task}-{family}" for task in zoo.TASK_NAMES)
    asked = []
    for other in ("residual", "large", "vit"):
        wanted = {f"{task}-{other}": f"{task}-{family}" for task in zoo.SIX_TASKS}
        if present >= {*wanted, *own}:
            asked.append(Question(f"same task, {other}", wanted, own))
    if family == "b":
        first = tuple(f"{task}-a" for task in zoo.TASK_NAMES)
        pairs = list(zip(own, first, strict=True))
        asked.append(Question("same task, seed of zoo B, in zoo A", dict(pairs), first))
        back = {a: b for b, a in pairs}
        asked.append(Question("same task, seed of zoo A, in zoo B", back, own))
        both = dict(pairs) | back
        asked.append(Question("the same, among both zoos", both, (*own, *first)))
    if zoo.CONTROL.name in present:
        control = dict.fromkeys(own, zoo.CONTROL.name)
        asked.append(Question("untrained", control, (*own, zoo.CONTROL.name)))
    return asked


def main() -> None:
    """Ask, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--zoo", choices=("a", "b"), default="a")
    parser.add_argument("--measure", default=MEASURES)
    parser.add_argument("--method", default="saliency")
    parser.add_argument("--reduction", default="sum")
    parser.add_argument("--probes", type=Path, default=zoo.CACHE / "probes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all places there")
    options = parser.parse_args()
    entries = [*(zoo.ZOO_A if options.zoo == "a" else (*zoo.ZOO_A, *zoo.ZOO_B)), *zoo.OTHERS]
    paths = [path for e in entries if (path := zoo.MODELS / f"{e.name}.onnx").exists()]
    settings = onnxattr.Options(
        measure=options.measure, method=options.method, reduction=options.reduction
    )
    ranking = onnxattr.rank(paths, probes=str(options.probes), options=settings)
    for failure in ranking.failures:
        print(f"{failure.name}: {failure.message}", file=sys.stderr)
    answers = {}
    for question in questions(options.zoo, set(ranking.similarity.names)):
        answers[question.text] = {
            "of": len({*question.sources} - {next(iter(question.wanted))}),
            "targets": list(question.wanted),
            "places": {
                pairs.measure: places(pairs.matrix, pairs.names, question)
                for pairs in ranking.measures
            },
        }
    if options.json:
        options.json.write_text(json.dumps(answers, indent=1) + "\n")
    show(answers)


def show(answers: Mapping[str, Mapping[str, object]]) -> None:
    """Print a row for each measure and question: the share of first places, and the mean place."""
    table = Table("looked for", "measure", "first", "mean place", "of", "places")
    for text, answer in answers.items():
        found: Mapping[str, list[int]] = answer["places"]  # type: ignore[assignment]
        for position, (measure, row) in enumerate(found.items()):
            table.add_row(
                text if not position else "",
                measure,
                f"{np.mean(np.array(row) == 1):.0%}",
                f"{np.mean(row):.1f}",
                str(answer["of"]),
                " ".join(map(str, row)),
                end_section=position == len(found) - 1,
            )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
