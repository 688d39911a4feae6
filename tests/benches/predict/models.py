"""The run's networks in PyTorch, with its weights."""
import json
import sys
from pathlib import Path

import torch
from job import CLASSES, CROPS, LEVELS
from safetensors import safe_open
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2] / "oracles"))
import networks


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(outputs // 4, outputs)

    def forward(self, xs):
        return functional.silu(self.norm(self.conv(xs)), inplace=True)


class Up(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.block = Block(outputs, outputs, 1)

    def forward(self, deep, skip):
        return self.block(functional.interpolate(self.project(deep), size=skip.shape[2:]).add_(skip))


class UNet(nn.Module):
    def __init__(self, in_chans, out_chans, widths):
        super().__init__()
        self.count, inputs = len(widths), in_chans
        for number, width in enumerate(widths):
            more = 0 if number == 0 else 1 + (number + 1 == len(widths))
            blocks = [Block(inputs, width, 2)] + [Block(width, width, 1) for _ in range(more)]
            self.add_module(f"down{number}", nn.Sequential(*blocks))
            inputs = width
        for number in reversed(range(len(widths) - 1)):
            self.add_module(f"up{number}", Up(inputs, widths[number]))
            inputs = widths[number]
        self.head = nn.Conv2d(inputs, out_chans, 1)

    def forward(self, xs):
        skipped = []
        for number in range(self.count):
            xs = getattr(self, f"down{number}")(xs)
            skipped.append(xs)
        for number in reversed(range(self.count - 1)):
            xs = getattr(self, f"up{number}")(xs, skipped[number])
        return self.head(xs)


class Level(nn.Module):
    def __init__(self):
        super().__init__()
        level = CROPS["level"]
        self.backbone = networks.create(level["architecture"], in_chans=1, num_classes=0)
        width = self.backbone.num_features
        self.attention = nn.Sequential(nn.Linear(width, level["attention_width"]), nn.Tanh(), nn.Linear(level["attention_width"], 1))
        self.heads = nn.ModuleList([nn.Linear(width, CLASSES)])

    def forward(self, crops):
        # one slice has all the attention
        return self.heads[0](self.backbone(crops))


class Grader(nn.Module):
    def __init__(self):
        super().__init__()
        self.level_bias = nn.ModuleDict()
        for group in ("canal", "foramen", "recess"):
            self.add_module(group, Level())
            bias = nn.Module()
            bias.bias = nn.Parameter(torch.zeros(LEVELS * CLASSES))
            self.level_bias[group] = bias

    def forward(self, group, crops, levels):
        return getattr(self, group)(crops) + self.level_bias[group].bias.view(LEVELS, CLASSES)[levels]


def load(module, fold):
    """The newest checkpoint of a fold: one tensor, and where in it each weight is."""
    path = max((fold / "checkpoints").glob("last-*.safetensors"))
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()["lumbar.state"])
        names = file.keys()
        flat = file.get_tensor("average" if "average" in names else "weights")
        weights = {own["name"]: flat.as_strided(own["shape"], own["stride"], own["offset"]) for own in state["places"]}
        weights |= {name: file.get_tensor(f"buffer.{name}") for name in state["buffers"]}
    module.load_state_dict(weights)
    return module.eval().to(memory_format=torch.channels_last)
