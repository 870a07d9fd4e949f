"""Baselines: what each is, and what is refused."""

import numpy as np
import pytest
import torch
from exported import Functional, made, network, networked, pixels
from nets import SIZE, Net, probes
from nets import network as image_network
from PIL import Image

from onnxattr.attribution.baseline_files import NAMES, resolve
from onnxattr.attribution.baselines import baselines
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.attribution.setting import Setting
from onnxattr.errors import ProbeError, SupportError, UsageError
from onnxattr.types import IMAGE


def of_images() -> Setting:
    return Setting(network(made(Functional).float(), pixels().float(), kind=IMAGE))


def test_of_images() -> None:
    x = pixels().float()
    found = {name: baselines(of_images(), name)[0](x) for name in NAMES}
    assert {v.shape for v in found.values()} == {x.shape}
    assert [found[name].unique().tolist() for name in ("black", "white", "grey")] == [
        [0],
        [1],
        [0.5],
    ]
    expected = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(found["mean"], expected)
    assert torch.equal(found["noise"][0], found["noise"][1])
    assert 0.3 < float(found["noise"].mean()) < 0.7
    assert found["noise"].min() >= 0
    assert found["noise"].max() <= 1


def test_blur_is_a_gaussian_with_its_border_repeated() -> None:
    from scipy.ndimage import gaussian_filter1d

    x = torch.rand(2, 3, 40, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (blur,) = baselines(of_images(), "blur")
    expected = x.numpy()
    for axis in (2, 3):
        # A window of three standard deviations, 2 pixels each.
        expected = gaussian_filter1d(expected, 2.0, axis=axis, mode="nearest", radius=6)
    np.testing.assert_allclose(blur(x).numpy(), expected, rtol=1e-10)


def test_of_arrays() -> None:
    x, setting = 5 * pixels() - 1, Setting(networked(Functional))
    black, mean, noise = (baselines(setting, name)[0](x) for name in ("black", "mean", "noise"))
    assert not black.any()
    assert torch.equal(mean, x.mean((1, 2, 3), keepdim=True).expand_as(x))
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    parts = (noise - low) / (high - low)
    torch.testing.assert_close(parts[0], parts[2])
    assert 0 <= float(parts.min()) < 0.05
    for name in ("white", "grey", "blur"):
        with pytest.raises(SupportError, match=f"`{name}` is no baseline of arrays"):
            baselines(setting, name)


def test_an_image_file(tmp_path) -> None:
    file = tmp_path / "grey+.png"
    Image.new("RGB", (30, 20), (51, 102, 204)).save(file)
    for text in (str(file), f"black+{file}"):
        if "black" in text:
            # A path with a plus is taken as it is, when it is alone.
            with pytest.raises(UsageError, match="nor a file of that name"):
                resolve(text)
            continue
        (found,) = baselines(of_images(), resolve(text))
        x = found(pixels().float())
        torch.testing.assert_close(x[1, :, 0, 0], torch.tensor([0.2, 0.4, 0.8]))
    plain = tmp_path / "plain.png"
    file.rename(plain)
    method = parse(f"integrated-gradients:steps=1:baseline=black+{plain}")
    assert len(str(method)) < 100
    engine = Engine(image_network(Net.random("Tanh", 0).onnx()), methods=[method])
    assert engine.maps(probes(2).images).shape == (1, 2, SIZE, SIZE)
    with pytest.raises(SupportError, match="its probes are arrays, and the baseline is an image"):
        baselines(Setting(networked(Functional)), resolve(str(plain)))


def test_an_array_file(tmp_path) -> None:
    file = tmp_path / "b.npy"
    values = np.random.default_rng(0).normal(size=(1, 3, 8, 8))
    np.save(file, values)
    (found,) = baselines(Setting(networked(Functional)), resolve(str(file)))
    torch.testing.assert_close(found(pixels())[2], torch.from_numpy(values[0]), rtol=1e-6, atol=0)
    np.save(file, values[:, :2])
    with pytest.raises(SupportError, match=r"shape \[2, 8, 8\], and its probes are of \[3, 8, 8\]"):
        baselines(Setting(networked(Functional)), resolve(str(file)))
    np.save(file, np.repeat(values, 2, 0))
    with pytest.raises(ProbeError, match="is 2"):
        resolve(str(file))


def test_what_is_no_baseline() -> None:
    with pytest.raises(UsageError, match="no baseline `blak`") as caught:
        parse("deeplift:baseline=blak")
    assert "did you mean `black`?" in caught.value.hint
    with pytest.raises(UsageError, match="no baseline `blak`"):
        baselines(of_images(), "blak")
