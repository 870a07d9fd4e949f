"""Models that chance has changed: each is ranked, or refused in one clear line; and nothing hangs.

Some dozens of each kind by default; ten thousand where the environment has `ROBUSTNESS=full`. With
`MUTANTS="byte-17 field-33"` those alone; `mutants.py` says what they are.
"""

import os
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import mutants
import numpy as np
import psutil
import pytest
from small_models import encoder, save

import onnxattr
from onnxattr.pipeline import Silent, space
from onnxattr.sanitise import clean

FULL = os.environ.get("ROBUSTNESS") == "full"
GIVEN = os.environ.get("MUTANTS", "").split()

#: Mutants of each kind, and of one call.
COUNT, BATCH = (10_000, 250) if FULL else (60, 80)

#: Seconds of one model, and beyond them for what is done between two models on a busy machine.
SECONDS, SLACK = 20.0, 20.0

#: Bytes that the process which starts the workers may come to hold during one call.
GROWTH = 400 * 2**20

LIMITS = onnxattr.Limits(seconds=SECONDS, memory=4 << 30)
OPTIONS = onnxattr.Options(limit=2, device="cpu", workers=2, store=None, limits=LIMITS)

GOOD = ("good-torch", "good-keras")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals")


@dataclass
class Tally:
    """What became of mutants, and a line for each that went as it must not."""

    outcomes: Counter[str] = field(default_factory=Counter)
    killed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    most: int = 0

    def show(self, kind):
        count = sum(self.outcomes.values())
        lines = [f"{kind}: {count} mutants in {self.seconds:.0f} s, {len(self.wrong)} wrong"]
        lines += [f"{number:8}  {what}" for what, number in self.outcomes.most_common()]
        lines.append(f"{self.most / 2**20:8.0f}  MiB more in this process, at most")
        lines += [f"killed or stopped: {' '.join(self.killed)}"] if self.killed else []
        return "\n".join([*lines, *self.wrong, ""])


class Watch(Silent):
    """Notes the errors that models are refused for; ends everything when nothing moves."""

    def __init__(self):
        self.kinds, self.stop, self.most = {}, threading.Event(), 0
        self._moved, self._over = time.monotonic(), threading.Event()

    def __enter__(self):
        self._before = psutil.Process().memory_info().rss
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()

    def model(self, name):
        self._moved = time.monotonic()

    def advance(self, probes):
        self._moved = time.monotonic()

    def failed(self, failure):
        self._moved = time.monotonic()

    def note(self, name, error):
        self.kinds[name] = type(error).__name__
        return _failure_of(name, error)

    def _look(self):
        while not self._over.wait(0.1):
            self.most = max(self.most, psutil.Process().memory_info().rss - self._before)
            if time.monotonic() - self._moved > SECONDS + SLACK:
                self.stop.set()


