"""The measures once more, slowly and from the papers' formulas."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
from scipy import linalg, stats

from onnxattr.space.measures.kernel_ridge import PENALTIES, folds


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, eqs. 3 and 4, with the centring matrix written out."""
    n = len(x)
    centring = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return np.trace(k @ centring @ m @ centring) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def u_statistic(k: np.ndarray, m: np.ndarray) -> float:
    """HSIC as a mean over all ordered quadruples of different probes (Song et al. 2012)."""
    tuples = list(permutations(range(len(k)), 4))
    return sum(k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in tuples) / len(tuples)


def unbiased_cka(k: np.ndarray, m: np.ndarray) -> float:
    return u_statistic(k, m) / np.sqrt(u_statistic(k, k) * u_statistic(m, m))


def svcca(x: np.ndarray, y: np.ndarray, variance: float, most: int) -> float:
    """Raghu et al. 2017: SVD, then CCA as a generalised eigenvalue problem."""

    def directions(features: np.ndarray) -> np.ndarray:
        features = features - features.mean(0)
        u, s, _ = np.linalg.svd(features, full_matrices=False)
        kept = 1
        while (s[:kept] ** 2).sum() < variance * (s**2).sum():
            kept += 1
        kept = min(kept, most)
        return u[:, :kept] * s[:kept]

    a, b = directions(x), directions(y)
    p, q = a.shape[1], b.shape[1]
    left = np.zeros((p + q, p + q))
    left[:p, p:], left[p:, :p] = a.T @ b, b.T @ a
    right = linalg.block_diag(a.T @ a, b.T @ b)
    return float(np.sort(linalg.eigh(left, right, eigvals_only=True))[::-1][: min(p, q)].mean())


def rsa(x: np.ndarray, y: np.ndarray) -> float:
    """Dwivedi & Roig 2019, with a loop over the pairs of probes."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    one = [1 - stats.pearsonr(x[i], x[j]).statistic for i, j in pairs]
    other = [1 - stats.pearsonr(y[i], y[j]).statistic for i, j in pairs]
    return float(stats.spearmanr(one, other).statistic)


def normalised(x: np.ndarray, how: str) -> np.ndarray:
    """[probe, channel, y, x] as the authors of DDS normalise it, one number at a time."""
    n, c = x.shape[:2]
    result = np.empty_like(x)
    for k in np.ndindex(x.shape):
        group = 2 * k[1] // c
        same = {
            "centre": x[(slice(None), *k[1:])],
            "z-score": x[(slice(None), *k[1:])],
            "batch": x[:, k[1]],
            "instance": x[k[0], k[1]],
            "layer": x[k[0]],
            "group": x[k[0], group * c // 2 : (group + 1) * c // 2],
        }
        if how == "none":
            result[k] = x[k]
        elif how == "l2":
            result[k] = x[k] / np.sqrt((x[k[0]] ** 2).sum())
        else:
            result[k] = x[k] - same[how].mean()
            if how != "centre":
                result[k] /= same[how].std()
    return result.reshape(n, -1)


def between(x: np.ndarray, how: str) -> np.ndarray:
    """Distances and kernels of DDS, a pair at a time."""
    d = x.shape[1]
    squared = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    pair: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "pearson": lambda a, b: 1 - np.corrcoef(a, b)[0, 1],
        "euclidean": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
        "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
        "linear": lambda a, b: a @ b,
        "rbf": lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 0.5**2 * np.median(squared))),
        "laplacian": lambda a, b: np.exp(-np.abs(a - b).sum() / d),
    }
    return np.array([[pair[how](a, b) for b in x] for a in x])


def u_centred_cosine(k: np.ndarray, m: np.ndarray) -> float:
    """The authors' centring (Székely & Rizzo 2014): without diagonals, then the cosine."""

    def centred(gram: np.ndarray) -> np.ndarray:
        n = len(gram)
        g = gram - np.diag(np.diag(gram))
        result = np.zeros_like(g)
        for i in range(n):
            for j in range(n):
                if i != j:
                    result[i, j] = (
                        g[i, j]
                        - g[i].sum() / (n - 2)
                        - g[:, j].sum() / (n - 2)
                        + g.sum() / ((n - 1) * (n - 2))
                    )
        return result

    a, b = centred(k), centred(m)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def dds(x: np.ndarray, y: np.ndarray, normalisation: str, distance: str) -> float:
    matrices = [between(normalised(v, normalisation), distance) for v in (x, y)]
    return u_centred_cosine(*matrices)


def kernel_predictions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with its weights, [probe, unit]: predictions and means of the folds.

    The generalised error is from the hat matrix itself.
    """
    guess, base = np.empty(y.shape), np.empty(y.shape)
    for held in folds(len(x)):
        rest = [k for k in range(len(x)) if k not in held]
        xm, ym = x[rest].mean(0), y[rest].mean(0)
        a, b = x[rest] - xm, y[rest] - ym
        powers = linalg.eigvalsh(a @ a.T)
        scale = powers[powers > 1e-10 * powers.max()].mean()
        best = (np.inf, None)
        for penalty in PENALTIES * scale:
            ridge = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T)
            hat = a @ ridge
            freedom = len(rest) - 1 - np.trace(hat)
            error = ((b - hat @ b) ** 2).sum() / freedom**2
            if error < best[0]:
                best = (error, ridge @ b)
        guess[held], base[held] = ym + (x[held] - xm) @ best[1], ym
    return guess, base


def patch_predictions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from 3×3 patches of [probe, channel, y, x], patches made in loops."""
    n, c, height, width = x.shape
    rows = np.zeros((n, height, width, 9 * c))
    for k, i, j in np.ndindex(n, height, width):
        for slot, (u, v) in enumerate((u, v) for u in (-1, 0, 1) for v in (-1, 0, 1)):
            if 0 <= i + u < height and 0 <= j + v < width:
                rows[k, i, j, slot * c : (slot + 1) * c] = x[k, :, i + u, j + v]
    out = y.transpose(0, 2, 3, 1)

    def fitted(rest: list[int], seen: np.ndarray, penalty: float) -> np.ndarray:
        xm, ym = rows[rest].mean(0), out[rest].mean(0)
        a = (rows[rest] - xm).reshape(-1, 9 * c)
        b = (out[rest] - ym).reshape(-1, out.shape[-1])
        powers = linalg.eigvalsh(a.T @ a)
        scale = powers[powers > 1e-10 * powers.max()].mean()
        weights = np.linalg.solve(a.T @ a + penalty * scale * np.eye(9 * c), a.T @ b)
        return ym + (rows[seen] - xm) @ weights

    guess, base = np.empty(out.shape), np.empty(out.shape)
    held = folds(n)
    for fold, probes in enumerate(held):
        judge = held[(fold + 1) % len(held)]
        rest = [k for k in range(n) if k not in probes]
        inner = [k for k in rest if k not in judge]
        losses = [((out[judge] - fitted(inner, judge, p)) ** 2).sum() for p in PENALTIES]
        guess[probes] = fitted(rest, probes, PENALTIES[int(np.argmin(losses))])
        base[probes] = out[rest].mean(0)
    return guess.transpose(0, 3, 1, 2), base.transpose(0, 3, 1, 2)


def r2(truth: np.ndarray, guess: np.ndarray, base: np.ndarray) -> float:
    return float(1 - ((truth - guess) ** 2).sum() / ((truth - base) ** 2).sum())
