"""One model in a worker, on its way from a file to maps and units."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxattr.arrays import Probing
from onnxattr.attribution.entries import OUTPUTS
from onnxattr.convert.device import runtime_device, set_up, thread_count
from onnxattr.errors import OnnxattrError, ParityError, SupportError
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.attributed import attributed
from onnxattr.graph.beside import outputs_beside
from onnxattr.graph.budget import require_budget
from onnxattr.graph.channels import channels_of
from onnxattr.pipeline import blackbox
from onnxattr.pipeline.messages import (
    DTYPES,
    UNITS,
    Array,
    Attribute,
    Attributed,
    Checked,
    Described,
    Examine,
    Observe,
    Observed,
    Place,
    Trace,
    Units,
    pack,
    printable,
    unpack,
)
from onnxattr.space.measures.table import FIELD
from onnxattr.space.measures.table import OUTPUTS as OF_OUTPUTS
from onnxattr.types import IMAGE, InputSpec, Model, Representation


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
        methods = request.methods
        self._black_box = bool(methods) and methods[0].entry.kind == OUTPUTS
        #: Whether probes are shown one by one for their units; a conversion that was found right
        #: mixes no batch, and of others it is found out.
        self._alone: bool | None = None if self._black_box or not methods else False
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
        probes = self._given(wanted.images)
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
        units = self._by_themselves(self._given(wanted.images))
        return Observed(units=units, seconds=self._seconds)

    def trace(self, wanted: Trace) -> Observed:
        """Returns the gradient fields of some probes, or why there are none, and their units.

        What has no gradient has its black-box maps, its units and its place in a ranking still.
        """
        self._seconds = {}
        probes, references = self._given(wanted.images), self._given(wanted.references)
        try:
            return self._field(probes, references, wanted.check)
        except OnnxattrError as error:
            lacking = Units(None, lacking=printable(error.message))
            return Observed(units={FIELD: lacking}, seconds=self._seconds)

    def _given(self, images: Array) -> Probing:
        kind = self._request.kind
        shape = (-1, -1, 3) if kind == IMAGE else self._request.shape
        return unpack(images, DTYPES[kind], (-1, *shape))

    def _by_themselves(self, probes: Probing) -> dict[str, Units]:
        """Returns the units that are wanted, by a pass of their own."""
        if not self._request.units:
            return {}
        from onnxattr.attribution.witness import mixes, observed
        from onnxattr.convert.observer import Observer

        place = self._request.place
        try:
            with self._timed("observe"):
                if self._observer is None:
                    require_budget(self._model, self.described.spec, place.limits)
                    set_up("cpu", place.threads, place.limits.gpu_memory)
                    value, beside = self.described.representation.value, self.described.outputs
                    self._observer = Observer(self._model, value, beside, thread_count())
                spec, witness = self.described.spec, self._witness()
                if self._alone is None:
                    self._alone = mixes(self._observer, spec, probes, self._model.name)
                return _packed(observed(self._observer, witness, spec, probes, alone=self._alone))
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
            units=self._by_themselves(probes),
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

    def _field(self, probes: Probing, references: Probing, check: bool) -> Observed:
        """Returns gradient fields, once the network is found right on the probes."""
        from onnxattr.attribution.arithmetic import arithmetic
        from onnxattr.attribution.check import check_gradient
        from onnxattr.attribution.units import arranged_field

        self._parts = self._parts or self._prepare()
        part, witness, gradient = self._parts[0], self._witness(), None
        with self._timed("parity"), arithmetic(self._device):
            parity = part.gate.check(probes, witness.keep)
        self._alone = False
        with self._timed("field"):
            found = part.engine.fields(probes, references)
        if check:
            with self._timed("check"), arithmetic(self._device):
                gradient = check_gradient(part.network, part.gate, probes)
        units = witness.units(part.gate.observer.lost)
        return Observed(
            units=_packed({**units, FIELD: arranged_field(found, self.described.spec)}),
            seconds=self._seconds,
            checked=Checked(
                batch=part.engine.size,
                parity=parity,
                tolerance=part.gate.tolerance,
                gradient=gradient,
                settings=part.engine.settings,
            ),
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
            for place_of, method in enumerate(() if self._black_box else request.methods):
                groups.setdefault(method.entry.unfused, []).append(place_of)
            groups = groups or {frozenset(): []}  # For gradients alone.
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
