"""Who is held against whom, and what the truth is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.disguises import files, making, plan, trained
from samples.miniature import heads
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
        whole: Whether it comes with its head, and is held against the victim with its own.
        ancestor: The victim that it comes from after all, if there is another one; '' if none.
    """

    victim: str
    group: str
    truth: Truth
    path: Path
    base: Path | None = None
    ancestor: str = ""
    whole: bool = False

    @property
    def reference(self) -> Path:
        """The victim's file, with or without its head."""
        return victim_of(self.victim, self.whole)

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


def victim_of(victim: str, whole: bool = False) -> Path:
    """Return the file of a victim, with or without its head."""
    name = plan.entry(victim).name
    return heads.whole(name) if whole else MODELS / f"{name}.onnx"


def reference_of(victim: str, whole: bool = False) -> str:
    """Return what a victim is called in the scores."""
    return f"{'whole' if whole else 'zoo'}/{plan.entry(victim).name}"


def suspects(victim: str) -> list[Suspect]:
    """Return all suspects of a victim whose files are there."""
    return [found for found in (*_derived(victim), *_independent(victim)) if found.path.exists()]


def _derived(victim: str) -> Iterator[Suspect]:
    for name in (*files.DISGUISES, *trained.DERIVED, making.FURTHER):
        truth: Truth = "distilled" if name in trained.DISTILLED else "derived"
        yield Suspect(victim, name, truth, making.path_of(victim, name))
        if name in trained.WHOLE:
            yield _whole(victim, name, truth)


def _whole(victim: str, name: str, truth: Truth) -> Suspect:
    name = f"{name}{making.WHOLE}"
    return Suspect(victim, name, truth, making.path_of(victim, name), whole=True)


def _independent(victim: str) -> Iterator[Suspect]:
    for name in trained.INDEPENDENT:
        base = making.path_of(victim, name)
        yield _apart(victim, name, base)
        if name != "its initial seed, another task":
            yield _whole(victim, name, "independent")
        for over in files.OF_INDEPENDENTS:
            path = making.path_of(victim, f"{name}, {over}")
            yield Suspect(victim, f"{name}, {over}", "independent", path, base)
    before = plan.preceding(victim)
    other = making.path_of(before, "its initial seed, another task")
    yield _apart(victim, "another seed", other)
    path = making.path_of(before, "transferred, long")
    yield Suspect(victim, "same task, by transfer", "independent", path, ancestor=before)
    path = heads.whole(f"{victim}-b")
    yield Suspect(victim, "same task, another seed, whole", "independent", path, whole=True)
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
