"""The networks of `blueprint` in PyTorch, through its default exporter and the older one."""

import functools
import logging

import blueprint
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

logging.disable(logging.WARNING)


class Network(nn.Module):
    def __init__(self, plan, weights):
        super().__init__()
        self.plan = plan
        self.around = [blueprint.pads(s, b) for s, b in zip(blueprint.sizes(plan), plan.blocks)]  # noqa: B905
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = plan.channels
        for block, row in zip(plan.blocks, weights[:-1], strict=True):
            kernel = row["kernel"].transpose((2, 3, 0, 1) if block.depthwise else (3, 2, 0, 1))
            groups = channels if block.depthwise else 1
            options = {"dilation": block.dilation, "groups": groups, "bias": False}
            sizes = (channels, len(kernel), block.kernel, block.stride)
            self.convolutions.append(nn.Conv2d(*sizes, **options))
            self.norms.append(nn.BatchNorm2d(len(kernel), eps=blueprint.EPSILON))
            self.fill(self.convolutions[-1], weight=kernel)
            norm = {"weight": "gamma", "bias": "beta", "running_mean": "mean"}
            norm["running_var"] = "variance"
            self.fill(self.norms[-1], **{slot: row[name] for slot, name in norm.items()})
            channels = len(kernel)
        if plan.head:
            self.head = nn.Linear(channels, blueprint.CLASSES)
            self.fill(self.head, weight=weights[-1]["kernel"].T, bias=weights[-1]["bias"])

    @staticmethod
    def fill(module, **arrays):
        for name, array in arrays.items():
            getattr(module, name).data.copy_(torch.from_numpy(array.copy()))

    def forward(self, value):
        if self.plan.dtype == "uint8":
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in (blueprint.MEAN, blueprint.STD))
            value = (value.float() / 255 - mean) / std
        layers = zip(self.around, self.convolutions, self.norms, strict=True)
        for around, convolution, norm in layers:
            value = F.relu(norm(convolution(F.pad(value, (*around, *around)))))
        if self.plan.head:
            value = self.head(value.mean((2, 3)))
        return torch.softmax(value, 1) if self.plan.head == "softmax" else value


def export(path, name, dynamo):
    plan, weights = blueprint.parse(name)
    network = Network(plan, weights).eval()
    example = torch.zeros(2, plan.channels, plan.size, plan.size, dtype=getattr(torch, plan.dtype))
    free = (
        {"dynamic_shapes": ({0: "batch"},), "verbose": False}
        if dynamo
        else {"input_names": ["image"], "dynamic_axes": {"image": {0: "batch"}}}
    )
    with torch.no_grad():
        torch.onnx.export(
            network, (example,), str(path), dynamo=dynamo, external_data=False, **free
        )


if __name__ == "__main__":
    blueprint.main(
        dynamo=functools.partial(export, dynamo=True),
        legacy=functools.partial(export, dynamo=False),
    )
