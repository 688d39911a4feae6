"""timm's networks by name, and the narrow ResNets that have no name there: `resnet18d_025` is timm's `ResNet` class
with a quarter of ResNet-18d's channels."""
import re

import timm
from timm.models.resnet import BasicBlock, ResNet

BLOCKS = {"10": (1, 1, 1, 1), "18": (2, 2, 2, 2)}


def create(name, **options):
    narrow = re.fullmatch(r"resnet(10|18)d_(\d{3})", name)
    if narrow is None:
        return timm.create_model(name, **options)
    width = 64 * int(narrow[2]) // 100
    return ResNet(
        BasicBlock,
        BLOCKS[narrow[1]],
        stem_width=width // 2,
        stem_type="deep",
        avg_down=True,
        channels=tuple(width << stage for stage in range(4)),
        **options,
    )
