"""Networks of torchvision and of our own, through both of torch's exporters."""

import functools
import logging

import record
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn
from torchvision import models

logging.disable(logging.WARNING)


class Dense(nn.Module):
    """The tensor of a segmentation network's dictionary."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image)["out"]


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = self.block(3, 8), self.block(8, 12)
        self.middle = self.block(12, 16)
        self.up = nn.ConvTranspose2d(16, 12, 2, 2)
        self.third, self.fourth = self.block(24, 12), self.block(20, 8)
        self.head = nn.Conv2d(8, 3, 1)

    @staticmethod
    def block(channels, width):
        layers = [nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect")]
        return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.LeakyReLU(0.1))

    def forward(self, image):
        first = self.first(image)
        second = self.second(F.max_pool2d(first, 2))
        value = self.up(self.middle(F.avg_pool2d(second, 2)))
        value = self.third(torch.cat([value, second], 1))
        value = F.interpolate(value, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.tanh(self.head(self.fourth(torch.cat([value, first], 1))))


class SpatialTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        pool = nn.AdaptiveAvgPool2d(1)
        self.where = nn.Sequential(
            nn.Conv2d(3, 4, 5, 4), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 6)
        )
        self.head = nn.Conv2d(3, 4, 3)
        self.register_buffer("same", torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

    def forward(self, image):
        matrix = self.where(image).view(-1, 2, 3) * 0.1 + self.same
        grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
        return self.head(F.grid_sample(image, grid, align_corners=False)).mean((2, 3))


class Encoder(nn.Module):
    """Embeddings of symbols and positions, torch's own encoder layers, a padding mask."""

    def __init__(self, width=32):
        super().__init__()
        self.symbol, self.position = nn.Embedding(50, width), nn.Embedding(16, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 64, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 5)

    def forward(self, symbols, mask, shift):
        places = torch.arange(symbols.shape[1], device=symbols.device)
        value = self.symbol(symbols) + self.position(places) + shift
        return self.head(self.layers(value, src_key_padding_mask=mask == 0)[:, 0])


