"""How alike the maps of one network are that many exporters wrote, and how unlike another's.

    python benchmarks/exporters.py [FOLDER]

For each network of tests/exporters/makers/blueprint.py and each method it prints how far the least
cosine of any two files on any probe is below 1 and, in brackets, the largest mean cosine of a file
and the network with permuted weights, before and after centring. Files and maps are kept in FOLDER,
if one is given. JAX_PYTHON and PADDLE_PYTHON name these frameworks' interpreters, as
tests/exporters/test_networks.py says.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "tests" / "exporters"))
from routes import BLUEPRINTS, CONTROL, METHODS, ROUTES, Files, called, lacks


def main() -> None:
    """Measures and prints a table in markdown."""
    for label in ROUTES:
        print(f"{label}: {lacks(label) or 'measured'}", file=sys.stderr)
    print("| network | files | " + " | ".join(METHODS) + " |")
    print("| --- | ---: |" + " ---: |" * len(METHODS))
    with tempfile.TemporaryDirectory() as folder:
        files = Files(sys.argv[1] if len(sys.argv) > 1 else folder)
        for network in BLUEPRINTS:
            cells, count = [], 0
            for method in METHODS:
                ranking = files.ranking(network, method)
                for failure in ranking.failures:
                    print(f"{failure.name}: {failure.message}", file=sys.stderr)
                count = len(ranking.models) - 1
                centred = files.ranking(network, method, centred=True)
                control = called(f"{network}_permuted", CONTROL)
                cells.append(cell(ranking.similarity, centred.similarity, control))
            print(f"| `{network}` | {count} | {' | '.join(cells)} |", flush=True)


def cell(raw: Any, centred: Any, permuted: str) -> str:
    """Returns 1 - the least cosine of two files, and the largest means with the permuted one."""
    control = np.array([name == permuted for name in raw.names])
    least = raw.per_probe[~control][:, ~control].min()
    floors = [s.per_probe[~control][:, control].mean(2).max() for s in (raw, centred)]
    return f"{1 - least:.0e} ({floors[0]:.2f}, {floors[1]:.2f})"


if __name__ == "__main__":
    main()
