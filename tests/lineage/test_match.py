"""Copies in disguise are found, and what is none is not."""

import pytest
import torch
from disguised import DISGUISES, Plain, images, seeded, weights

from onnxattr.lineage.weights import match_weights


@pytest.mark.parametrize("name", DISGUISES)
def test_reordering_and_rescaling_change_nothing(name):
    make, disguise = DISGUISES[name]
    net = seeded(make)
    other = disguise(net)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(other(x), net(x), rtol=1e-3, atol=1e-4)
    found = match_weights(weights(other), weights(net))
    worst = min(layer.similarity for layer in found.profile)
    assert worst == pytest.approx(1, abs=1e-5), [(m.suspect, m.similarity) for m in found.profile]
    assert found.covered == 1
    assert not found.identical
