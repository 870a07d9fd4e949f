"""How well each measure predicts the transfer that was measured in a zoo.

    python samples/miniature/evaluate.py            # zoo A
    python samples/miniature/evaluate.py --zoo b

All measures on the same probes, the first one what the others are compared with; then attribution
by the paper's three methods and arithmetic, and by others. All of it is taken at the encoder;
`predictability-representation` is `predictability` where nothing is known of the target but its
encoder. `onnxattr evaluate` says the same, one method at a time.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
# As a script, this file finds only its own folder; where the package is installed, both are there.
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

import onnxattr  # noqa: E402
from onnxattr.report.curves import to_svg  # noqa: E402
from onnxattr.report.json import to_json  # noqa: E402
from onnxattr.report.table import render  # noqa: E402
from samples.miniature import heads, zoo  # noqa: E402

MEASURES = (
    "predictability,predictability-representation,predictability-outputs,ensemble,"
    "attribution,cka,svcca,rsa,dds,depara"
)

#: Other ways to make and to compare maps.
ATTRIBUTIONS: dict[str, dict[str, Any]] = {
    "saliency, paper": {"paper": True},
    "grad-input, paper": {"method": "grad-input", "paper": True},
    "elrp, paper": {"method": "elrp", "paper": True},
    "grad-input": {"method": "grad-input"},
    "elrp": {"method": "elrp"},
    "smoothgrad": {"method": "smoothgrad"},
    "saliency, squared norm": {"reduction": "squared-norm"},
}

#: What models are asked on: rooms as they learnt them; the package's own images, which are of a
#: wider variety; and noise.
PROBES = {"scenes": zoo.CACHE / "probes", "built-in": None, "noise": zoo.CACHE / "noise"}


def rankings(
    models: list[Path], probes: str | None, limit: int | None
) -> dict[str, onnxattr.Scores | onnxattr.Ranking]:
    """Returns a table of [source, target] for each measure and each kind of map.

    Args:
        models: Files of the zoo, encoders with their heads.
        probes: Folder of probe images; None for those of the package.
        limit: How many of them; None for all.
    """
    tables: dict[str, onnxattr.Scores | onnxattr.Ranking] = {}
    shared = onnxattr.Options(at=heads.CODE, limit=limit)
    options = replace(shared, measure=MEASURES)
    ranking = onnxattr.rank(models, probes=probes, options=options)
    for pairs in ranking.measures:
        tables[pairs.measure] = onnxattr.Scores(
            pairs.measure, pairs.names, pairs.names, pairs.matrix
        )
    for name, how in ATTRIBUTIONS.items():
        tables[name] = onnxattr.rank(models, probes=probes, options=replace(shared, **how))
    return tables


def main() -> None:
    """Rank, evaluate, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--zoo", choices=("a", "b"), default="a")
    parser.add_argument(
        "--probes", choices=("scenes", "built-in", "noise"), default="scenes", help="on what"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N probes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything there")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw P@K and R@K")
    options = parser.parse_args()
    truth = zoo.HERE / f"affinity-{options.zoo}.csv"
    entries = zoo.ZOO_A if options.zoo == "a" else zoo.ZOO_B
    models = [heads.whole(entry.name) for entry in entries]
    folder = PROBES[options.probes]
    tables = rankings(models, folder and str(folder), options.limit)
    result = onnxattr.evaluate(truth, tables)
    if options.json:
        options.json.write_text(to_json(result))
    if options.figure:
        options.figure.write_text(to_svg(result))
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    render(result, Console())


if __name__ == "__main__":
    main()
