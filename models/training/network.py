"""EfficientNet-EdgeTPU in PyTorch: S, M, L as published, and the narrow network of the embedded model.

Block strings, widths, depths and resolutions: the publisher's training code (tensorflow/tpu,
models/official/efficientnet/edgetpu, Apache-2.0).  Fused blocks expand with a full 3 x 3 convolution and
project with a 1 x 1; the others expand with 1 x 1, then filter depthwise, then project.  ReLU, no
squeeze-and-excitation, linear projections, no bias, batch norm with epsilon 1e-3, SAME padding.
"""
from __future__ import annotations

import math
from typing import List, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Stage(NamedTuple):
    """Equal blocks in a row; the first one has the stride and changes the width."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int
    fused: bool
    skip: bool


STAGES = (
    Stage(1, 3, 1, 4, 24, 24, True, False),
    Stage(2, 3, 2, 8, 24, 32, True, True),
    Stage(4, 3, 2, 8, 32, 48, True, True),
    Stage(5, 5, 2, 8, 48, 96, False, True),
    Stage(4, 5, 1, 8, 96, 144, False, True),
    Stage(2, 5, 2, 8, 144, 192, False, True),
)


class Variant(NamedTuple):
    width: float
    depth: float
    resolution: int     # height = width of the input, pixels
    head: int = 1280    # features before the classifier, at width 1


VARIANTS = {
    "s": Variant(1.0, 1.0, 224),
    "m": Variant(1.0, 1.1, 240),
    "l": Variant(1.2, 1.4, 300),
    "everyday": Variant(0.5, 0.8, 160, 1024),
}


def round_filters(filters: int, width: float, divisor: int = 8) -> int:
    """EfficientNet's rule: the nearest multiple of 8, and never less than 90 % of what was asked."""
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


class Conv(nn.Module):
    """Convolution with SAME padding as TensorFlow does it, then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: List[int] = []
        for size in (x.shape[3], x.shape[2]):
            stride, kernel = self.conv.stride[0], self.conv.kernel_size[0]
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if self.conv.groups > 1:
            # oneDNN's bfloat16 gradient of a depthwise convolution is two to seven times slower than float32's.
            with torch.autocast(x.device.type, enabled=False):
                return self.norm(self.conv(F.pad(x.float(), pads)))
        if any(pads) and len(set(pads)) == 1:
            y = F.conv2d(x, self.conv.weight, None, self.conv.stride, pads[0], 1, self.conv.groups)
            return self.norm(y)
        return self.norm(self.conv(F.pad(x, pads) if any(pads) else x))


class Block(nn.Module):
    def __init__(self, stage: Stage, inputs: int, outputs: int, stride: int, width: float) -> None:
        super().__init__()
        # The first block expands its nominal input width, not the stem's.
        wide = (round_filters(stage.inputs, width) if inputs != outputs and not stage.skip else inputs) * stage.expand
        self.fused = stage.fused
        if stage.fused:
            self.expand = Conv(inputs, wide, stage.kernel, stride)
        else:
            self.expand = Conv(inputs, wide, 1)
            self.depthwise = Conv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = Conv(wide, outputs, 1)
        self.residual = stage.skip and stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.expand(x))
        if not self.fused:
            y = F.relu(self.depthwise(y))
        y = self.project(y)
        return x + y if self.residual else y


class EfficientNetEdgeTpu(nn.Module):
    """Logits (batch, classes) from float pictures (batch, 3, height, width) in about [-1, 1]."""

    def __init__(self, variant: Variant, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        stem = round_filters(32, variant.width)
        head = round_filters(variant.head, max(1.0, variant.width)) if variant.width >= 1 else variant.head
        self.stem = Conv(3, stem, 3, 2)
        blocks: List[nn.Module] = []
        inputs = stem
        for stage in STAGES:
            outputs = round_filters(stage.outputs, variant.width)
            for repeat in range(math.ceil(stage.repeats * variant.depth)):
                blocks.append(Block(stage, inputs, outputs, stage.stride if repeat == 0 else 1, variant.width))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = Conv(inputs, head, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head, classes)
        self.features = head
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] ** 2 * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return F.relu(self.head(x)).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.dropout(self.pooled(x)))
