"""What a directory of maps, or a map of models, holds, as JSON: how it was made, and hashes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnxattr.report.json import SCHEMA_VERSION, plain
from onnxattr.types import Attributions, MapFile, ModelMap


def to_index(result: Attributions, files: Sequence[MapFile], pictures: Mapping[str, Any]) -> str:
    """Returns JSON text; the same bytes for the same input.

    What differs from run to run (times, what was stored) is not in it.

    Args:
        result: What was attributed.
        files: What was written, below the directory.
        pictures: How these were drawn.
    """
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "attributions",
        "versions": plain(result.versions),
        "settings": plain({**result.settings, "pictures": pictures}),
        "probes": plain(result.probes.names),
        "models": [],
        "files": plain(files),
        "failures": plain(result.failures),
        "unfinished": plain(result.unfinished),
    }
    for summary, maps, unusable in zip(result.models, result.maps, result.unusable, strict=True):
        known = plain(summary)
        del known["unusable"]
        known["device"] = maps.device
        # Sorted: what the store keeps of them is.
        known["settings"] = plain(dict(sorted(maps.settings.items())))
        known["maps"] = [
            {
                "method": plain(each.method),
                "signed": each.signed[0],
                "unusable": count,
                "dims": list(each.dims),
                "shape": list(each.values.shape),
                "dtype": str(each.values.dtype),
            }
            for each, count in zip(maps.by_method(), unusable, strict=True)
        ]
        document["models"].append(known)
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_map_index(result: ModelMap, files: Sequence[MapFile]) -> str:
    """Returns JSON text; the same bytes for the same input.

    Args:
        result: The map.
        files: What was written, below the directory.
    """
    names = [model.name for model in result.models]
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "map",
        "versions": plain(result.versions),
        "settings": plain(result.settings),
        "leaves": plain([names[leaf] for leaf in result.leaves]),
        "clusters": plain(dict(zip(names, result.clusters, strict=False))),
        "kept": plain(result.kept),
        "models": plain(result.models),
        "files": plain(
            [{"path": f.path, "kind": f.kind, "sha256": f.sha256, "bytes": f.bytes} for f in files]
        ),
        "failures": plain(result.failures),
        "warnings": plain(result.warnings),
        "unfinished": plain(result.unfinished),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
