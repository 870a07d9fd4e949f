"""The worker's side: everything that touches a model's bytes or a probe image happens here."""

import dataclasses
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.arrays import Probing
from onnxattr.attribution.entries import OUTPUTS
from onnxattr.attribution.methods import parse
from onnxattr.attribution.reductions import Reduction
from onnxattr.convert.device import choose_device, runtime_device, set_up, thread_count
from onnxattr.errors import ModelFileError, OnnxattrError, ParityError, SupportError
from onnxattr.execution.channel import Channel
from onnxattr.execution.worker import confine
from onnxattr.graph.array_input import probe_input, shown_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.beside import outputs_beside
from onnxattr.graph.budget import require_budget
from onnxattr.graph.channels import channels_of
from onnxattr.graph.files import read_file
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.pipeline import blackbox
from onnxattr.pipeline.messages import (
    DTYPES,
    UNITS,
    Attribute,
    Attributed,
    Decode,
    Decoded,
    Described,
    Examine,
    Hello,
    Inspect,
    Inspected,
    Observe,
    Observed,
    Place,
    Ready,
    Request,
    Source,
    Stamp,
    Stamped,
    Units,
    Watch,
    Watched,
    Weigh,
    pack,
    printable,
    refusal_of,
    unpack,
)
from onnxattr.pipeline.weighing import weigh
from onnxattr.space.measures.table import OUTPUTS as OF_OUTPUTS
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
    elif isinstance(request, Examine):
        device = enter(request.place)
        examination = Examination(_load(request.source, request.place), request, device)
        channel.send(examination.described)
        while isinstance(wanted := channel.receive(Request, _ANY), Attribute | Observe):
            if isinstance(wanted, Observe):
                channel.send(examination.observe(wanted))
            else:
                channel.send(examination.attribute(wanted))


def enter(place: Place) -> str:
    """Takes up the bounds and the directory of `place`; returns the device to compute on."""
    os.chdir(place.folder)
    device = choose_device(place.device)
    confine(place.memory, accelerator=device != "cpu")
    return device


@dataclass(frozen=True, eq=False)
class Part:
    """A conversion of the model, and what makes the maps of some of the methods from it.

    Attributes:
        places: Of these methods, among all.
        network: A `types.Network`.
        gate: Its way to ONNX Runtime, a `convert.parity.Gate`.
        engine: An `attribution.engine.Engine`.
    """

    places: tuple[int, ...]
    network: Any
    gate: Any
    engine: Any


