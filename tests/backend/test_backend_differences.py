"""DeepLIFT's summation to delta over the suite's operators: where it holds, and what is refused."""

from collections import Counter

import numpy as np
import torch
from cases import arranged, is_core, is_float, suite
from compare import to_torch
from gradients import Total, flat, wide, widened

import onnxattr
from onnxattr.attribution.differences.rules import RULES
from onnxattr.attribution.differences.walk import Walk
from onnxattr.errors import SupportError

#: Operators with a step that has no rule, in some of their cases; and Range, of another length.
REFUSED = {"CumProd", "Det", "Mod", "Range", "ScatterElements", "ScatterND", "Unique"}

#: What holds need not: cases whose T is infinite, of no number, or of other sizes.
HOLD, ENDLESS = 1100, 40


def outcome(case) -> str | None:
    """Whether Σ (x − x₀) ⊙ m = T(x) − T(x₀), in float64; None where there is no gradient."""
    proto, _, values = arranged(case, "const")
    try:
        module = onnxattr.to_torch(widened(proto))
    except SupportError:
        return None
    draw = np.random.default_rng(3)
    x, before = [], []
    for value in map(wide, values):
        found = to_torch(value)
        x.append(found)
        if is_float(value):
            # Nearer to zero, and by that inside of what functions are defined on.
            part = torch.from_numpy(np.asarray(draw.uniform(0.3, 0.95, value.shape)))
            before.append((found * part).requires_grad_())
            x[-1] = found.requires_grad_()
        else:
            before.append(found)
    live = [i for i, v in enumerate(x) if isinstance(v, torch.Tensor) and v.requires_grad]
    if not live:
        return None
    try:
        with torch.no_grad():
            total = Total(flat(module(*x)))
    except SupportError:
        return None
    try:
        with Walk(RULES) as first:
            y0 = flat(module(*before))
            baseline = total(y0)
        with Walk(RULES, first.noted) as second:
            y = flat(module(*x))
            if [v.shape for v in y] != [v.shape for v in y0]:
                return "endless"
            here = total(y)
    except SupportError as error:
        return f"refused: {error.message}"
    if not here.requires_grad:
        return None
    assert not second.noted
    slopes = torch.autograd.grad(here, [x[i] for i in live], allow_unused=True)
    pairs = zip(live, slopes, strict=True)
    parts = [((x[i] - before[i]) * m).detach() for i, m in pairs if m is not None]
    delta, size = float((here - baseline).detach()), sum(float(p.abs().sum()) for p in parts)
    if not np.isfinite(delta) or not all(bool(x[i].isfinite().all()) for i in live):
        return "endless"
    error = abs(sum(float(p.sum()) for p in parts) - delta)
    return "holds" if error <= 1e-6 * max(size, abs(delta), 1e-9) else "is off"


def test_differences_of_all_operators() -> None:
    counted: Counter[str] = Counter()
    off, refused = [], set()
    for case in suite().values():
        if case.kind != "node" or not is_core(case):
            continue
        found = outcome(case)
        if found is not None and found.startswith("refused"):
            refused.add(found.removeprefix("refused: ").partition(":")[0].partition(" ")[0])
            assert "DeepLIFT has no rule" in found or "other sizes" in found, found
        elif found == "is off":
            off.append(case.name)
        elif found is not None:
            counted[found] += 1
    assert off == []
    assert refused == REFUSED
    assert counted["holds"] >= HOLD
    assert counted["endless"] <= ENDLESS
