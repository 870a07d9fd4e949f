"""The audit of one model: what it is, whether it runs as it says, and what it may come from."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxattr.errors import RankingError
from onnxattr.lineage.behaviour import MEASURES
from onnxattr.lineage.policy import judge, parse_condition
from onnxattr.lineage.twins import SAME_TASK
from onnxattr.lineage.verdict import ALPHA, LEAST_SCORE, decide, order
from onnxattr.pipeline import job
from onnxattr.pipeline.audit_stages import run
from onnxattr.pipeline.audit_work import LINEAGE, RANKED, Work
from onnxattr.pipeline.audited_models import Twins, cast
from onnxattr.pipeline.export import sources_of
from onnxattr.pipeline.figures import gallery_of
from onnxattr.pipeline.options import Options, Progress, Silent
from onnxattr.pipeline.probe_warnings import FEW_PROBES, probe_warnings
from onnxattr.pipeline.space import ProbeSource, model_warnings, partial, prepare, settings_of
from onnxattr.pipeline.suspect import weigh_suspect
from onnxattr.space.measures.table import WHOLE_MEASURES
from onnxattr.types import Audit


def audit(
    suspect: str | Path,
    *,
    against: str | Path | Sequence[str | Path],
    twins: Twins = (),
    probes: ProbeSource = None,
    options: Options | None = None,
    search: bool = True,
    fail_if: Sequence[str] = (),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Audit:
    """Returns what a model is, and whether it is one of some known models, or derived from one.

    A reference or a twin that cannot be used costs only itself, and is among the failures.

    Args:
        suspect: A model file.
        against: The known models: files, directories or glob patterns.
        twins: Models of the same tasks that are known to be independent of the references: trained
            by somebody else, or from another seed; two a reference at least. Without them nothing
            is concluded from behaviour, and p-values are as small as they are many. A mapping from
            a reference's name, or text such as `NAME=FILES`, says whose task they share; of others
            it is found out.
        probes: As for `rank`.
        options: What decides the numbers; the methods are the audit's own, `measure` is by what the
            nearest known models are told.
        search: Whether orders of colours and ranges are tried, on suspect and twins alike.
        fail_if: Conditions of a policy, such as `derived` and `similarity>0.9`.
        progress: Told of what is going on.
        stop: Ends the work when it is set; the audit is undecided then where it lacks something.

    Raises:
        UsageError: The suspect is not one file, there are no references, or an option or a
            condition is wrong.
        RankingError: The suspect cannot be loaded, or not one reference is left.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.
        StoreError: The store cannot be read.

    Example:
        >>> import onnxattr
        >>> folder, options = "samples/models", onnxattr.Options(limit=8)
        >>> result = onnxattr.audit(
        ...     f"{folder}/edge2d-torch.onnx", against=f"{folder}/edge2d-*.onnx", options=options
        ... )
        >>> result.verdict.kind, result.verdict.reference
        ('identical', 'edge2d-torch')
    """
    conditions = [parse_condition(text) for text in fail_if]
    progress, stop = progress or Silent(), stop or threading.Event()
    given = options or Options()
    measures = given.measures if given.measure else WHOLE_MEASURES
    # Maps are compared in any case, and are not made where no measure asks for them.
    measure = ",".join(dict.fromkeys([*measures, "attribution"]))
    options = dataclasses.replace(given, method=f"{RANKED},{LINEAGE}", measure=measure)
    started = time.perf_counter()
    roles = cast(suspect, against, twins)
    failures = list(roles.failures)
    for failure in failures:
        progress.failed(failure)
    with sources_of(roles.paths, failures, options, progress, stop) as sources:
        if roles.suspect not in sources:
            reason = next((f.message for f in failures if f.name == roles.suspect), "it is gone")
            raise RankingError(
                f"the suspect `{roles.suspect}` cannot be read: {reason}", failures=failures
            )
        path = roles.paths[roles.suspect]
        weighed, unknown = weigh_suspect(sources[roles.suspect], path, options, stop)
        spent = time.perf_counter() - started
        devices, loaded = prepare(probes, options, stop)
        device = ", ".join(devices)
        work = Work(roles, sources, loaded, options, progress, stop, failures, device)
        work.seconds["weights"] = spent
        work.take_weights({roles.suspect: weighed} if weighed else {}, unknown)
        for failure in loaded.failures:
            work.leave_out(failure)
        found = run(work, search=search)
    if not found.relations:
        if stop.is_set():
            raise RankingError("interrupted before a reference was compared with the suspect")
        raise RankingError(
            f"not one of {len(roles.references)} references can be compared with the suspect",
            hint="`onnxattr inspect` says more of each model",
            failures=failures,
        )
    ordered = tuple(order(found.relations))
    compared = {each.reference for each in ordered}
    verdict = decide(
        ordered,
        found.twins,
        missing=[name for name in roles.references if name not in compared],
        interrupted=stop.is_set(),
    )
    examined = work.shown([each.reference for each in ordered])
    return Audit(
        suspect=found.suspect,
        verdict=verdict,
        relations=ordered,
        twins=found.twins,
        nearest=found.nearest,
        sensitivity=found.sensitivity,
        gates=judge(conditions, verdict, ordered, found.nearest),
        failures=tuple(sorted(failures, key=lambda failure: failure.name)),
        warnings=_warnings(work),
        settings=_settings(work, search=search),
        versions=job.versions(),
        seconds={"total": time.perf_counter() - started, **work.seconds},
        unfinished=tuple(work.unfinished),
        models=tuple(one.summary for one in examined),
        stored=tuple(one.summary.name for one in examined if one.stored),
        gallery=gallery_of([one.maps.by_method()[0] for one in examined], work.probes)
        if roles.suspect in work.examined
        else None,
    )


def _settings(work: Work, *, search: bool) -> dict[str, Any]:
    """Returns what an audit was made with: its options, and the bounds of its verdict."""
    return {
        **settings_of(work.options, work.probes, work.device),
        "suspect": work.roles.suspect,
        "search": search,
        "alpha": ALPHA,
        "least_score": LEAST_SCORE,
        "same_task": SAME_TASK,
        "deciding": [name for name, measure in MEASURES.items() if measure.decides],
    }


def _warnings(work: Work) -> tuple[str, ...]:
    """Returns what a reader of an audit must know, a line each."""
    lines = [partial("audit", work.unfinished, work.options)] if work.unfinished else []
    lines += work.notes
    lines += model_warnings([one.summary for _, one in sorted(work.examined.items())])
    if (count := len(work.probes.values)) < FEW_PROBES:
        noun = "1 probe is" if count == 1 else f"{count} probes are"
        lines.append(f"{noun} too few for the behaviour of models to be told apart")
    return (*lines, *probe_warnings(work.probes))
