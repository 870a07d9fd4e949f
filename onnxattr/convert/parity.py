"""The gate: a converted network against ONNX Runtime on the original graph and the same probes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import fx

from onnxattr.arrays import Float32, Probing
from onnxattr.convert.array_feed import BATCH, feed_of, feeds, wrap
from onnxattr.convert.inner import dtype_of
from onnxattr.convert.observer import Observer
from onnxattr.convert.ops.table import reason_of
from onnxattr.convert.session import Session
from onnxattr.convert.torch import module_name
from onnxattr.errors import LimitError, OnnxattrError, ParityError, SupportError, UsageError
from onnxattr.graph.passes.quantised import ROUNDING
from onnxattr.graph.walk import label, nodes
from onnxattr.types import IMAGE, TOKENS, Network

#: Largest max|Δ| / max|reference| that is let through, by the type of the model's input.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2}

#: One step of an 8-bit quantiser, of the largest value: where a number falls between two steps,
#: rounding in the last bit decides which of them it becomes.
QUANTISED = 1 / 127

#: Two runs of ONNX Runtime may differ by so much of the tolerance: threads add in any order.
_REPEATABLE = 0.01

#: Takes the representation of a batch, the outputs or None, and how many probes there are.
Kept = Callable[[Float32, Float32 | None, int], None]


class Gate:
    """Lets through what agrees with ONNX Runtime, which runs the original graph on the CPU.

    Args:
        network: A converted network.
        threads: Of ONNX Runtime; 0 for its own choice.
        beside: The model's outputs, which `check` may keep, too; '' for none.

    Attributes:
        observer: Its way to ONNX Runtime.
        dtype: Of the model's input; of token ids, of their embedding.
        quantised: Whether what the network computes is rounded to few bits on the way.
        tolerance: The largest error that is let through.

    Raises:
        SupportError: ONNX Runtime refuses the model.
    """

    def __init__(self, network: Network, threads: int = 0, beside: str = "") -> None:
        self._network = network
        self._feed = feed_of(network.spec)
        self._threads = threads
        value = network.representation.value
        self.observer = Observer(network.model, value, beside, threads)
        self._tried = False
        # Of a Loop that computes how often it runs ours ends at a bound; ONNX Runtime knows none.
        self._ahead = any(
            node.op_type.startswith("Loop_") and node.input[0] not in network.dialect.stored
            for node in nodes(network.dialect.proto.graph)
        )
        tokens = network.spec.kind == TOKENS
        self.dtype = dtype_of(network) if tokens else self._feed.dtype
        # What only the file holds does not count, nor weights that were rounded before: whoever
        # writes a model must not get off lightly by an operator that computes nothing.
        self.quantised = any(node.op_type in ROUNDING for node in network.operators.values())
        self.tolerance = max(TOLERANCE.get(self.dtype, 1e-4), QUANTISED if self.quantised else 0.0)

    def run(self, probes: torch.Tensor) -> Float32:
        """Returns the representation under ONNX Runtime.

        Args:
            probes: Canonical probes; a graph that fixes its batch takes whole batches only.

        Raises:
            SupportError: ONNX Runtime fails on them.
            LimitError: A Loop takes more turns than are allowed.
        """
        return self._observed(probes)[0]

    def _observed(self, probes: torch.Tensor) -> tuple[Float32, Float32 | None]:
        if self._ahead:
            _forward(self._network, self._feed(probes))
        return self.observer.run(self._given(probes))

    def around(
        self, probes: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor, int], Float32]] | None:
        """Returns what can be moved a little, and what computes the representation there.

        That is the canonical probes; of token ids it is their embedding, from which ONNX Runtime
        goes on in a copy of the graph that takes it as an input.

        Args:
            probes: Canonical probes.

        Returns:
            float32 [probe, …], and a function of copies of a row that was moved, and its place;
            None where ONNX Runtime cannot go on from the embedding.

        Raises:
            SupportError: ONNX Runtime fails.
        """
        spec, model = self._network.spec, self._network.model
        if spec.kind != TOKENS:
            return probes, lambda rows, _: self.run(rows)
        size = spec.batch or len(probes)
        (found,) = Session(model, [spec.at], self._threads).run(self._given(wrap(probes, size)))
        whole = torch.from_numpy(found)
        whole = whole if spec.layout else whole[None]
        units, given = [self._network.representation.value], (spec.at, found.dtype)
        try:
            behind = Session(model, units, self._threads, given=given)
        except SupportError:
            return None

        def run(rows: torch.Tensor, place: int) -> Float32:
            ids = probes[place : place + 1].expand(len(rows), *probes.shape[1:])
            inner = (rows if spec.layout else rows[0]).to(whole.dtype).numpy()
            (moved,) = behind.run({**self._given(ids), spec.at: inner})
            return moved

        return whole[: len(probes)].float(), run

    def _given(self, probes: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
        return feeds(self._network.spec, self._feed.array(probes))

    def check(self, images: Probing, keep: Kept | None = None) -> float:
        """Returns max|Δ| / max|reference| over the representation of some probes.

        The first time the probes are also run twice, one of them by itself, and noise beside them.
        That goes where no photo does: it is uniform in the range of the probes, or the same token
        ids in another order. It is held to the
        same tolerance, and not counted: what is returned of some probes is the same whenever, and
        after whatever, they are checked.

        Args:
            images: Probes, as `types.Probes` has them.
            keep: Given what ONNX Runtime computes of them, batch by batch.

        Raises:
            ParityError: The network is too far from ONNX Runtime, or not finite (names the first
                node that diverges); or the model gives another output the second time, or in
                another batch.
            SupportError: ONNX Runtime fails.
        """
        spec = self._network.spec
        # A graph that fixes its batch is run on whole batches only; the last may repeat its probes.
        batch = spec.batch or BATCH
        error = 0.0
        for start in range(0, len(images), batch):
            part = torch.from_numpy(images[start : start + batch].copy())
            x = self._feed.canonical(part)
            x = wrap(x, batch) if spec.batch else x
            reference, outputs = self._observed(x)
            if reference.dtype.kind not in "fiub":
                raise self._refuse(
                    f"its representation is of type {reference.dtype}, which is no number",
                    "choose another tensor with --at",
                )
            if not np.isfinite(reference).all():
                raise self._refuse(
                    "under ONNX Runtime its representation holds values that are not finite",
                    "is the input range right? see --range, --mean, --std"
                    if spec.kind == IMAGE
                    else "are the probes in the range that it was made for?",
                )
            if not self._tried:
                self._require_repeatable(x, reference)
            ours = self._compared(x, reference)
            error = max(error, relative_error(ours, reference))
            if not self._tried:
                self._require_independence(x, ours)
                self._check_noise(x)
            self._tried = True
            if keep is not None:
                keep(reference, outputs, len(part))
        return error

    def _compared(self, x: torch.Tensor, reference: Float32) -> Float32:
        """Returns our representation of `x`, which is ONNX Runtime's within the tolerance."""
        ours = _forward(self._network, self._feed(x))
        if ours.shape != reference.shape:
            raise self._mismatch(x, f"shape {ours.shape} against {reference.shape}")
        error = relative_error(ours, reference)
        if not error <= self.tolerance:
            raise self._mismatch(
                x, f"max|Δ| is {error:.1e} of max|reference|, over {self.tolerance:.0e}"
            )
        return ours

    def _check_noise(self, probes: torch.Tensor) -> None:
        x = self._feed.noise(probes)
        reference = self.run(x)
        # What noise overflows need not trouble photos.
        if np.isfinite(reference).all():
            self._compared(x, reference)

    def _require_repeatable(self, x: torch.Tensor, reference: Float32) -> None:
        require_same(reference, self.run(x), self.tolerance, self._network.model.name)

    def _require_independence(self, x: torch.Tensor, ours: Float32) -> None:
        # Units of another form, a scalar among them, are not one row a probe.
        if self._network.spec.batch or len(x) < 2 or ours.shape[:1] != (len(x),):
            return
        # Two of them: the largest value of a whole batch may be that of either.
        alone = max(
            relative_error(_forward(self._network, self._feed(x[i])), ours[i])
            for i in (slice(None, 1), slice(-1, None))
        )
        if not alone <= self.tolerance:
            raise self._refuse(
                "its output for a probe depends on the other probes of the batch "
                f"({alone:.1e} of it)",
                "export it with a batch of one",
            )

    def _refuse(self, message: str, hint: str) -> ParityError:
        return ParityError(message, hint=hint, model=self._network.model.name)

    def _mismatch(self, x: torch.Tensor, what: str) -> ParityError:
        where = first_divergence(self._network, x, self.tolerance)
        return self._refuse(
            f"the converted network and ONNX Runtime disagree: {what}; {where}",
            "its maps would be wrong, so it is left out",
        )