_failure_of = space.failure_of


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Ranks mutants, some hundreds at a time, each time beside two good models."""

    def run(names):
        tally = Tally()
        for start in range(0, len(names), BATCH):
            _run(tmp_path / f"{start}", names[start : start + BATCH], tally, monkeypatch)
            if FULL:
                told = "".join(f", {line}" for line in tally.wrong)
                sys.stderr.write(f"{start + BATCH} in {tally.seconds:.0f} s{told}\n")
        return tally

    return run


def _write(folder, names):
    save(encoder(1), folder / f"{GOOD[0]}.onnx")
    save(encoder(2, nhwc=True, framework="TensorFlow"), folder / f"{GOOD[1]}.onnx")
    for name in names:
        (folder / f"{name}.onnx").write_bytes(mutants.mutant(name))
    # What some of them say that their tensors are in.
    (folder / "weights").write_bytes(bytes(range(256)) * 40)


def _run(folder, names, tally, monkeypatch):
    _write(folder, names)
    started = time.monotonic()
    with Watch() as watch:
        monkeypatch.setattr(space, "failure_of", watch.note)
        result = onnxattr.rank([folder], options=OPTIONS, progress=watch, stop=watch.stop)
    tally.seconds += time.monotonic() - started
    tally.most = max(tally.most, watch.most)
    ranked = {model.name for model in result.models}
    told = {failure.name: failure for failure in result.failures}
    assert set(GOOD) <= ranked, told
    for name in names:
        if name in result.unfinished:
            tally.outcomes["hanging"] += 1
            tally.wrong.append(f"{name}: hangs, or what was beside it")
        elif name in ranked:
            tally.outcomes["ranked"] += 1
        elif name in told:
            kind = watch.kinds.get(name, "maps that are no use")
            message = told[name].message
            if "was killed by" in message:
                kind = f"killed by {message.split()[-1]}"
            elif "and was stopped" in message:
                kind = f"stopped: {message}"
            if kind.startswith(("killed", "stopped")):
                tally.killed.append(name)
            tally.outcomes[kind] += 1
            if reason := _unclear(told[name]):
                tally.wrong.append(f"{name}: {reason}: {message!r} {told[name].hint!r}")
        else:
            tally.wrong.append(f"{name}: nothing is said of it")
    tally.wrong += _wrong_scores(result)
    if watch.most > GROWTH:
        tally.wrong.append(f"{watch.most} bytes more in this process for {names[0]} to {names[-1]}")


def _unclear(failure):
    """Returns what is wrong with the words for a failure, or ''."""
    if "bug in onnxattr" in failure.hint:
        return "a leak"
    if not failure.message.strip():
        return "no reason"
    if re.match(r"[A-Z]\w*(Error|Exception|Interrupt|Iteration)\b", failure.message):
        return "the name of an exception"
    if "Traceback" in failure.message or len(failure.message.splitlines()) > 1:
        return "more than one line"
    if clean(failure.message, 10**6) != failure.message:
        return "unprintable"
    return ""


def _wrong_scores(result):
    compared, unusable = result.similarity, {m.name: m.unusable for m in result.models}
    for i, j in zip(*np.nonzero(~np.isfinite(compared.matrix)), strict=True):
        # Two models have no score if each is of use on the other's blind probes only.
        if i == j or not (unusable[compared.names[i]] and unusable[compared.names[j]]):
            yield f"{compared.names[i]}: no score beside {compared.names[j]}"
    for target in result.targets:
        for source in target.sources:
            numbers = (source.similarity, source.low, source.high)
            if not all(-1 <= number <= 1 for number in numbers):
                yield f"{target.name}: {numbers} beside {source.name}"


@pytest.mark.skipif(bool(GIVEN), reason="others are given")
@pytest.mark.parametrize("kind", mutants.KINDS)
def test_mutants(run, kind):
    found = [name for name in mutants.FOUND if name.startswith(kind)]

    tally = run([*found, *(name for name in mutants.names(kind, COUNT) if name not in found)])

    sys.stdout.write(tally.show(kind))
    assert tally.wrong == []
    assert tally.outcomes["ranked"] > COUNT // 20


@pytest.mark.skipif(bool(GIVEN), reason="others are given")
def test_inspected(tmp_path):
    names = [name for kind in mutants.KINDS for name in mutants.names(kind, COUNT // 10)]
    names += [name for name in mutants.FOUND if name not in names]
    _write(tmp_path, names)

    survey = onnxattr.inspect([tmp_path], limits=LIMITS)

    told = [each.name for each in (*survey.models, *survey.failures)]
    assert sorted(told) == sorted([*names, *GOOD])
    problems = [
        onnxattr.Failure(each.name, problem, "")
        for each in survey.models
        for problem in each.problems
    ]
    failures = [*survey.failures, *problems]
    wrong = [(each, reason) for each in failures if (reason := _unclear(each))]
    assert wrong == []
    assert len(survey.models) > len(names) // 10


@pytest.mark.skipif(not GIVEN, reason="none is given")
def test_given(run):
    tally = run(GIVEN)

    sys.stdout.write(tally.show("given"))
    assert tally.wrong == []
