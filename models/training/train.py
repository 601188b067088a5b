"""Train the embedded model: ``python train.py DATASET OUT``; resumes from OUT/last.pt if it is there.

Progressive resolution, distillation from the teacher's outputs, exponential moving average of the weights.
"""
from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path
from typing import NamedTuple

import torch
from dataset import Batches, decoded, soft_targets
from network import VARIANTS, EfficientNetEdgeTpu
from photographs import OTHER, class_map, class_names, photographs
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader


class Part(NamedTuple):
    """A stretch of training at one resolution, with a cosine of its own: the last one gains nothing otherwise."""

    size: int           # pixels
    stored: int         # size of the decoded photographs that the views are cut from
    minutes: float
    rate: float         # highest learning rate


PARTS = (Part(64, 88, 27.0, 2.5e-3), Part(112, 144, 62.0, 1.6e-3))
BATCH = 128
HARD, IMAGENET_WEIGHT = 0.35, 0.4
WEIGHT_DECAY = 0.05
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, nargs=len(PARTS), default=[part.minutes for part in PARTS])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--first", type=int, default=0, help="start with this part (1: the second)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    everything = photographs(args.dataset)
    train = [p for p in everything if p.split == "train"]
    val = [p for p in everything if p.split == "val"]
    names, mapping = class_names(), class_map()
    truth = torch.tensor([names.index(mapping[p.name]) for p in val])
    targets, imagenet = soft_targets(args.dataset, train, HARD)

    model = EfficientNetEdgeTpu(VARIANTS["everyday"], len(names)).to(memory_format=torch.channels_last)
    teacher_head = nn.Linear(model.features, 1001)      # distillation only; thrown away at export
    average = copy.deepcopy(model)
    if args.first:
        state = torch.load(str(args.out / "last.pt"))
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        teacher_head.load_state_dict(state["teacher_head"])
    print("%d training, %d validation photographs, %d classes, %.2f M parameters, PyTorch %s, %d threads"
          % (len(train), len(val), len(names), sum(p.numel() for p in model.parameters()) / 1e6,
             torch.__version__, args.threads), flush=True)
    for number, (part, minutes) in enumerate(zip(PARTS, args.minutes)):
        if number < args.first or minutes <= 0:
            continue
        pixels = decoded(args.dataset, train, part.stored)
        shown = torch.from_numpy(decoded(args.dataset, val, part.size)).permute(0, 3, 1, 2).float() / 127.5 - 1
        batches = Batches(pixels, targets, imagenet, part.size, BATCH, names.index(OTHER), SEED + number)
        run(model, teacher_head, average, batches, part, minutes, shown, truth, args.out)


def run(model: EfficientNetEdgeTpu, teacher_head: nn.Linear, average: EfficientNetEdgeTpu, batches: Batches,
        part: Part, minutes: float, shown: torch.Tensor, truth: torch.Tensor, out: Path) -> None:
    """Train for so many minutes; the cosine follows the clock, because the steps a machine manages are unknown."""
    decay = [p for p in model.parameters() if p.ndim > 1] + [teacher_head.weight]
    plain = [p for p in model.parameters() if p.ndim <= 1] + [teacher_head.bias]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY},
                                   {"params": plain, "weight_decay": 0.0}], lr=part.rate)
    started = reported = time.monotonic()
    step, losses = 0, 0.0
    for x, target, imagenet in DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4):
        done = (time.monotonic() - started) / (60 * minutes)
        if done >= 1:
            break
        warm = min(1.0, (step + 1) / 300)
        for group in optimizer.param_groups:
            group["lr"] = part.rate * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * done)))
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            features = model.pooled(x)
            logits = model.classifier(model.dropout(features))
            wide = teacher_head(features)
        loss = F.cross_entropy(logits.float(), target)
        loss = loss - IMAGENET_WEIGHT * (imagenet * F.log_softmax(wide.float(), 1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        step += 1
        follow(average, model, min(0.999, step / (step + 20.0)))
        losses += float(loss.detach())
        if time.monotonic() - reported > 120:
            report(part, done, step, losses / step, average, shown, truth)
            save(out, model, teacher_head, average)
            reported = time.monotonic()
    report(part, 1.0, step, losses / max(step, 1), average, shown, truth)
    save(out, model, teacher_head, average)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """One step of the exponential moving average, batch statistics included."""
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values()):
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, 1 - keep)
        else:
            mine.copy_(theirs)


@torch.no_grad()
def report(part: Part, done: float, step: int, loss: float, average: nn.Module, shown: torch.Tensor,
           truth: torch.Tensor) -> None:
    average.eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.cat([average(x.contiguous(memory_format=torch.channels_last)) for x in shown.split(128)])
    best = logits.float().topk(5).indices
    print("%s  %d px  %3.0f %%  step %6d  mean loss %.3f  validation top-1 %.4f  top-5 %.4f"
          % (time.strftime("%H:%M:%S"), part.size, 100 * done, step, loss,
             (best[:, 0] == truth).float().mean(), (best == truth[:, None]).any(1).float().mean()), flush=True)


def save(out: Path, model: nn.Module, teacher_head: nn.Module, average: nn.Module) -> None:
    temporary = out / "last.pt.part"
    torch.save({"model": model.state_dict(), "teacher_head": teacher_head.state_dict(),
                "average": average.state_dict()}, str(temporary))
    temporary.replace(out / "last.pt")


if __name__ == "__main__":
    main()