class Attention(nn.Module):
    """One layer of BERT as its authors wrote it: the mask is added, heads are transposed."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.up = nn.Linear(width, width), nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def split(self, value):
        batch, length, width = value.shape
        return value.view(batch, length, self.heads, width // self.heads).permute(0, 2, 1, 3)

    def forward(self, value, mask):
        query, key, content = (self.split(f(value)) for f in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        mixed = torch.softmax(scores + mask, -1) @ content
        mixed = mixed.permute(0, 2, 1, 3).reshape(value.shape)
        value = self.first(value + self.out(mixed))
        hidden = self.up(value)
        hidden = hidden * 0.5 * (1.0 + torch.erf(hidden / 2**0.5))
        return self.second(value + self.down(hidden))


class Bert(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.symbol, self.position = nn.Linear(6, width), nn.Embedding(16, width)
        self.layers = nn.ModuleList(Attention(width, 3) for _ in range(2))
        self.head = nn.Linear(width, 5)

    def forward(self, symbols, mask):
        mask = (1.0 - mask[:, None, None, :]) * -10000.0
        places = torch.arange(symbols.shape[1], device=symbols.device)
        value = self.symbol(symbols) + self.position(places)
        for layer in self.layers:
            value = layer(value, mask)
        return self.head(value.mean(1)), value


class Einsum(nn.Module):
    """Attention as it is written with einsum, with a position for every pair, on patches."""

    def __init__(self, width=24, heads=3):
        super().__init__()
        self.heads, self.patches = heads, nn.Conv2d(3, width, 8, 8)
        self.pairs = nn.Linear(width, 3 * width)
        self.near = nn.Parameter(torch.randn(heads, 16, 16))
        self.out, self.head = nn.Linear(width, width), nn.Linear(width, 5)

    def forward(self, image):
        value = self.patches(image).flatten(2).transpose(1, 2)
        batch, length, width = value.shape
        parts = self.pairs(value).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, content = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) + self.near
        mixed = torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), content)
        value = value + self.out(mixed.reshape(batch, length, width))
        return self.head(torch.einsum("bnd,n->bd", value, self.near[0, 0]))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layers = kind(6, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, steps):
        return self.head(self.layers(steps)[0][:, -1])


def inception():
    return models.inception_v3(num_classes=10, init_weights=False, transform_input=True)


def densenet():
    return models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=10)


def vit():
    return models.VisionTransformer(64, 16, 2, 3, 48, 96, num_classes=10)


def swin():
    return models.SwinTransformer([4, 4], 24, [2, 2], [3, 6], [4, 4], num_classes=10)


def convnext():
    settings = [
        models.convnext.CNBlockConfig(16, 24, 2),
        models.convnext.CNBlockConfig(24, None, 2),
    ]
    return models.ConvNeXt(settings, num_classes=10)


def vgg11():
    """Its convolutions as they are; its classifier, which holds most of its weights, is small."""
    network = models.vgg11(num_classes=10)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(
        nn.Linear(512, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)
    )
    return network


def densenet121():
    return models.DenseNet(12, (6, 12, 24, 16), 24, num_classes=10)


def convnext_tiny():
    """As deep as it is, and a quarter as wide, like those that follow."""
    widths, depths = (24, 48, 96, 192, None), (3, 3, 9, 3)
    blocks = zip(widths[:-1], widths[1:], depths, strict=True)
    settings = [models.convnext.CNBlockConfig(*block) for block in blocks]
    return models.ConvNeXt(settings, num_classes=10)


def vit_b_16():
    return models.VisionTransformer(64, 16, 12, 12, 192, 768, num_classes=10)


def swin_t():
    return models.SwinTransformer([4, 4], 24, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7], num_classes=10)


def plain_inception():
    return models.inception_v3(num_classes=10, init_weights=False, transform_input=False)


def segmentation(make):
    return Dense(make(weights=None, weights_backbone=None, num_classes=5))


def image(size):
    return lambda batch: (torch.from_numpy(record.noise(batch, 3, size, size)),)


def steps(batch):
    return (torch.from_numpy(record.noise(batch, 7, 6)),)


def sentences(batch):
    generator = torch.Generator().manual_seed(3)
    symbols = torch.randint(0, 50, (batch, 9), generator=generator)
    mask = torch.ones(batch, 9, dtype=torch.long)
    mask[-1, 6:] = 0
    return symbols, mask, torch.from_numpy(record.noise(batch, 9, 32))


def masked(batch):
    mask = torch.ones(batch, 9)
    mask[-1, 6:] = 0
    return torch.from_numpy(record.noise(batch, 9, 6)), mask


SMALL = {"num_classes": 10}
NETWORKS = {
    "resnet18": (lambda: models.resnet18(**SMALL), image(64)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(**SMALL), image(64)),
    "mobilenet_v3_small": (lambda: models.mobilenet_v3_small(**SMALL), image(64)),
    "efficientnet_b0": (lambda: models.efficientnet_b0(**SMALL), image(64)),
    "shufflenet_v2": (lambda: models.shufflenet_v2_x0_5(**SMALL), image(64)),
    "densenet": (densenet, image(64)),
    "inception_v3": (inception, image(80)),
    "convnext": (convnext, image(64)),
    "vit": (vit, image(64)),
    "swin": (swin, image(32)),
    "lraspp": (lambda: segmentation(models.segmentation.lraspp_mobilenet_v3_large), image(64)),
    "deeplab": (lambda: segmentation(models.segmentation.deeplabv3_mobilenet_v3_large), image(64)),
    "unet": (UNet, image(32)),
    "spatial_transformer": (SpatialTransformer, image(32)),
    "encoder": (Encoder, sentences),
    "bert": (Bert, masked),
    "einsum": (Einsum, image(32)),
    "lstm": (lambda: Recurrent(nn.LSTM), steps),
    "gru": (lambda: Recurrent(nn.GRU), steps),
    # For relevance, which is wanted of the architectures that people use.
    "vgg11": (vgg11, image(64)),
    "densenet121": (densenet121, image(64)),
    "convnext_tiny": (convnext_tiny, image(64)),
    "vit_b_16": (vit_b_16, image(64)),
    "swin_t": (swin_t, image(64)),
    "plain_inception_v3": (plain_inception, image(80)),
}

#: What adds something, whatever the input, beside what is called a bias.
ADDED = ("bias", "position.", "pos_embedding", "class_token", "running_mean")

#: The layer that its authors made the classifier, by its name. What is not here has none.
HEADS = {
    "resnet18": "fc",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "shufflenet_v2": "fc",
    "densenet": "classifier",
    "inception_v3": "fc",
    "convnext": "classifier.2",
    "vit": "heads.head",
    "swin": "head",
    "deeplab": "network.classifier.4",
    **dict.fromkeys(("encoder", "bert", "einsum", "lstm", "gru"), "head"),
}

#: Also with a batch of one, which both exporters write into shapes.
BAKED = ("resnet18", "vit", "swin", "convnext", "encoder", "bert", "einsum", "unet", "lstm")
#: Also as the legacy exporter wrote them years ago.
OLD = ("mobilenet_v3_small", "shufflenet_v2", "unet", "bert", "lstm")


def build(make):
    """Return a network in which nothing is trivial: no zero weights, no unit scales."""
    torch.manual_seed(0)
    network = make().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for name, parameter in network.named_parameters():
            if "layer_scale" in name:
                parameter.uniform_(0.2, 0.6)
            elif not parameter.any():
                parameter.normal_(0, 0.1)
    return network


def unbiased(make):
    """Return the same network without biases: its outputs for an input of zeros are zero."""
    network = build(make)
    for name, value in network.state_dict().items():
        # That of pairs of places is added to the scores of attention.
        if any(part in name for part in ADDED) and "relative" not in name:
            value.zero_()
    return network


def export(path, make, inputs, how="default", opset=None, head=None, biased=True):
    network = (build if biased else unbiased)(make)
    single = how.startswith("baked")
    example = inputs(1 if single else 2)
    if how.endswith("default"):
        batch = None if single else tuple({0: "batch"} for _ in example)
        with torch.no_grad():
            program = torch.onnx.export(
                network, example, dynamo=True, dynamic_shapes=batch, verbose=False
            )
        program.save(str(path))
    else:
        names = [f"x{i}" for i in range(len(example))]
        free = None if single else {name: {0: "batch"} for name in names}
        torch.onnx.export(
            network,
            example,
            str(path),
            dynamo=False,
            input_names=names,
            dynamic_axes=free,
            opset_version=opset,
        )
    native(path, network, inputs(1 if single else 3), head)


def native(path, network, inputs, head):
    inputs = [x.requires_grad_(x.is_floating_point()) for x in inputs]
    fed = []
    if head:
        network.get_submodule(head).register_forward_pre_hook(lambda _, given: fed.append(given[0]))
    outputs = network(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    feature = (fed[0] if head else outputs[0]).detach().numpy()
    arrays = [output.detach().numpy() for output in outputs]
    noise = map(torch.from_numpy, record.weights(arrays))
    sum((o * w).sum() for o, w in zip(outputs, noise, strict=True)).backward()
    gradients = [None if x.grad is None else x.grad.numpy() for x in inputs]
    record.save(
        path, [x.detach().numpy() for x in inputs], arrays, gradients, feature, logits=arrays[0]
    )


def table():
    rows = {}
    for name, (make, inputs) in NETWORKS.items():
        baked = ("baked", "baked_default") if name in BAKED else ()
        for how in ("default", "legacy", *baked):
            rows[f"{name}-{how}"] = functools.partial(
                export, make=make, inputs=inputs, how=how, head=HEADS.get(name)
            )
        rows[f"{name}-unbiased"] = functools.partial(
            export, make=make, inputs=inputs, how="legacy", biased=False
        )
        for opset in (11, 13, 17) if name in OLD else ():
            rows[f"{name}-opset{opset}"] = functools.partial(
                export,
                make=make,
                inputs=inputs,
                how="legacy",
                opset=opset,
                head=HEADS.get(name),
            )
    return rows


if __name__ == "__main__":
    record.main(table())
