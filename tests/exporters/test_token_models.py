"""A language model through both of PyTorch's exporters: its maps are those of torch's gradient."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
from torch import nn  # noqa: E402

import onnxattr  # noqa: E402
from onnxattr.types import TOKENS  # noqa: E402

NAMES = ("input_ids", "attention_mask", "token_type_ids")
IDS = np.random.default_rng(0).integers(1, 50, (5, 12))

#: What the exporters say of their own parts.
pytestmark = pytest.mark.filterwarnings("ignore")


class Encoder(nn.Module):
    """The parts of BERT: three embeddings, normalised, and torch's own transformer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(50, 16, padding_idx=0), nn.Embedding(32, 16)
        self.types, self.normal = nn.Embedding(2, 16), nn.LayerNorm(16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def behind(self, words, mask, types):
        places = self.places(torch.arange(words.shape[1]))
        value = self.normal(words + places + self.types(types))
        value = self.encoder(value, src_key_padding_mask=mask == 0)
        return torch.tanh(value[:, 0])

    def forward(self, ids, mask, types):
        return self.head(self.behind(self.words(ids), mask, types))


def export(module, dynamo):
    ids = torch.from_numpy(IDS[:2])
    free = {0: torch.export.Dim("batch")} if dynamo else {0: "batch"}
    shapes = {"dynamic_shapes": (free,) * 3} if dynamo else {}
    file = io.BytesIO()
    torch.onnx.export(
        module,
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        file,
        input_names=list(NAMES),
        dynamic_axes=None if dynamo else dict.fromkeys(NAMES, free),
        dynamo=dynamo,
        **shapes,
    )
    return file.getvalue()


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "default"])
def test_maps_are_those_of_the_module(dynamo):
    module = Encoder().eval()
    probes = onnxattr.Probes(IDS, tuple("abcde"), "", "", kind=TOKENS)
    fixed = (("attention_mask", 1.0), ("token_type_ids", 0.0))
    ids = torch.from_numpy(IDS)
    z = module.words(ids).detach().requires_grad_()
    units = module.behind(z, torch.ones_like(ids), torch.zeros_like(ids))
    (gradient,) = torch.autograd.grad(units.sum(), z)
    expected = {"saliency": gradient.abs().mean(-1), "grad-input": (z * gradient).mean(-1)}
    file = export(module, dynamo)
    for method, wanted in expected.items():
        options = onnxattr.Options(
            method=method,
            device="cpu",
            store=None,
            input=onnxattr.InputOptions(fixed=fixed),
        )
        found = onnxattr.attribute(file, probes=probes, options=options).values
        cosines = (found * wanted.detach().numpy()).sum(1)
        cosines /= np.linalg.norm(found, axis=1) * np.linalg.norm(wanted.detach().numpy(), axis=1)
        assert cosines.min() > 0.9999
