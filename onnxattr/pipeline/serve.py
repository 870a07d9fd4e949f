"""The worker's side: everything that touches a model's bytes or a probe image happens here."""

import dataclasses
import hashlib
import os
from pathlib import Path

from onnxattr.arrays import Probing
from onnxattr.attribution.methods import parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.convert.device import choose_device, set_up, thread_count
from onnxattr.errors import ModelFileError
from onnxattr.execution.channel import Channel
from onnxattr.execution.worker import confine
from onnxattr.graph.array_input import shown_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.files import read_file
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.pipeline import blackbox
from onnxattr.pipeline.examination import Examination
from onnxattr.pipeline.messages import (
    Attribute,
    Attributed,
    Decode,
    Decoded,
    Examine,
    FindIdle,
    Hello,
    Idle,
    Inspect,
    Inspected,
    Observe,
    Place,
    Ready,
    Request,
    Source,
    Stamp,
    Stamped,
    Trace,
    Watch,
    Watched,
    Weigh,
    pack,
    printable,
    refusal_of,
)
from onnxattr.pipeline.weighing import weigh
from onnxattr.types import IMAGE, Failure, InputSpec, Model, Representation

#: Nothing that a parent sends is bounded but by the numbers of probes that it was given.
_ANY = 2**40

#: Built-in probes on which a model is tried.
_PROBES = 4


def serve(channel: Channel) -> None:
    """Answers requests until the parent is gone."""
    while True:
        request: Request = channel.receive(Request, _ANY)
        try:
            answer(request, channel)
        except Exception as error:
            channel.send(refusal_of(error))


def answer(request: Request, channel: Channel) -> None:
    """Answers one request; one for maps is followed by more of them.

    Raises:
        OnnxattrError: What was asked for cannot be had.
    """
    if isinstance(request, Hello):
        channel.send(Ready(enter(request.place)))
    elif isinstance(request, Decode):
        enter(request.place)
        channel.send(_decode(request))
    elif isinstance(request, Inspect):
        enter(request.place)
        channel.send(_inspect(request))
    elif isinstance(request, Stamp):
        enter(request.place)
        channel.send(_stamp(request))
    elif isinstance(request, Watch):
        enter(request.place)
        channel.send(_watch(request))
    elif isinstance(request, Weigh):
        enter(request.place)
        weigh(_load(request.source, request.place), channel)
    elif isinstance(request, FindIdle):
        enter(request.place)
        channel.send(_idle(request))
    elif isinstance(request, Examine):
        device = enter(request.place)
        examination = Examination(_load(request.source, request.place), request, device)
        channel.send(examination.described)
        while isinstance(wanted := channel.receive(Request, _ANY), Attribute | Trace | Observe):
            if isinstance(wanted, Trace):
                channel.send(examination.trace(wanted))
            elif isinstance(wanted, Observe):
                channel.send(examination.observe(wanted))
            else:
                channel.send(examination.attribute(wanted))


def enter(place: Place) -> str:
    """Takes up the bounds and the directory of `place`; returns the device to compute on."""
    os.chdir(place.folder)
    device = choose_device(place.device)
    confine(place.memory, accelerator=device != "cpu")
    return device


def _load(source: Source, place: Place) -> Model:
    given = Path(os.fsdecode(source.path)) if source.path is not None else source.data
    assert given is not None
    model = load(given, name=source.name, limits=place.limits)
    return dataclasses.replace(model, sidecar=model.sidecar or source.sidecar)


def _decode(request: Decode) -> Decoded:
    from onnxattr.probes import load_probes

    sources = None if request.sources is None else [os.fsdecode(s) for s in request.sources]
    probes = load_probes(sources, limit=request.limit, name=request.name)
    return Decoded(
        values=pack(probes.values),
        kind=probes.kind,
        names=tuple(map(printable, probes.names)),
        source=printable(probes.source),
        failures=tuple(
            Failure(printable(f.name), printable(f.message), printable(f.hint))
            for f in probes.failures
        ),
    )


def _inspect(request: Inspect) -> Inspected:
    from onnxattr.pipeline.inspection import inspect_model

    model = _load(request.source, request.place)
    trial = (lambda: _trial(model, request)) if request.check else None

    def runs(spec: InputSpec, chosen: Representation) -> bool:
        images = _few_probes(spec) if request.check else None
        return blackbox.is_possible(model, spec, chosen, request.place, images)

    limits = request.place.limits
    return Inspected(inspect_model(model, request.at, request.input, limits, trial, runs))


def _watch(request: Watch) -> Watched:
    from onnxattr.pipeline.watching import watch

    place = request.place
    set_up("cpu", place.threads, place.limits.gpu_memory)
    return watch(_load(request.source, place), request, thread_count())


def _idle(request: FindIdle) -> Idle:
    from onnxattr.pipeline.idling import idle_layers

    place = request.place
    set_up("cpu", place.threads, place.limits.gpu_memory)
    return idle_layers(_load(request.source, place), request, thread_count())


def _stamp(request: Stamp) -> Stamped:
    from onnxattr.graph.stamping import stamped

    source, limits = request.source, request.place.limits
    model = _load(source, request.place)
    spec = image_input(model, request.input)
    _, place = attributed(model, request.at, spec, limits)
    assert source.path is not None
    # As it is, and not as it was mended on its way in.
    data = read_file(Path(os.fsdecode(source.path)), limits, source.name)
    if not model.external and hashlib.sha256(data).hexdigest() != model.sha256:
        raise ModelFileError("the file changed while it was read", model=source.name)
    return Stamped(stamped(data, spec, place, source.name), spec, model.external)


def _trial(model: Model, request: Inspect) -> Attributed:
    """Runs a model on a few probes, with all checks."""
    spec = shown_input(model, request.input)
    examine = Examine(
        place=request.place,
        source=request.source,
        at=request.at,
        input=request.input,
        methods=(parse("saliency"),),
        reduction=Reduction(),
        batch_size=None,
        kind=spec.kind,
        shape=spec.axes,
    )
    wanted = Attribute(pack(_few_probes(spec)), check=True)
    return Examination(model, examine, "cpu").attribute(wanted)


def _few_probes(spec: InputSpec) -> Probing:
    """Returns some of the built-in probes, or noise for a model that takes no images."""
    from onnxattr.probe_arrays import trial_array
    from onnxattr.probes import load_probes

    if spec.kind != IMAGE:
        return trial_array(spec.kind, spec.axes, _PROBES)
    return load_probes(limit=_PROBES).values
