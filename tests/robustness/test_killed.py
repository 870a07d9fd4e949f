"""Rankings that are killed, or interrupted, at any moment: nothing is left behind, nothing is lost.

A few moments by default; hundreds where the environment has `ROBUSTNESS=full`.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from runs import Run, good_models, kept, result

from onnxattr.store import Store

FULL = os.environ.get("ROBUSTNESS") == "full"

MODELS, PROBES = (4, 96) if FULL else (3, 32)

#: How often a ranking is killed, and how often interrupted or terminated.
KILLS, SIGNALS = (200, 80) if FULL else (3, 2)

#: Seconds after which nothing may be left of a run that was killed or interrupted.
AFTER = 5.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, and what is in /proc")


@dataclass(frozen=True)
class Whole:
    """A run that nobody disturbed."""

    models: Path
    result: bytes
    store: dict[str, bytes]
    seconds: float

    def start(self, store, form="json"):
        return Run(_arguments(self.models, store, form))


def _arguments(models, store, form):
    # Blocks are finished one after the other for as long as possible, on one thread each.
    slow = ("--limit", PROBES, "--batch-size", 1, "--workers", 2, "--device", "cpu")
    return ["rank", models, *slow, "--store", store, "-f", form]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    models = good_models(root / "models", MODELS)
    run = Run(_arguments(models, root / "store", "json"))
    assert run.wait() == 0, run.err
    seconds = time.monotonic() - run.started
    assert run.left() == []
    return Whole(models, result(run.out), kept(root / "store"), seconds)


def _ends(whole, run, root, chance):
    """Waits for a random time, or for some blocks; returns whether the run ended before."""
    seconds, blocks = chance.uniform(0, whole.seconds), 0
    if chance.random() < 0.5:
        blocks = chance.randint(min(_count(root) + 1, len(whole.store)), len(whole.store))
        seconds = chance.uniform(0, 0.2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if run.process.poll() is not None:
            return True
        if _count(root) < blocks:
            end = time.monotonic() + seconds
        time.sleep(0.005)
    return False


def _count(root):
    return len(list(root.glob("v1/*/*/*.maps")))


def _check_store(root, before, whole):
    """Makes sure that a store is intact, and that nothing went away."""
    store = Store(root)
    after = kept(root)
    assert store.check() == (len(after), [])
    assert store.damaged == []
    assert before.items() <= after.items() <= whole.store.items()
    return after


def _finish(whole, root, before):
    """Lets a ranking end that was disturbed, with what is there already."""
    places = {name: (root / name).stat().st_ino for name in before}
    run = whole.start(root)
    assert run.wait() == 0, run.err
    assert result(run.out) == whole.result
    assert run.left() == []
    assert kept(root) == whole.store
    assert {name: (root / name).stat().st_ino for name in before} == places


def _kill(whole, root, chance, points):
    """Kills a ranking again and again until it ends by itself, or so many times."""
    seen = Counter()
    before = {}
    while seen["kills"] < points:
        run = whole.start(root)
        if not _ends(whole, run, root, chance):
            run.kill()
        code = run.wait(AFTER)
        if code == 0:
            assert result(run.out) == whole.result
            break
        assert code == -signal.SIGKILL, run.err
        assert run.out == b"" or result(run.out) == whole.result
        assert run.left(AFTER) == []
        after = _check_store(root, before, whole)
        seen["kills"] += 1
        seen["kills at work"] += before != after
        seen["left in tmp"] = len(list((root / "tmp").glob("*")))
        before = after
    _finish(whole, root, before)
    seen["chains"] += 1
    return seen


def _shares(total, number):
    return [total // number + (part < total % number) for part in range(number)]


def test_killed(whole, tmp_path):
    def work(part):
        seen, chance = Counter(), random.Random(part)
        while seen["kills"] < shares[part]:
            root = tmp_path / f"{part}-{seen['chains']}"
            seen += _kill(whole, root, chance, shares[part] - seen["kills"])
        return seen

    shares = _shares(KILLS, 2 if FULL else 1)
    with ThreadPoolExecutor(len(shares)) as pool:
        seen = sum(pool.map(work, range(len(shares))), Counter())

    sys.stdout.write(f"killed: {dict(seen)}, {whole.seconds:.1f} s undisturbed\n")
    assert seen["kills"] == KILLS


def _begin(run):
    """Waits until Python has left Ctrl-C to the command: on its own it prints a traceback."""
    seen = False
    while run.process.poll() is None:
        status = Path(f"/proc/{run.process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        mine, ended = (caught >> signal.SIGINT - 1 & 1, caught >> signal.SIGTERM - 1 & 1)
        if ended or (seen and not mine):
            return
        seen = seen or bool(mine)
        time.sleep(0.001)


def _interrupt(whole, root, chance, number, form):
    """Interrupts one ranking; returns what became of it."""
    before = kept(root)
    run = whole.start(root, form)
    _begin(run)
    if not _ends(whole, run, root, chance):
        run.send(number)
    code = run.wait(AFTER)
    assert run.left(AFTER) == []
    _check_store(root, before, whole)
    assert len(run.lines) <= 5, run.lines
    assert all(line == line.strip() != "" for line in run.lines)
    assert not any(line.startswith(("Traceback", "error: internal")) for line in run.lines)
    if code == -number:
        # Not there yet, or gone already; Python's own handlers would print a traceback.
        assert run.told("error") == []
        return "before or after the work"
    assert code in (0, 128 + number), run.err
    if not run.out:
        assert code != 0
        (error,) = run.told("error")
        assert "interrupt" in error
        return "without a ranking"
    partial = any("the ranking is partial" in line for line in run.told("warning"))
    if form == "table":
        assert (b"Partial ranking" in run.out) == partial
    else:
        ranking = run.json
        names = [model["name"] for model in ranking["models"]]
        assert len(names) >= 2
        assert sorted([*names, *ranking["unfinished"]]) == sorted(
            path.stem for path in whole.models.iterdir()
        )
        assert bool(ranking["unfinished"]) == partial
        assert [target["name"] for target in ranking["targets"]] == names
        if not partial:
            assert result(run.out) == whole.result
    return "partial ranking" if partial else "whole ranking"


def test_interrupted(whole, tmp_path):
    def work(part):
        chance, seen = random.Random(f"interrupt-{part}"), Counter()
        for point in range(shares[part]):
            root = tmp_path / f"{part}-{point // 6}"
            number = chance.choice((signal.SIGINT, signal.SIGTERM))
            form = ("table", "json")[point % 2]
            seen[f"{number.name}: {_interrupt(whole, root, chance, number, form)}"] += 1
            if point % 6 == 5 or point == shares[part] - 1:
                _finish(whole, root, kept(root))
        return seen

    shares = _shares(SIGNALS, 2 if FULL else 1)
    with ThreadPoolExecutor(len(shares)) as pool:
        seen = sum(pool.map(work, range(len(shares))), Counter())

    sys.stdout.write(f"interrupted: {dict(seen)}\n")
    assert sum(seen.values()) == SIGNALS


@pytest.mark.skipif(not FULL, reason="takes seconds, and tells little")
def test_interrupted_twice(whole, tmp_path):
    run = whole.start(tmp_path / "store")
    while not list((tmp_path / "store").glob("v1/*/*/*.maps")):
        time.sleep(0.01)
    run.send(signal.SIGINT)
    run.send(signal.SIGTERM)

    assert run.wait(AFTER) in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert run.left(AFTER) == []
    _check_store(tmp_path / "store", {}, whole)
