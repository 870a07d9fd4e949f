"""Products of maps on a device of torch, against NumPy's, and where they are made."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from onnxattr.attribution.cosines import OnDevice
from onnxattr.errors import DeviceError
from onnxattr.pipeline.device_work import kernel_for
from onnxattr.space import many
from onnxattr.space.blocks import Numpy, streamed


def some_maps(models=6, probes=9, pixels=35):
    rng = np.random.default_rng(0)
    maps = (rng.normal(size=(1, probes, pixels)) + rng.normal(size=(models, probes, pixels))) ** 2
    maps = maps.astype(np.float32)
    maps[0, 2] = 0.0
    maps[1, 3, 4] = np.nan
    maps[2, 2, 0] = np.inf
    maps[3] = maps[3, :1]
    maps[4] *= np.float32(1e-30)
    maps[5] *= np.float32(1e30)
    return maps


@pytest.mark.parametrize("block", [1, 8 * 6 * 35 * 4, 2**28])
@pytest.mark.parametrize("centred", [True, False])
def test_the_same_numbers_as_numpys(centred, block):
    maps = some_maps()
    there = streamed(maps, centred=centred, kernel=OnDevice("cpu"), block=block)
    here = streamed(maps, centred=centred, block=block)
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-12)
    assert np.isnan(there[3]).all() == centred


def test_parts_of_the_work_are_the_same():
    maps = some_maps()
    centres = np.random.default_rng(1).normal(size=(6, 35)) / 30
    for ours, numpys in (
        (OnDevice("cpu").sums(maps), Numpy().sums(maps)),
        (OnDevice("cpu").products(maps, centres), Numpy().products(maps, centres)),
    ):
        np.testing.assert_allclose(ours[0], numpys[0], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(ours[1], numpys[1])
        assert (ours[0].dtype, ours[1].dtype) == (np.float64, np.bool_)


def test_single_precision_is_near():
    maps = np.abs(np.random.default_rng(0).normal(size=(8, 12, 900))).astype(np.float32)
    quick = streamed(maps, kernel=OnDevice("cpu", torch.float32))
    exact = streamed(maps)
    np.testing.assert_allclose(quick, exact, rtol=0, atol=2e-6)
    assert np.abs(quick - exact).max() > 1e-12


class Placed(TorchDispatchMode):
    """Notes where operators put what they make, and whether products may use TF32."""

    def __init__(self):
        super().__init__()
        self.devices, self.tf32, self.products = set(), set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.devices.add(made.device.type)
            if func.overloadpacket.__name__ == "mm":
                self.products.append(made.dtype)
                self.tf32.add(torch.backends.cuda.matmul.allow_tf32)
        return made


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_all_of_the_work_is_done_on_the_device(precision):
    maps = some_maps()
    kernel = OnDevice("meta", precision)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with Placed() as placed:
            sums, known = kernel.sums_there(maps)
            products, usable = kernel.products_there(maps, np.zeros((6, 35)))
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    for made, shape in ((sums, (6, 35)), (known, (6, 9)), (products, (6, 6)), (usable, (6, 9))):
        assert (made.device.type, tuple(made.shape)) == ("meta", shape)
    # What is on the host is what was given, and its way there.
    assert placed.devices <= {"meta", "cpu"}
    assert (placed.products, placed.tf32) == ([precision], {False})
    assert products.dtype == torch.float64


def test_a_device_without_room(monkeypatch):
    def full(self, maps, centres):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(OnDevice, "_units", full)
    for work in (lambda k: k.sums(some_maps()), lambda k: k.products(some_maps(), None)):
        with pytest.raises(DeviceError, match="`cpu` has too little memory") as caught:
            work(OnDevice("cpu"))
        assert "--device cpu" in caught.value.hint


def test_who_multiplies():
    assert kernel_for(["cpu", "cuda:1"], 2000, 200, 4096)._device == torch.device("cuda:1")
    for devices in (["cpu"], ["mps"], []):
        assert kernel_for(devices, 2000, 200, 4096) is None
    # Less than the time that torch takes to be there.
    assert kernel_for(["cuda:0"], 24, 64, 4096) is None


def test_the_device_makes_the_blocks(monkeypatch):
    class Counted(OnDevice):
        calls = 0

        def products(self, maps, centres):
            Counted.calls += 1
            return super().products(maps, centres)

    maps = [one.reshape(9, 5, 7) for one in some_maps()]
    monkeypatch.setattr(many, "COSINES", 0)
    made = many.compare(maps, list("abcdef"), kernel=Counted("cpu"))
    assert Counted.calls == 1
    plain = many.compare(maps, list("abcdef"))
    np.testing.assert_allclose(made.matrix, plain.matrix, rtol=0, atol=1e-12)
    assert made.unusable == plain.unusable == (1, 1, 1, 9, 0, 0)
