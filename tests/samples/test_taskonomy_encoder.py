"""Taskonomy's published encoders: the network against its description, and what the recipe says."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torchvision.models import resnet50

from onnxattr.scores import load_scores
from samples.taskonomy import make
from samples.taskonomy.encoder import STAGES, encoder
from samples.taskonomy.tasks import FILES

#: Beside this checkout, or beside the folder that it is in.
PLACES = [folder / "shared/reference/taskonomy" for folder in Path(__file__).parents[3:]]
REFERENCE = next((place for place in PLACES if place.is_dir()), PLACES[0])
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="Taskonomy's published affinities are not at hand"
)


@pytest.fixture(scope="module")
def network():
    """An encoder whose batch norms do something: as new, they pass everything on."""
    torch.manual_seed(0)
    made = encoder()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return made


def test_parameters_have_the_names_and_shapes_of_resnet_50_and_of_the_bottleneck(network):
    """The published names are ResNet-50's but for its classifier, and those of the compression."""
    body = {k: v.shape for k, v in resnet50(weights=None).state_dict().items()}
    del body["fc.weight"], body["fc.bias"]
    statistics = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (8,))
    end = {f"compress_bn.{k}": torch.Size(v) for k, v in statistics.items()}
    end |= {
        "compress1.weight": torch.Size((8, 2048, 3, 3)),
        "compress_bn.num_batches_tracked": torch.Size(()),
    }

    assert {k: v.shape for k, v in network.state_dict().items()} == body | end
    # ResNet-50 has 25,557,032, of which its classifier 2,049,000.
    count = 25_557_032 - 2_049_000 + 8 * 2048 * 9 + 2 * 8
    assert sum(p.numel() for p in network.parameters()) == count == 23_655_504


def plain(weights, x):
    """The network once more, from TensorFlow's side: slim's ResNet v1 and padding `SAME`."""

    def conv(name, x, stride=1):
        kernel = weights[f"{name}.weight"]
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(name, x):
        mean, var, scale, shift = (
            weights[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift

    x = norm("bn1", conv("conv1", x, 2)).clamp(min=0)
    x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for number, (_, blocks, stride) in enumerate(STAGES, 1):
        for block in range(blocks):
            name = f"layer{number}.{block}"
            step = stride if block == blocks - 1 else 1
            shortcut = x[:, :, ::step, ::step]
            if block == 0:
                shortcut = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x))
            inner = norm(f"{name}.bn1", conv(f"{name}.conv1", x)).clamp(min=0)
            inner = norm(f"{name}.bn2", conv(f"{name}.conv2", inner, step)).clamp(min=0)
            x = (shortcut + norm(f"{name}.bn3", conv(f"{name}.conv3", inner))).clamp(min=0)
    return norm("compress_bn", conv("compress1", x)).clamp(min=0)


def test_it_computes_what_is_described(network):
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        found, expected = network(image), plain(network.state_dict(), image)
    assert found.shape == (2, 8, 4, 4)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_representation_is_16_by_16_by_8():
    shapes_only = encoder().to("meta")
    image = torch.empty(1, *shapes_only.pretrained_cfg["input_size"], device="meta")
    assert shapes_only(image).shape == (1, 8, 16, 16)


def test_behind_the_published_group_norm_the_sum_has_no_gradient():
    """Why it is left out: it makes each channel's mean 0, whatever the picture is."""
    code = torch.rand(2, 8, 16, 16, dtype=torch.float64, requires_grad=True)
    functional.group_norm(code, 8).sum().backward()
    assert code.grad.abs().max() < 1e-12


@needs_reference
def test_all_tasks_are_sources_of_the_official_affinities():
    assert set(FILES) <= set(load_scores(REFERENCE / "all_affinities_16k.pkl").sources)
    assert len(FILES) == len(set(FILES.values())) == 20


@needs_reference
def test_published_hits_are_those_that_were_read_off_the_figures():
    known = json.loads((REFERENCE / "published_pk_hit_counts.json").read_text())
    stored = json.loads(make.PUBLISHED.read_text())
    for probes, methods in stored.items():
        for method, hits in methods.items():
            name = method.replace("grad-input", "grad*input")
            assert hits == known[f"song19/{probes.lower()}/{name}"][:5]
    assert [len(methods) for methods in stored.values()] == [3, 3, 3]


def test_the_table_puts_what_was_published_below_what_was_measured():
    curve = [{"k": k, "precision": p} for k, p in enumerate((0.5, 0.25, 1, 0, 0.125, 0), 1)]
    evaluation = {"measures": [{"name": "saliency", "curve": curve}]}

    lines = make.table(evaluation, json.loads(make.PUBLISHED.read_text())).splitlines()

    assert lines[2] == "| `saliency` | **yours** | 0.500 | 0.250 | 1.000 | 0.000 | 0.125 |"
    assert lines[3] == "|  | Taskonomy | 0.667 | 0.583 | 0.593 | 0.528 | 0.522 |"
    assert lines[4].startswith("|  | COCO | ")
    assert lines[4].endswith(" | 0.622 |")
    assert lines[5].endswith(" | 0.611 |")
    assert len(lines) == 6


def test_the_page_has_the_published_figures():
    """The cells of who reads it are empty there, and filled in by `make.table`."""
    methods = [{"name": name, "curve": []} for name in make.METHODS]
    published = json.loads(make.PUBLISHED.read_text())
    rows = make.table({"measures": methods}, published).splitlines()
    blank = [row.replace("|  |  |  |  |  |", "| … | … | … | … | … |") for row in rows]
    page = (Path(make.ROOT) / "docs/taskonomy.md").read_text(encoding="utf-8")
    assert "\n".join(blank[2:]) in page


def test_a_checkpoint_is_found_by_its_task_and_held_to_its_name(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"has 0 files called `normal_encoder-\*\.pth`, not 1"):
        make._checkpoint(tmp_path, "normal")
    digest = hashlib.sha256(b"weights").hexdigest()
    whole = tmp_path / f"normal_encoder-{digest}.pth"
    whole.write_bytes(b"weights")
    (tmp_path / f"normal_decoder-{digest}.pth").write_bytes(b"other")

    assert make._checkpoint(tmp_path, "normal") == whole
    assert capsys.readouterr().err == ""

    whole.write_bytes(b"half")
    assert make._checkpoint(tmp_path, "normal") == whole
    assert "its SHA-256 is not that in its name" in capsys.readouterr().err


def test_a_step_says_what_it_needs():
    command = [sys.executable, make.__file__, "evaluate", "--output", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`evaluate` needs --truth" in done.stderr
