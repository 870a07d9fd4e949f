"""The suspect by itself: whether there is anything to audit, and what was found of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from onnxattr.errors import RankingError
from onnxattr.pipeline.inspect import inspect
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.watch import Observation
from onnxattr.pipeline.weigh import weights_of
from onnxattr.types import Failure, Finding, Inspection, Suspect, Weighed


def weigh_suspect(
    source: Source, path: str | Path, options: Options, stop: threading.Event
) -> tuple[Weighed | None, tuple[Failure, ...]]:
    """Returns what the suspect's file is and its weights, and why it has none of these.

    A file of which neither is told may still be run; one that cannot even be loaded ends an audit
    here, in a second or two, and not behind all references.

    Args:
        source: Where it is.
        path: As the user gave it, for messages.
        options: Within which bounds it is read.
        stop: Ends the work when it is set.

    Raises:
        RankingError: It cannot be loaded; the message says why.
    """
    assert source.path is not None
    file = os.fsdecode(source.path)
    found, lost = weights_of({source.name: Path(file)}, limits=options.limits, stop=stop)
    if source.name in found:
        return found[source.name], ()
    if stop.is_set():
        raise RankingError("interrupted before the suspect was read")
    looked = inspect(file, at=options.at, input=options.input, limits=options.limits, stop=stop)
    if looked.models:
        return None, lost
    (reason,) = lost
    raise RankingError(
        f"the suspect `{path}` cannot be audited: {reason.message}",
        hint=reason.hint,
        failures=[reason],
    )


def suspect_of(
    name: str,
    path: Path,
    weighed: Weighed | None,
    inspection: Inspection | None,
    seen: Observation | None,
    failures: Sequence[str],
    refusal: str,
) -> Suspect:
    """Returns what is known of the suspect by itself.

    Args:
        name: What it is called.
        path: As the user gave it.
        weighed: Its identity.
        inspection: What came of its conversion and its checks.
        seen: What it makes of the probes.
        failures: Why a stage had to do without it, in words.
        refusal: Why it makes nothing of the probes, or ''.
    """
    findings = list(seen.findings) if seen else []
    findings += [Finding("refused", failure) for failure in failures]
    findings += [Finding("not run", refusal)] if refusal else []
    identity = weighed.identity if weighed else None
    deterministic = seen.ways[0].deterministic if seen else None
    if inspection is None:
        return Suspect(
            name, str(path), identity, findings=tuple(findings), deterministic=deterministic
        )
    for kind, group in (
        ("unsupported operator", inspection.unsupported),
        ("operator without gradient", inspection.gradientless),
    ):
        findings += [Finding(kind, f"{one.operator} ({len(one.nodes)})") for one in group]
    findings += [
        Finding("refused operator", f"{one.operator} ({len(one.nodes)}): {one.reason}")
        for one in inspection.refused
    ]
    findings += [Finding("problem", why) for why in inspection.problems if why != refusal]
    return Suspect(
        name=name,
        path=str(path),
        identity=identity,
        inputs=inspection.inputs,
        outputs=inspection.outputs,
        findings=tuple(findings),
        spec=inspection.spec,
        representation=inspection.representation,
        parity=inspection.parity,
        gradient=inspection.gradient,
        deterministic=deterministic,
    )
