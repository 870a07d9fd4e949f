"""How many probes it takes to decide the closest sources, over many random orders of the probes.

Every order is run as `rank --until-stable` runs: maps centred on the probes so far, looked at after
the planned numbers of them. A decision is wrong where the order that was decided is not that of
all probes. An order is drawn with replacement, so that all probes are the truth that draws are
compared with; or is one of the probes themselves (`--shuffled`), as a user has it, which errs less.

    python benchmarks/stopping.py MODELS... [--probes DIR] [--orders N] [--shuffled] [--paper]
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import onnxattr
from onnxattr.space.looks import planned_looks
from onnxattr.space.sequential import Contest, Standing, StoppingRule
from onnxattr.space.similarity import similarity


def maps_of(models: list[str], probes: str | None) -> np.ndarray:
    """Returns the maps of all models, [model, probe, y, x]."""
    files = [f for m in models for f in (sorted(Path(m).glob("*.onnx")) or [Path(m)])]
    options = onnxattr.Options(limit=200 if probes is None else None)
    return np.stack(
        [onnxattr.attribute(file, probes=probes, options=options).values for file in files]
    )


def cosines(maps: np.ndarray, centred: bool) -> np.ndarray:
    """Returns the cosine of every two models on each probe, [model, model, probe]."""
    return similarity(list(maps), [""] * len(maps), centred=centred).per_probe


class Run:
    """One target on one order of the probes: where it stands, and what it was shown."""

    def __init__(
        self, target: int, models: int, looks: tuple[int, ...], wanted: StoppingRule
    ) -> None:
        self.sources = [i for i in range(models) if i != target]
        self.target, self.shown, self.playing = target, np.zeros(models, int), set(range(models))
        self._contest = Contest(len(self.sources), looks, wanted)
        self.standing: Standing | None = None

    def look(self, scores: np.ndarray) -> None:
        """Takes up the probes so far, [model, model, probe], unless all is settled."""
        if self.playing:
            self.shown[list(self.playing)] = scores.shape[2]
            self.standing = self._contest.look(scores[self.target, self.sources])
            left = {self.sources[i] for i in self.standing.playing} | {self.target}
            self.playing = set() if self.standing.settled else left


def main() -> None:
    """Measures and prints a table in markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--probes")
    parser.add_argument("--orders", type=int, default=50)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--confidence", type=float, default=0.95)
    given = parser.parse_args()
    maps = maps_of(given.models, given.probes)
    count, total = maps.shape[:2]
    truth = cosines(maps, not given.paper).mean(axis=2)
    rng = np.random.default_rng(0)
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    together: dict[int, list[tuple[float, float]]] = defaultdict(list)
    tops = (1, 3)
    for _ in range(given.orders):
        order = rng.permutation(total) if given.shuffled else rng.integers(0, total, total)
        wanted = {top: StoppingRule(top, given.confidence) for top in tops}
        looks = planned_looks(wanted[1].minimum, total)
        runs = {
            top: [Run(target, count, looks, wanted[top]) for target in range(count)] for top in tops
        }
        for look in looks:
            scores = cosines(maps[:, order[:look]], not given.paper)
            for top in tops:
                for run in runs[top]:
                    run.look(scores)
        for top in tops:
            rows[top] += [outcome(run, truth[run.target], total) for run in runs[top]]
            most = np.max([run.shown for run in runs[top]], axis=0)
            together[top].append((most.max() / total, most.mean() / total))
    print(f"{count} models, {total} probes, {given.orders} orders; at {given.confidence:g}")
    print("| | decided | tied | probes | … of decided | maps | places decided | wrong |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for top in tops:
        done, probes, shown, places, wrong = np.array(rows[top]).T
        decided = done == 1
        print(
            f"| top {top}, one target | {decided.mean():.0%} | {1 - decided.mean():.0%} "
            f"| {probes.mean():.0%} | {probes[decided].mean() if decided.any() else 0:.0%} "
            f"| {shown.mean():.0%} | {places.mean():.0%} | {wrong.mean():.1%} |"
        )
    for top in tops:
        probes, shown = np.array(together[top]).mean(axis=0)
        print(f"| top {top}, all targets | | | {probes:.0%} | | {shown:.0%} | | |")


def outcome(run: Run, truth: np.ndarray, total: int) -> tuple[float, ...]:
    """Returns whether all is decided, the shares of probes, maps and places, and if it is wrong."""
    standing = run.standing
    assert standing is not None
    best = sorted(run.sources, key=lambda i: -truth[i])
    wrong = any(
        done and run.sources[source] != best[place]
        for place, (source, done) in enumerate(zip(standing.order, standing.decided, strict=True))
    )
    return (
        float(all(standing.decided)),
        standing.probes / total,
        float(run.shown.mean()) / total,
        float(np.mean(standing.decided)),
        float(wrong),
    )


if __name__ == "__main__":
    main()
