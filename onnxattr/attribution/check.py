"""Is the gradient that of the model? Finite differences through ONNX Runtime, not through torch."""

import numpy as np
import torch

from onnxattr.arrays import Float64, UInt8
from onnxattr.attribution.gradients import canonical_gradient
from onnxattr.convert.feed import resize
from onnxattr.convert.parity import Gate, wrap
from onnxattr.errors import ParityError
from onnxattr.types import GradientCheck, Network

#: Probes on which a gradient is checked.
PROBES = 2

#: Random directions a probe, beside that of the gradient itself.
_RANDOM = 2

#: Length of the longer step, over all pixels together; the shorter is half of it. Longer ones cross
#: more kinks, and shorter ones drown in rounding: it was chosen on networks of 64 to 224 pixels.
_STEP = 4e-3

#: Of a sum of units, as a part of their norm.
_ROUNDING = 4 * 2.0**-24

#: Largest error that is let through. Right gradients came out at 0.02 at most, see the tests.
TOLERANCE = 0.1


def check_gradient(network: Network, gate: Gate, images: UInt8) -> GradientCheck | None:
    """Returns how far ∇T is from central differences of T through ONNX Runtime.

    The direction of the gradient itself shows a wrong length, random ones (seeded) a part that is
    missing. A difference says how far it can be trusted, so only what goes beyond that is an error:

        error(v) = max(0, |D(h, v) − ∇T·v| − 2 |D(h, v) − D(h/2, v)| − ρ/h) / max(|D(h, v)|, scale)

    The second term is what kinks do to a difference (an error that grows with h), the third is what
    rounding does, ρ = 4 · 2⁻²⁴ · ‖units‖. The scale is ‖∇T‖ along the gradient, and ‖∇T‖ / √n, its
    root mean square, along random v in n dimensions. The median over the probes is taken of each
    kind of direction, and the larger is returned.

    Args:
        network: A converted network.
        gate: The same network's way to ONNX Runtime.
        images: Probes, uint8 [probe, y, x, 3], of which the first two are used.

    Returns:
        None for a model in half precision, whose rounding hides all differences.

    Raises:
        ParityError: The error is larger than the tolerance: operators of the model have gradients
            that are not those of their values.
        SupportError: ONNX Runtime fails.
    """
    if gate.dtype == torch.float16:
        return None
    count = min(PROBES, len(images))
    spec = network.spec
    x = resize(torch.from_numpy(images[:count].copy()), spec.height, spec.width)
    batch = wrap(x, spec.batch) if spec.batch else x
    gradient = canonical_gradient(network, batch.to(network.device))[:count].double().cpu()
    lengths = gradient.flatten(1).norm(dim=1)
    along = gradient / lengths.clamp_min(np.finfo(np.float64).tiny).reshape(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    kinds: list[list[float]] = [[], []]
    for number in range(1 + _RANDOM):
        v = along if number == 0 else _unit(gradient.shape, generator)
        slope = (gradient * v).sum(dim=(1, 2, 3)).numpy()
        scale = lengths.numpy() / (1 if number == 0 else gradient[0].numel() ** 0.5)
        full, rounding = _difference(gate, x, v, _STEP, spec.batch)
        half, _ = _difference(gate, x, v, _STEP / 2, spec.batch)
        excess = np.abs(full - slope) - 2 * np.abs(full - half) - rounding
        largest = np.maximum(np.abs(full), scale)
        # Where neither the gradient nor the model changes there is nothing to be wrong.
        errors = np.divide(excess, largest, out=np.zeros_like(excess), where=largest > 0)
        kinds[number > 0].extend(np.maximum(0.0, errors).tolist())
    error = max(float(np.median(errors)) for errors in kinds)
    if not error <= TOLERANCE:
        raise ParityError(
            "its gradient is not that of its values: finite differences through ONNX Runtime are "
            f"apart by {error:.0%} of it, over {TOLERANCE:.0%}",
            hint="an operator on the way has no gradient, or a wrong one; its maps would be wrong",
            model=network.model.name,
        )
    return GradientCheck(error=error, tolerance=TOLERANCE, probes=count)


def _unit(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    v: torch.Tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
    return v.div(v.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1))


def _difference(
    gate: Gate, x: torch.Tensor, v: torch.Tensor, step: float, batch: int | None
) -> tuple[Float64, Float64]:
    """Returns (T(x + step·v) − T(x − step·v)) / 2·step, and its rounding, each float64 [probe]."""
    moved = torch.cat([(x.double() + step * v).float(), (x.double() - step * v).float()])
    copies = batch or 1
    # A probe by itself, or a batch of its copies: units need not be one row a probe.
    units = [gate.run(wrap(one[None], copies)).astype(np.float64) for one in moved]
    up, down = np.split(np.array([u.sum() for u in units]) / copies, 2)
    lengths = np.array([np.linalg.norm(u) for u in units[: len(x)]]) / copies**0.5
    return (up - down) / (2 * step), _ROUNDING * lengths / step
