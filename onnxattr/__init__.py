"""onnxattr: ranks neural networks of any framework by how alike their attribution maps are.

    >>> import onnxattr
    >>> result = onnxattr.rank(["samples/models/rgb2*.onnx"], target="rgb2depth-torch")
    >>> result.targets[0].sources[0].name
    'rgb2depth-keras'

What stands here is the whole public interface. It is imported on first use, so that importing
`onnxattr` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxattr._version import __version__

if TYPE_CHECKING:
    from onnxattr.convert.torch import to_torch
    from onnxattr.errors import (
        DeviceError,
        ExportError,
        InputError,
        LimitError,
        ModelFileError,
        ModelInputError,
        OnnxattrError,
        ParityError,
        ProbeError,
        RankingError,
        ScoresError,
        StoreError,
        SupportError,
        UsageError,
        WorkerError,
    )
    from onnxattr.graph.load import load
    from onnxattr.graph.options import InputOptions
    from onnxattr.limits import Limits
    from onnxattr.pipeline.adapters import ExportOptions
    from onnxattr.pipeline.attribute import attribute_many
    from onnxattr.pipeline.audit import audit
    from onnxattr.pipeline.evaluate import evaluate
    from onnxattr.pipeline.export import export
    from onnxattr.pipeline.inspect import inspect
    from onnxattr.pipeline.map import map_models
    from onnxattr.pipeline.options import Options
    from onnxattr.pipeline.rank import attribute, compare, rank
    from onnxattr.pipeline.specs import stamp, write_spec
    from onnxattr.probes import load_probes
    from onnxattr.report.html import to_html
    from onnxattr.report.json import to_json
    from onnxattr.scores import load_scores
    from onnxattr.space.sequential import StoppingRule
    from onnxattr.types import (
        Assumption,
        Attributions,
        Audit,
        BehaviourEvidence,
        Comparison,
        CurvePoint,
        Estimate,
        Evaluation,
        Failure,
        Finding,
        FixedInput,
        Gallery,
        Gate,
        GradientCheck,
        InputSpec,
        Inspection,
        Join,
        Layout,
        Maps,
        Measured,
        Model,
        ModelMap,
        Neighbour,
        Origin,
        Otherwise,
        Pairs,
        PairScore,
        Parity,
        ProbeCosine,
        Probes,
        Ranking,
        Refused,
        Relation,
        Representation,
        Score,
        Scores,
        Settled,
        Similarity,
        Source,
        Stability,
        Stopping,
        Summary,
        Survey,
        Suspect,
        Target,
        TargetOutcome,
        Twin,
        Unsupported,
        Verdict,
    )

_HOMES = {
    "convert.torch": ("to_torch",),
    "errors": (
        "DeviceError",
        "ExportError",
        "InputError",
        "LimitError",
        "ModelFileError",
        "ModelInputError",
        "OnnxattrError",
        "ParityError",
        "ProbeError",
        "RankingError",
        "ScoresError",
        "StoreError",
        "SupportError",
        "UsageError",
        "WorkerError",
    ),
    "graph.options": ("InputOptions",),
    "graph.load": ("load",),
    "limits": ("Limits",),
    "pipeline": (
        "ExportOptions",
        "Options",
        "attribute",
        "attribute_many",
        "audit",
        "compare",
        "evaluate",
        "export",
        "inspect",
        "map_models",
        "rank",
        "stamp",
        "write_spec",
    ),
    "probes": ("load_probes",),
    "report.html": ("to_html",),
    "report.json": ("to_json",),
    "scores": ("load_scores",),
    "space.sequential": ("StoppingRule",),
    "types": (
        "Assumption",
        "Attributions",
        "Audit",
        "BehaviourEvidence",
        "Comparison",
        "CurvePoint",
        "Estimate",
        "Evaluation",
        "Failure",
        "Finding",
        "FixedInput",
        "Gallery",
        "Gate",
        "GradientCheck",
        "InputSpec",
        "Inspection",
        "Join",
        "Layout",
        "Maps",
        "Measured",
        "Model",
        "ModelMap",
        "Neighbour",
        "Origin",
        "Otherwise",
        "PairScore",
        "Pairs",
        "Parity",
        "ProbeCosine",
        "Probes",
        "Ranking",
        "Refused",
        "Relation",
        "Representation",
        "Score",
        "Scores",
        "Settled",
        "Similarity",
        "Source",
        "Stability",
        "Stopping",
        "Summary",
        "Survey",
        "Suspect",
        "Target",
        "TargetOutcome",
        "Twin",
        "Unsupported",
        "Verdict",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Assumption",
    "Attributions",
    "Audit",
    "BehaviourEvidence",
    "Comparison",
    "CurvePoint",
    "DeviceError",
    "Estimate",
    "Evaluation",
    "ExportError",
    "ExportOptions",
    "Failure",
    "Finding",
    "FixedInput",
    "Gallery",
    "Gate",
    "GradientCheck",
    "InputError",
    "InputOptions",
    "InputSpec",
    "Inspection",
    "Join",
    "Layout",
    "LimitError",
    "Limits",
    "Maps",
    "Measured",
    "Model",
    "ModelFileError",
    "ModelInputError",
    "ModelMap",
    "Neighbour",
    "OnnxattrError",
    "Options",
    "Origin",
    "Otherwise",
    "PairScore",
    "Pairs",
    "Parity",
    "ParityError",
    "ProbeCosine",
    "ProbeError",
    "Probes",
    "Ranking",
    "RankingError",
    "Refused",
    "Relation",
    "Representation",
    "Score",
    "Scores",
    "ScoresError",
    "Settled",
    "Similarity",
    "Source",
    "Stability",
    "Stopping",
    "StoppingRule",
    "StoreError",
    "Summary",
    "SupportError",
    "Survey",
    "Suspect",
    "Target",
    "TargetOutcome",
    "Twin",
    "Unsupported",
    "UsageError",
    "Verdict",
    "WorkerError",
    "__version__",
    "attribute",
    "attribute_many",
    "audit",
    "compare",
    "evaluate",
    "export",
    "inspect",
    "load",
    "load_probes",
    "load_scores",
    "map_models",
    "rank",
    "stamp",
    "to_html",
    "to_json",
    "to_torch",
    "write_spec",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `onnxattr` has no attribute `{name}`")
    return getattr(import_module(f"onnxattr.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