def require_same(once: Float32, again: Float32, tolerance: float, model: str) -> None:
    """Makes sure that ONNX Runtime gives the same output twice.

    Raises:
        ParityError: It does not.
    """
    apart = relative_error(again, once) if again.shape == once.shape else float("inf")
    if not apart <= _REPEATABLE * tolerance:
        raise ParityError(
            "under ONNX Runtime a second run on the same probes gives another output "
            f"({apart:.1e} of it): it is random",
            hint="export it in evaluation mode",
            model=model,
        )


def _forward(network: Network, x: torch.Tensor) -> Float32:
    with torch.no_grad(), runnable(network):
        units: Float32 = network.module(x.to(network.device)).cpu().numpy()
    return units


@contextmanager
def runnable(network: Network) -> Iterator[None]:
    """Names the model whose converted graph fails in the body; lack of memory passes.

    Raises:
        SupportError: Torch, or a converter, raised whatever it happened to hit.
        LimitError: A body runs more often, or makes more, than it may.
        UsageError: What was asked for, the model has not: a unit, say.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # What an operator refuses has no model yet.
        if is_out_of_memory(error) or (isinstance(error, OnnxattrError) and error.model):
            raise
        name = network.model.name
        if isinstance(error, LimitError | UsageError):
            raise type(error)(error.message, hint=error.hint, model=name) from error
        raise SupportError(
            f"the converted network cannot be run: {reason_of(error)}",
            hint=f"`onnxattr inspect` lists all that stops `{name}`",
            model=name,
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of memory: it has a class for accelerators only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def relative_error(ours: Float32, reference: Float32) -> float:
    """Returns max|Δ| / max|reference|; infinite where ours is not finite."""
    if ours.size == 0:
        return 0.0
    delta = np.abs(ours.astype(np.float64) - reference.astype(np.float64)).max()
    scale = np.abs(reference.astype(np.float64)).max()
    if not np.isfinite(delta):
        return float("inf")
    return float(delta / scale) if scale > 0 else float(delta)


def first_divergence(network: Network, probes: torch.Tensor, tolerance: float) -> str:
    """Returns in words the first node, in the graph's order, whose output is not ONNX Runtime's."""
    names, graph = network.dialect.names, network.dialect.proto.graph
    kept = {value for node in network.model.proto.graph.node for value in node.output}
    made = [n for n in graph.node if len(n.output) == 1 and names.values.get(n.output[0]) in kept]
    session = Session(network.model, [names.values[n.output[0]] for n in made])
    feed = feed_of(network.spec)
    references = session.run(feeds(network.spec, feed.array(probes)))
    ours = _Recorder(network.module).record(feed(probes).to(network.device))
    for node, reference in zip(made, references, strict=True):
        value = ours.get(module_name(node))
        if value is None or not np.issubdtype(reference.dtype, np.floating):
            continue
        array = value.cpu().numpy()
        if array.shape != reference.shape or relative_error(array, reference) > tolerance:
            return f"the first node that differs is {label(names.nodes[node.name])}"
    return "no single node could be found that differs"


class _Recorder(fx.Interpreter):
    """Runs a converted module and keeps what each submodule returned."""

    def __init__(self, module: torch.nn.Module) -> None:
        assert isinstance(module, fx.GraphModule)
        super().__init__(module)
        self._values: dict[str, torch.Tensor] = {}

    def record(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            self.run(x)
        return self._values

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(target, args, kwargs)
        if isinstance(result, torch.Tensor):
            self._values[str(target)] = result
        return result
