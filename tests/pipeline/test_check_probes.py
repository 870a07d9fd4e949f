"""What is said of probes that are far from what the models know."""

from pathlib import Path

import numpy as np
import pytest

import onnxattr
from onnxattr.probes import hash_values

MODELS = Path(__file__).parent.parent.parent / "samples" / "models"
EIGHT = [
    MODELS / f"{name}.onnx"
    for name in (
        "autoencoder-torch",
        "denoise-keras",
        "edge2d-torch",
        "edge2d-jax",
        "rgb2depth-torch",
        "rgb2depth-keras",
        "rgb2sfnorm-torch",
        "rgb2sfnorm-torch-seed2",
    )
]
OPTIONS = onnxattr.Options(device="cpu")


def given(values: np.ndarray) -> onnxattr.Probes:
    names = tuple(f"p{number}" for number in range(len(values)))
    return onnxattr.Probes(values, names, hash_values(values), "test")


def about(warnings: tuple[str, ...]) -> list[str]:
    return [line for line in warnings if "photographs" in line or "--check-probes" in line]


def test_noise_is_far_and_other_photographs_are_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    result = onnxattr.rank(EIGHT, probes=given(noise), check_probes=True, options=OPTIONS)
    (line,) = about(result.warnings)
    assert line.startswith("the probes are far from photographs to these models")
    photographs = onnxattr.load_probes(limit=48, canvas=64).values[24:]
    result = onnxattr.rank(EIGHT, probes=given(photographs), check_probes=True, options=OPTIONS)
    assert about(result.warnings) == []


@pytest.mark.parametrize(
    ("models", "probes", "line"),
    [
        (EIGHT[:2], None, "--check-probes says nothing of the built-in probes"),
        (
            EIGHT[:2],
            given(np.eye(64, dtype=np.uint8)[None, ..., None].repeat(3, 3) * 99),
            "takes 8 models",
        ),
    ],
    ids=["built-in", "few models"],
)
def test_where_it_says_nothing_it_says_so(models, probes, line) -> None:
    options = onnxattr.Options(device="cpu", limit=4, paper=True)
    result = onnxattr.rank(models, probes=probes, check_probes=True, options=options)
    assert any(line in warning for warning in about(result.warnings))


def test_without_maps_there_is_nothing_to_compare() -> None:
    probes = given(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8))
    options = onnxattr.Options(device="cpu", measure="cka")
    result = onnxattr.rank(EIGHT, probes=probes, check_probes=True, options=options)
    assert any("compares maps, and none were made" in line for line in about(result.warnings))
