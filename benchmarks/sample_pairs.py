"""Whether two models of one task find each other, by method, with and without centring.

The samples hold one task from two frameworks and one from two seeds. For each of these four models
it prints the rank of its partner among the nine others (1 is the nearest; ties in brackets).

    python benchmarks/sample_pairs.py
"""

from pathlib import Path

import onnxattr
from onnxattr.attribution.methods import METHODS

MODELS = Path(__file__).parent.parent / "samples" / "models"
PAIRS = {
    "rgb2depth-torch": "rgb2depth-keras",
    "rgb2depth-keras": "rgb2depth-torch",
    "rgb2sfnorm-torch": "rgb2sfnorm-torch-seed2",
    "rgb2sfnorm-torch-seed2": "rgb2sfnorm-torch",
}


def main() -> None:
    """Measures and prints a table in markdown."""
    print("| method | " + " | ".join(PAIRS) + " |")
    print("| --- |" + " ---: |" * len(PAIRS))
    for method in METHODS:
        for paper in (False, True):
            options = onnxattr.Options(method=method, paper=paper)
            ranking = onnxattr.rank([MODELS], options=options)
            cells = []
            for target in ranking.targets:
                if target.name in PAIRS:
                    names = [s.name for s in target.sources]
                    place = names.index(PAIRS[target.name])
                    row = target.sources[place]
                    shared = f" ({row.rank}=)" if row.tied else ""
                    cells.append((target.name, f"{place + 1}{shared}, cosine {row.similarity:.2f}"))
            ordered = dict(cells)
            label = f"`{method}`" + (" `--paper`" if paper else "")
            print(f"| {label} | " + " | ".join(ordered[name] for name in PAIRS) + " |", flush=True)


if __name__ == "__main__":
    main()
