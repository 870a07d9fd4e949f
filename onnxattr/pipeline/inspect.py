"""What models are, before anything is run."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

from onnxattr.execution.channel import Channel
from onnxattr.execution.local import Workers
from onnxattr.graph.find import find_models
from onnxattr.graph.options import InputOptions
from onnxattr.limits import Limits
from onnxattr.pipeline.adapters import ExportOptions, is_source
from onnxattr.pipeline.export import exported
from onnxattr.pipeline.job import HEAVY, SERVE, expect, failure_of, place_of
from onnxattr.pipeline.messages import Inspect, Inspected, source_of
from onnxattr.pipeline.options import Options
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Failure, Inspection, Survey


def inspect(
    models: str | Path | Sequence[str | Path],
    *,
    at: str | None = None,
    input: InputOptions | None = None,
    export: ExportOptions | None = None,
    limits: Limits | None = None,
    check_gradient: bool = False,
    stop: threading.Event | None = None,
) -> Survey:
    """Returns what each model is and what would be attributed, and the files that are no models.

    Models are converted, in worker processes, and not run unless their gradient is checked. Every
    operator without a converter is named, with its nodes, and every node that is refused for its
    attributes, types or shapes. Where values would have to be read to know, that is said.

    Args:
        models: One or several files, directories or glob patterns.
        at: As for `rank`.
        input: What the user says of the models' inputs.
        export: How sources that are no ONNX files are exported.
        limits: What a model may cost.
        check_gradient: Run each model on four built-in probes: compare it with ONNX Runtime, and
            its gradient with finite differences through ONNX Runtime.
        stop: Ends the work when it is set; what is not finished is among the failures.

    Example:
        >>> import onnxattr
        >>> (found,) = onnxattr.inspect(["samples/models/denoise-keras.onnx"]).models
        >>> found.origin.framework, found.spec.layout
        ('TensorFlow', 'NHWC')
    """
    found, failures = find_models(models, is_source)
    options = Options(at=at, input=input or InputOptions(), device="cpu", limits=limits or Limits())
    place = place_of(options)
    workers: Workers[Inspection] = Workers(
        SERVE,
        options.devices,
        memory=place.memory,
        seconds=options.limits.seconds,
        preload=HEAVY,
        stop=stop,
    )

    def ask(name: str, path: Path, channel: Channel) -> Inspection:
        source = source_of(name, files[name])
        workers.warm()
        channel.send(Inspect(place, source, options.at, options.input, check_gradient))
        inspection = expect(channel, Inspected, name).inspection
        problems = tuple(clean(problem, MAX_TEXT) for problem in inspection.problems)
        return dataclasses.replace(inspection, name=name, path=str(path), problems=problems)

    with exported(found, export or ExportOptions(), options.limits, stop) as (files, refused):
        failures += refused
        jobs = [lambda channel, _, n=name: ask(n, found[n], channel) for name in files]
        outcomes = dict(workers.run(jobs))
    inspections = []
    for number, name in enumerate(files):
        outcome = outcomes.get(number)
        if isinstance(outcome, Inspection):
            inspections.append(outcome)
        elif outcome is not None:
            failures.append(failure_of(name, outcome))
        else:
            failures.append(Failure(name, "it was not reached before the interruption", ""))
    return Survey(tuple(inspections), tuple(failures))
