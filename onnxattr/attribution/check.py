"""Is the gradient that of the model? Finite differences through ONNX Runtime, not through torch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from onnxattr.arrays import Float32, Float64, Probing
from onnxattr.attribution.gradients import canonical_gradient
from onnxattr.convert.array_feed import feed_of, wrap
from onnxattr.convert.parity import Gate
from onnxattr.errors import ParityError
from onnxattr.types import IMAGE, GradientCheck, Network

#: Probes on which a gradient is checked.
PROBES = 2

#: Random directions a probe, beside that of the gradient itself.
_RANDOM = 2

#: Lengths of the step, over all pixels together; each is compared with its half. Where probes are
#: no images, in units of twice their root mean square, which is about 1 for pixels. Long ones cross
#: kinks, short ones drown in rounding: the first is right for most networks of 64 to 224 pixels.
_STEPS = (4e-3, 1.6e-2, 6.4e-2)

#: A doubt about a difference, as a part of it, that still lets an error be seen.
_CONCLUSIVE = 0.2

#: Of a sum of units, as a part of their norm.
_ROUNDING = 8 * 2.0**-24

#: Largest error that is let through. Right gradients came out at 0.035 at most, on eighteen
#: networks (samples, torchvision, files of public packages) with three pairs of probes each.
TOLERANCE = 0.1


def check_gradient(network: Network, gate: Gate, images: Probing) -> GradientCheck | None:
    """Returns how far ∇T is from central differences of T through ONNX Runtime.

    The direction of the gradient itself shows a wrong length, random ones (seeded) a part that is
    missing. A difference says how far it can be trusted, so only what goes beyond that is an error:

        error(v) = max(0, |D(h, v) − ∇T·v| − u(h, v)) / max(|D(h, v)|, scale)
        u(h, v)  = 2 |D(h, v) − D(h/2, v)| + ρ/h

    The first term of u is what kinks do to a difference (it grows with h), the second is what
    rounding does, ρ = 8 · 2⁻²⁴ · ‖units‖. Longer steps are tried until u is at most a fifth of the
    denominator, or that with the smallest u is taken. The scale is ‖∇T‖ along the gradient, and
    ‖∇T‖ / √n, its root mean square, along random v in n dimensions. The median over the probes is
    taken of each kind of direction, and the larger is returned.

    Args:
        network: A converted network.
        gate: The same network's way to ONNX Runtime.
        images: Probes, as `types.Probes` has them, of which the first two are used. Of token ids
            it is the embedding that is moved.

    Returns:
        None for a model in half precision, whose rounding hides all differences, and for a
        quantised one or one that takes integers, whose values go in steps: its gradient is by
        definition not theirs. None for token ids, too, from whose embedding ONNX Runtime cannot go
        on.

    Raises:
        ParityError: The error is larger than the tolerance: operators of the model have gradients
            that are not those of their values.
        SupportError: ONNX Runtime fails.
    """
    if gate.dtype == torch.float16 or not gate.dtype.is_floating_point or gate.quantised:
        return None
    spec = network.spec
    count = min(PROBES, len(images), spec.batch or PROBES)
    probes = feed_of(spec).canonical(torch.from_numpy(images[:count].copy()))
    batch = wrap(probes, spec.batch) if spec.batch else probes
    gradient = canonical_gradient(network, batch.to(network.device))[:count].double().cpu()
    lengths = gradient.flatten(1).norm(dim=1)
    along = gradient / _column(lengths.clamp_min(np.finfo(np.float64).tiny), gradient)
    generator = torch.Generator().manual_seed(0)
    random = [_unit(gradient.shape, generator) for _ in range(_RANDOM)]
    scale = lengths.numpy() / gradient[0].numel() ** 0.5
    if (around := gate.around(probes)) is None:
        return None
    x, run = around
    size = 1.0 if spec.kind == IMAGE else 2 * float(x.square().mean().sqrt()) or 1.0
    steps = [size * step for step in _STEPS]
    error = max(
        _error(run, x, gradient, [along], lengths.numpy(), spec.batch, steps),
        _error(run, x, gradient, random, scale, spec.batch, steps),
    )
    if not error <= TOLERANCE:
        raise ParityError(
            "its gradient is not that of its values: finite differences through ONNX Runtime are "
            f"apart by {error:.0%} of it, over {TOLERANCE:.0%}",
            hint="an operator on the way has no gradient, or a wrong one; its maps would be wrong",
            model=network.model.name,
        )
    return GradientCheck(error=error, tolerance=TOLERANCE, probes=count)


#: From copies of a row that was moved, and its place, to the units.
_Run = Callable[[torch.Tensor, int], Float32]


def _column(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Returns one value a row, with the axes of `rows`."""
    return values.reshape(-1, *[1] * (rows.dim() - 1))


def _unit(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    v: torch.Tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
    return v.div(_column(v.flatten(1).norm(dim=1), v))


def _error(
    run: _Run,
    x: torch.Tensor,
    gradient: torch.Tensor,
    directions: Sequence[torch.Tensor],
    scale: Float64,
    batch: int | None,
    steps: Sequence[float],
) -> float:
    """Returns the median error over probes and `directions`, at the step that tells most."""
    best, error = float("inf"), 0.0
    for step in steps:
        errors, doubts = [], []
        for v in directions:
            slope = (gradient * v).flatten(1).sum(dim=1).numpy()
            full, rounding = _difference(run, x, v, step, batch)
            half, _ = _difference(run, x, v, step / 2, batch)
            doubt = 2 * np.abs(full - half) + rounding
            excess = np.maximum(0.0, np.abs(full - slope) - doubt)
            # Where neither the gradient nor the model changes there is nothing to be wrong.
            largest = np.maximum(np.maximum(np.abs(full), scale), np.finfo(np.float64).tiny)
            errors.append(excess / largest)
            doubts.append(doubt / largest)
        if (least := float(np.median(doubts))) < best:
            best, error = least, float(np.median(errors))
        if best <= _CONCLUSIVE:
            break
    return error


def _difference(
    run: _Run, x: torch.Tensor, v: torch.Tensor, step: float, batch: int | None
) -> tuple[Float64, Float64]:
    """Returns (T(x + step·v) − T(x − step·v)) / 2·step, and its rounding, each float64 [probe]."""
    moved = torch.cat([(x.double() + step * v).float(), (x.double() - step * v).float()])
    copies = batch or 1
    # A probe by itself, or a batch of its copies: units need not be one row a probe.
    units = [
        run(wrap(one[None], copies), place % len(x)).astype(np.float64)
        for place, one in enumerate(moved)
    ]
    up, down = np.split(np.array([u.sum() for u in units]) / copies, 2)
    lengths = np.array([np.linalg.norm(u) for u in units[: len(x)]]) / copies**0.5
    return (up - down) / (2 * step), _ROUNDING * lengths / step
