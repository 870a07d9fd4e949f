"""The network that all of Taskonomy's published PyTorch encoders are weights of."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

#: Width of the narrow convolutions, number of blocks and stride of each stage.
STAGES = ((64, 3, 2), (128, 4, 2), (256, 6, 1), (512, 3, 1))

#: What the ONNX file says of its input, in timm's words, which the adapter knows:
#: 256×256 pixels in −1…1, which is (x − ½) / ½ of x in 0…1.
INPUT = {
    "input_size": (3, 256, 256),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_mode": "center",
}


class Encoder(nn.Module):
    """ResNet-50 without its end, [image, 3, 256, 256] in −1…1 → [image, 8, 16, 16], ≥ 0.

    After the task bank's description (https://github.com/StanfordVL/taskonomy, `taskbank/`) and
    the parameters' names in the published checkpoints, which decide the attributes' names here.
    It differs from the usual ResNet-50 in that

    - a stage's stride is in its *last* block, whose shortcut then takes every second pixel, as in
      TensorFlow's slim, where the encoders were trained; the last two stages have none;
    - the pool pads below and to the right alone (`ceil_mode`), as TensorFlow's `SAME` does;
    - `compress1` makes eight channels of 2048, with batch norm and ReLU, and nothing is averaged.

    Who uses the published code gets a group norm behind it, of one channel a group. It is left out:
    it makes every channel's sum 0, so that the sum over the units has no gradient at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = INPUT
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels = 64
        for number, (width, blocks, stride) in enumerate(STAGES, 1):
            setattr(self, f"layer{number}", _stage(channels, width, blocks, stride))
            channels = width * Bottleneck.expansion
        self.compress1 = nn.Conv2d(channels, 8, 3, padding=1, bias=False)
        self.compress_bn = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        """Return the representation."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.relu(self.compress_bn(self.compress1(x)))


def encoder() -> Encoder:
    """Return an encoder with He's initial weights, as `onnxattr export` calls it."""
    made = Encoder().eval()
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return made


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    wide = width * Bottleneck.expansion
    projection = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide))
    subsample = nn.MaxPool2d(1, stride) if stride > 1 else None
    return nn.Sequential(
        Bottleneck(channels, width, downsample=projection),
        *(Bottleneck(wide, width) for _ in range(blocks - 2)),
        Bottleneck(wide, width, stride, subsample),
    )