class Examination:
    """One model on its way from a file to maps; torch is imported when the first are asked for.

    Args:
        model: The model as it was given.
        request: What is wanted of it.
        device: Where to compute.

    Raises:
        OnnxattrError: The model cannot be used.
    """

    def __init__(self, model: Model, request: Examine, device: str) -> None:
        self._black_box = request.methods[0].entry.kind == OUTPUTS
        self._device = device = runtime_device(device) if self._black_box else device
        self._model, self._request = model, request
        spec = probe_input(model, request.input, request.kind, request.shape)
        chosen = attributed(model, request.at, spec, request.place.limits)[0]
        said = OF_OUTPUTS in request.units
        self.described = Described(
            sha256=model.sha256,
            external=model.external,
            origin=model.origin,
            opset=model.opset,
            parameters=model.parameters,
            spec=spec,
            representation=chosen,
            device=device,
            outputs=outputs_beside(model, chosen, spec, request.place.limits) if said else "",
        )
        self._observer: Any = None
        self._parts: list[Part] = []
        self._makers: list[Any] = []
        self._seconds: dict[str, float] = {}

    def attribute(self, wanted: Attribute) -> Attributed:
        """Returns the maps of some probes.

        Raises:
            OnnxattrError: The model cannot be used.
        """
        self._seconds = {}
        probes = self._given(wanted)
        if self._black_box:
            return self._by_outputs(probes)
        try:
            return self._by_gradient(probes, wanted.check)
        except (SupportError, ParityError) as error:
            if blackbox.is_possible(*self._whole(), probes):
                error.hint = f"{error.hint}; {blackbox.HINT}" if error.hint else blackbox.HINT
            raise

    def observe(self, wanted: Observe) -> Observed:
        """Returns the units of some probes: ONNX Runtime alone is asked, and nothing converted.

        Raises:
            OnnxattrError: The model cannot be used.
        """
        self._seconds = {}
        return Observed(units=self._alone(self._given(wanted)), seconds=self._seconds)

    def _given(self, wanted: Attribute | Observe) -> Probing:
        kind = self._request.kind
        shape = (-1, -1, 3) if kind == IMAGE else self._request.shape
        return unpack(wanted.images, DTYPES[kind], (-1, *shape))

    def _alone(self, probes: Probing) -> dict[str, Units]:
        """Returns the units that are wanted, by a pass of their own."""
        if not self._request.units:
            return {}
        from onnxattr.attribution.witness import observed
        from onnxattr.convert.observer import Observer

        place = self._request.place
        try:
            with self._timed("observe"):
                if self._observer is None:
                    require_budget(self._model, self.described.spec, place.limits)
                    set_up("cpu", place.threads, place.limits.gpu_memory)
                    value, beside = self.described.representation.value, self.described.outputs
                    self._observer = Observer(self._model, value, beside, thread_count())
                # Whether a model that is not converted mixes its batch is not known.
                spec, witness = self.described.spec, self._witness()
                alone = self._black_box
                return _packed(observed(self._observer, witness, spec, probes, alone=alone))
        except OnnxattrError as error:  # Which costs no maps.
            return {
                part: Units(None, lacking=printable(error.message)) for part in self._request.units
            }

    def _witness(self) -> Any:
        """Returns what gathers units, an `attribution.witness.Witness`."""
        from onnxattr.attribution.witness import Witness

        graph, found = self._model.proto.graph, self.described
        values = dict(zip(UNITS, (found.representation.value, found.outputs), strict=True))
        channels = {part: channels_of(graph, values[part]) for part in self._request.units}
        return Witness(found.spec, self._request.units, channels)

    def _whole(self) -> tuple[Model, InputSpec, Representation, Place]:
        found = self.described
        return self._model, found.spec, found.representation, self._request.place

    def _by_outputs(self, probes: Probing) -> Attributed:
        """Returns maps of outputs alone: there is no conversion that could be wrong."""
        request = self._request
        if not self._makers:
            require_budget(self._model, self.described.spec, request.place.limits)
            with self._timed("load"):
                self._makers = [
                    blackbox.black_box(
                        *self._whole(),
                        device=self._device,
                        method=method,
                        reduction=request.reduction,
                        seed=request.seed,
                        batch_size=request.batch_size,
                    )
                    for method in request.methods
                ]
        with self._timed("attribute"):
            maps = np.stack([maker.maps(probes) for maker in self._makers])
        return Attributed(
            maps=pack(maps),
            batch=min(maker.size for maker in self._makers),
            parity=None,
            tolerance=None,
            gradient=None,
            units=self._alone(probes),
            seconds=self._seconds,
        )

    def _by_gradient(self, probes: Probing, check: bool) -> Attributed:
        """Returns maps of gradients, once the network is found right on the probes."""
        from onnxattr.attribution.arithmetic import arithmetic
        from onnxattr.attribution.check import check_gradient

        self._parts = self._parts or self._prepare()
        parity, checks = 0.0, []
        found = np.empty(
            (len(self._request.methods), len(probes), *self.described.spec.map_shape), np.float32
        )
        witness = self._witness()
        for place, part in enumerate(self._parts):
            # Always in float32 or better: a coarser precision is no matter of the conversion, whose
            # tolerance it would hide in.
            with self._timed("parity"), arithmetic(self._device):
                keep = None if place else witness.keep
                parity = max(parity, part.gate.check(probes, keep))
            with self._timed("attribute"):
                found[list(part.places)] = part.engine.maps(probes)
            if check:
                with self._timed("check"), arithmetic(self._device):
                    checks.append(check_gradient(part.network, part.gate, probes))
        known = [each for each in checks if each is not None]
        return Attributed(
            maps=pack(found),
            batch=min(part.engine.size for part in self._parts),
            parity=parity,
            tolerance=max(part.gate.tolerance for part in self._parts),
            gradient=max(known, key=lambda each: each.error, default=None),
            seconds=self._seconds,
            settings=self._parts[0].engine.settings,
            units=_packed(witness.units(self._parts[0].gate.observer.lost)),
        )

    def _prepare(self) -> list[Part]:
        """Converts the model once for all methods that want the same fusions."""
        request, place = self._request, self._request.place
        require_budget(self._model, self.described.spec, place.limits)
        with self._timed("convert"):
            set_up(self._device, place.threads, place.limits.gpu_memory)
            from onnxattr.attribution.engine import Engine
            from onnxattr.convert.parity import Gate
            from onnxattr.convert.torch import to_network
            from onnxattr.graph.normalise import FUSIONS

            groups: dict[frozenset[str], list[int]] = {}
            for place_of, method in enumerate(request.methods):
                groups.setdefault(method.entry.unfused, []).append(place_of)
            parts: list[Part] = []
            for unfused, places in groups.items():
                network = to_network(
                    self._model,
                    at=request.at,
                    spec=self.described.spec,
                    device=self._device,
                    fuse=FUSIONS.keys() - unfused,
                    wide=request.precision == "float64",
                    limits=place.limits,
                )
                engine = Engine(
                    network,
                    methods=[request.methods[i] for i in places],
                    reduction=request.reduction,
                    seed=request.seed,
                    background=self._background(),
                    batch_size=request.batch_size,
                    precision=request.precision,
                    compile=request.compile,
                )
                beside = "" if parts else self.described.outputs
                gate = Gate(network, threads=thread_count(), beside=beside)
                parts.append(Part(tuple(places), network, gate, engine))
        return parts

    def _background(self) -> Probing | None:
        given, kind = self._request.background, self._request.kind
        if given is None:
            return None
        return unpack(
            given, DTYPES[kind], (-1, *((-1, -1, 3) if kind == IMAGE else self._request.shape))
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._seconds[part] = self._seconds.get(part, 0.0) + spent


def _packed(found: Mapping[str, Any]) -> dict[str, Units]:
    """Returns units by part as a parent is told of them; they are `attribution.units.Arranged`."""
    return {
        part: Units(
            None if units.values is None else pack(units.values),
            units.whole,
            printable(units.lacking),
        )
        for part, units in found.items()
    }


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
