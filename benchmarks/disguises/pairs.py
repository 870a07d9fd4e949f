"""Who is held against whom, and what the truth is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.disguises import files, making, plan, trained
from samples.miniature.zoo import MODELS, OTHERS, ZOO_A, ZOO_B, Entry

Truth: TypeAlias = Literal["derived", "distilled", "independent"]


@dataclass(frozen=True)
class Suspect:
    """A model that is held against a victim.

    Attributes:
        victim: By its task.
        group: The disguise, or what kind of independent model it is: a row of the table.
        truth: Whether it comes from the victim.
        path: Of its file.
        base: Of a disguised independent model, the path of the model that was disguised.
        ancestor: The victim that it comes from after all, if there is another one; '' if none.
    """

    victim: str
    group: str
    truth: Truth
    path: Path
    base: Path | None = None
    ancestor: str = ""

    @property
    def name(self) -> str:
        """What tells it from the victim's other suspects: its folder, if it was made here."""
        return name_of(self.path)

    @property
    def shares_start(self) -> bool:
        """Whether it is independent, but began with the victim's own initial weights."""
        return self.group.startswith("its initial seed")


def name_of(path: Path) -> str:
    """Return what a model is called in the scores."""
    return f"{'zoo' if path.parent == MODELS else path.parent.name}/{path.stem}"


def reference_of(victim: str) -> str:
    """Return what a victim is called in the scores."""
    return f"zoo/{plan.entry(victim).name}"


def suspects(victim: str) -> list[Suspect]:
    """Return all suspects of a victim whose files are there."""
    return [found for found in (*_derived(victim), *_independent(victim)) if found.path.exists()]


def _derived(victim: str) -> Iterator[Suspect]:
    for name in (*files.DISGUISES, *trained.DERIVED, making.FURTHER):
        truth: Truth = "distilled" if name in trained.DISTILLED else "derived"
        yield Suspect(victim, name, truth, making.path_of(victim, name))


def _independent(victim: str) -> Iterator[Suspect]:
    for name in trained.INDEPENDENT:
        base = making.path_of(victim, name)
        yield _apart(victim, name, base)
        for over in files.OF_INDEPENDENTS:
            path = making.path_of(victim, f"{name}, {over}")
            yield Suspect(victim, f"{name}, {over}", "independent", path, base)
    before = plan.preceding(victim)
    other = making.path_of(before, "its initial seed, another task")
    yield _apart(victim, "another seed", other)
    path = making.path_of(before, "transferred, long")
    yield Suspect(victim, "same task, by transfer", "independent", path, ancestor=before)
    for entry in (*ZOO_A, *ZOO_B, *OTHERS):
        if (entry.task, entry.family) != (victim, "a"):
            yield _apart(victim, _group(victim, entry), MODELS / f"{entry.name}.onnx")


def _apart(victim: str, group: str, path: Path) -> Suspect:
    return Suspect(victim, group, "independent", path)


def _group(victim: str, entry: Entry) -> str:
    if entry.family == "untrained":
        return "untrained"
    task = "same task" if entry.task == victim else "another task"
    kinds = {"a": "", "b": ", another seed"}
    return task + kinds.get(entry.family, ", another kind")
