"""What training sees: photographs decoded once, soft targets, augmented batches."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np
import torch
from photographs import Photograph, class_map, class_names, encoded
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import IterableDataset


def decoded(dataset: Path, wanted: List[Photograph], size: int) -> np.ndarray:
    """(photographs, size, size, 3) uint8: each whole photograph squashed, as the runtime does it by default."""
    contents = encoded(dataset, wanted)
    pixels = np.empty((len(wanted), size, size, 3), np.uint8)
    for i, photograph in enumerate(wanted):
        with Image.open(io.BytesIO(contents[photograph.file])) as picture:
            pixels[i] = np.asarray(picture.convert("RGB").resize((size, size), Image.LANCZOS))
    return pixels


def soft_targets(dataset: Path, wanted: List[Photograph], hard: float) -> Tuple[torch.Tensor, torch.Tensor]:
    """What each photograph should answer: (n, classes) and, from the ImageNet network, (n, 1001).

    The first is ``hard`` x the true class + (1 - ``hard``) x the teacher's probe, with its probabilities added
    up where classes were merged.  A photograph that the teacher did not see keeps its true class, and a row of
    zeros in the second.
    """
    names, mapping = class_names(), class_map()
    teacher = np.load(str(dataset / "teacher_soft_targets.npz"))
    old = (dataset / "labels.txt").read_text(encoding="utf-8").splitlines()
    merge = torch.zeros(len(old), len(names))
    for i, name in enumerate(old):
        merge[i, names.index(mapping[name])] = 1.0
    truth = F.one_hot(torch.tensor([names.index(mapping[p.name]) for p in wanted]), len(names)).float()
    rows = torch.tensor([p.row for p in wanted])
    seen = (rows >= 0).float()[:, None]
    probe = torch.from_numpy(teacher["probe_prob"].astype(np.float32))[rows] @ merge
    probe = probe / probe.sum(1, keepdim=True)
    logits = torch.from_numpy(teacher["imagenet_logits_u8"])[rows].float()
    imagenet = torch.softmax(logits * float(teacher["imagenet_scale"]) + float(teacher["imagenet_offset"]), 1)
    share = 1.0 - (1.0 - hard) * seen
    return share * truth + (1.0 - share) * probe, imagenet * seen


class Batches(IterableDataset):     # type: ignore[type-arg]
    """Endless augmented batches: pictures (n, 3, size, size) in [-1, 1], targets (n, classes), (n, 1001)."""

    def __init__(self, pixels: np.ndarray, targets: torch.Tensor, imagenet: torch.Tensor, size: int, batch: int,
                 other: int, seed: int) -> None:
        self.pixels, self.targets, self.imagenet = pixels, targets, imagenet
        self.size, self.batch, self.other, self.seed = size, batch, other, seed

    def __iter__(self) -> Iterator[Tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        chosen = self.targets.argmax(1)
        weights = chosen.bincount(minlength=self.targets.shape[1]).float().clamp(min=1).pow(-0.5)[chosen]
        # Nothing else stands for all that is in no class: see it more often than its number asks for.
        weights[chosen == self.other] *= 1.6
        while True:
            rows = torch.multinomial(weights, self.batch, replacement=True)
            x = torch.from_numpy(self.pixels[rows.numpy()]).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            x = _colours(_views(x, self.size))
            target, imagenet = self.targets[rows].clone(), self.imagenet[rows].clone()
            self._scramble(x, target, imagenet)
            x, target, imagenet = mixed(x, target, imagenet)
            yield x.contiguous(memory_format=torch.channels_last), target, imagenet

    def _scramble(self, x: torch.Tensor, target: torch.Tensor, imagenet: torch.Tensor) -> None:
        """A jigsaw of patches has the colours and textures of a thing, and is none: it must say "other"."""
        for i in torch.nonzero(torch.rand(len(x)) < 0.04).flatten().tolist():
            parts = 4
            side = self.size // parts
            tiles = x[i, :, :side * parts, :side * parts].unfold(1, side, side).unfold(2, side, side)
            tiles = tiles.reshape(3, parts * parts, side, side)[:, torch.randperm(parts * parts)]
            tiles = tiles.reshape(3, parts, parts, side, side).permute(0, 1, 3, 2, 4)
            x[i, :, :side * parts, :side * parts] = tiles.reshape(3, side * parts, side * parts)
            target[i] = 0.0
            target[i, self.other] = 1.0
            imagenet[i] = 0.0


def _views(x: torch.Tensor, size: int) -> torch.Tensor:
    """Random part (35 to 100 % of the area), shape, mirror and a slight turn, in one bilinear resampling."""
    n = len(x)
    area, shape = torch.empty(n).uniform_(0.35, 1.0).sqrt(), torch.empty(n).uniform_(-0.25, 0.25).exp()
    wide, high = (area * shape).clamp(max=1.0), (area / shape).clamp(max=1.0)
    mirror = torch.randint(0, 2, (n,)).float() * 2 - 1
    turn = torch.empty(n).uniform_(-0.2, 0.2) * (torch.rand(n) < 0.4)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = wide * mirror * turn.cos(), -high * turn.sin()
    theta[:, 1, 0], theta[:, 1, 1] = wide * mirror * turn.sin(), high * turn.cos()
    theta[:, 0, 2] = (torch.rand(n) * 2 - 1) * (1 - wide)
    theta[:, 1, 2] = (torch.rand(n) * 2 - 1) * (1 - high)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _colours(x: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast, saturation and white balance, and now and then a blur or noise."""
    n = len(x)
    grey = x.mean(1, keepdim=True)
    middle = grey.mean((2, 3), keepdim=True)
    x = grey + (x - grey) * torch.empty(n, 1, 1, 1).uniform_(0.5, 1.5)
    x = middle + (x - middle) * torch.empty(n, 1, 1, 1).uniform_(0.6, 1.4)
    x = x + torch.empty(n, 1, 1, 1).uniform_(-0.3, 0.3) + torch.empty(n, 3, 1, 1).uniform_(-0.1, 0.1)
    pale = torch.rand(n) < 0.04
    x[pale] = x[pale].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    soft = torch.rand(n) < 0.12
    if bool(soft.any()):
        x[soft] = F.avg_pool2d(F.pad(x[soft], (1, 1, 1, 1), mode="reflect"), 3, 1)
    noisy = torch.rand(n) < 0.1
    x[noisy] += torch.randn_like(x[noisy]) * 0.08
    return x.clamp_(-1.0, 1.0)


def mixed(x: torch.Tensor, target: torch.Tensor,
         imagenet: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixup on a third of the batches, CutMix on a quarter, with the targets mixed in proportion."""
    kind = float(torch.rand(()))
    if kind > 0.58:
        return x, target, imagenet
    order = torch.randperm(len(x))
    if kind < 0.33:
        share = float(torch.distributions.Beta(0.3, 0.3).sample())
        x = share * x + (1 - share) * x[order]
    else:
        size = x.shape[2]
        side = int(size * float(torch.empty(()).uniform_(0.3, 0.75)))
        top, left = (int(v) for v in torch.randint(0, size - side + 1, (2,)))
        x = x.clone()
        x[:, :, top:top + side, left:left + side] = x[order][:, :, top:top + side, left:left + side]
        share = 1 - (side / size) ** 2
    return x, share * target + (1 - share) * target[order], share * imagenet + (1 - share) * imagenet[order]
