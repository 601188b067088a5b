"""What each step of the training brings with a whole source left out: ``python left_out.py DATASET WORK TEACHER``.

For each source in turn, and for each step, a network is trained from random weights, small and short (64 px, 7 rounds
of the photographs), without the source.  What it says to that source's validation photographs counts as said to things
of no class, but for dogs, which two sources have.  So the steps are compared with each other; they say nothing of how
good the shipped network is, which was trained longer, on larger pictures and on every source.

``--stamps FOLDER`` and ``--gcompris FOLDER`` as in evaluate.py.  About 7 minutes of one core for each of the twelve
networks, and 20 for their views, which lie in ``WORK`` then.  A view shows nothing of another source than its own.
"""
from __future__ import annotations

import argparse
import copy
import io
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import restart
import torch
from evaluate import OUTSIDE, pictures
from network import VARIANTS, EfficientNetEdgeTpu
from photographs import OTHER, class_names, photographs
from PIL import Image
from restart import Student, Views, loss_of
from sources import sources_of
from train import follow
from views import make

SIZE, STEPS, RATE, ROUNDS = 64, 1100, 2.5e-3, 3
LEFT_OUT = (("caltech101",), ("clothing",), ("grocery-store",), ("trashnet", "oxford-iiit-pet"))
SURE = 0.3      # of the validation photographs that remain: the score where the networks are compared


class Step(NamedTuple):
    title: str
    views: str
    hard: Tuple[float, float]       # share of the truth, as in Views
    weights: Tuple[float, ...]      # of the three losses


LADDER = (
    Step("labels, parts and colours", "parts", (1.0, 1.0), (1, 0, 0)),
    Step("+ the teacher's answers and features", "parts", (restart.HARD, restart.HARD_UNSEEN), (1, 1, 1)),
    Step("+ other grounds, cut out, blended", "grounds", (restart.HARD, restart.HARD_UNSEEN), (1, 1, 1)),
)


class Shown(NamedTuple):
    pixels: np.ndarray          # (pictures, SIZE, SIZE, 3) uint8
    truth: np.ndarray           # class, or -1
    source: np.ndarray          # "" where it is of no collection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--gcompris", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, sources = [p for p in photographs(args.dataset) if p.split == "train"], sources_of(args.dataset)
    of = np.array([sources[p.file] for p in train])
    for folder, pools in (("parts", [""] * len(train)), ("grounds", of.tolist())):
        make(args.work / folder, ROUNDS, train, args.dataset, args.teacher, pools)
    sets = shown(args.dataset, args.stamps, args.gcompris, sources)
    print("| left out | step | top-1 | moved | blurred | stamps | gcompris | AUROC left out | AUROC unseen "
          "| sure of left out | sure of unseen |\n" + "|---" * 11 + "|", flush=True)
    for left_out in LEFT_OUT:
        kept = ~np.isin(of, left_out)
        for step in LADDER:
            views = Views(args.work / step.views, train, torch.from_numpy(kept), step.hard)
            network = trained(views, step.weights)
            present = np.unique(views.truth.numpy()[kept])
            print("| %s | %s | %s |" % (", ".join(left_out), step.title,
                                        " | ".join(judged(network, sets, left_out, present))), flush=True)


def trained(views: Views, weights: Tuple[float, ...]) -> EfficientNetEdgeTpu:
    torch.manual_seed(restart.SEED)
    student = Student(EfficientNetEdgeTpu(VARIANTS["everyday"], len(class_names())))
    student = student.to(memory_format=torch.channels_last)
    average = copy.deepcopy(student.network)
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=restart.WEIGHT_DECAY)
    for step in range(STEPS):
        cosine = 0.5 * (1 + math.cos(math.pi * step / STEPS))
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 100) * cosine
        optimizer.zero_grad()
        (loss_of(student, views.batch(step, SIZE)) * torch.tensor(weights)).sum().backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimizer.step()
        follow(average, student.network, min(0.995, step / (step + 20.0)))
    return average.eval()


def shown(dataset: Path, stamps: Optional[Path], gcompris: Optional[Path],
          sources: Dict[str, str]) -> Dict[str, Shown]:
    """The sets of ``evaluate.pictures``; "unseen" are both halves of the unseen categories."""
    found: Dict[str, List[Tuple[Any, ...]]] = defaultdict(list)
    names, source = class_names(), ""
    files = iter([p.file for p in photographs(dataset) if p.split != "train"])
    for name, picture, thing in pictures(dataset, None, stamps, gcompris):
        if name in OUTSIDE:
            source = ""
        elif isinstance(picture, bytes):    # of the dataset; its other styles follow it
            source = sources[next(files)]
        if isinstance(picture, bytes):
            picture = Image.open(io.BytesIO(picture))
        pixels = np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.LANCZOS))
        found["unseen" if name in ("choose", "judge") else name].append(
            (pixels, names.index(thing) if thing else -1, source))
    return {name: Shown(*(np.array(column) for column in zip(*rows))) for name, rows in found.items()}


def judged(network: EfficientNetEdgeTpu, sets: Dict[str, Shown], left_out: Tuple[str, ...],
           present: np.ndarray) -> List[str]:
    """The columns of the table.  :param present: classes that were trained on"""
    other = class_names().index(OTHER)
    scores = {name: answers(network, seen.pixels) for name, seen in sets.items()}

    def right(name: str) -> np.ndarray:
        seen = sets[name]
        asked = np.isin(seen.truth, present) & ~np.isin(seen.source, left_out)
        return np.asarray(scores[name].argmax(1) == seen.truth)[asked]

    def best(rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.delete(rows, other, 1).max(1))

    val = sets["val"]
    gone = np.isin(val.source, left_out)
    named = ~gone & (scores["val"].argmax(1) == val.truth) & (val.truth != other)
    strange = {"left out": best(scores["val"][gone & ~np.isin(val.truth, present)]),
               "unseen": best(scores["unseen"])}
    limit = np.quantile(best(scores["val"][~gone]), 1 - SURE)
    figures = [right(name).mean() for name in ("val", "moved", "blurred")]
    figures += [right(name).mean() if name in sets else math.nan for name in ("stamps", "gcompris")]
    figures += [(best(scores["val"][named])[:, None] > rows[None]).mean() for rows in strange.values()]
    return ["%.3f" % figure for figure in figures] + ["%.1f %%" % (100 * (rows > limit).mean())
                                                     for rows in strange.values()]


@torch.no_grad()
def answers(network: EfficientNetEdgeTpu, pixels: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 128 - 1
    return torch.softmax(torch.cat([network(part) for part in x.split(128)]), 1).numpy()


if __name__ == "__main__":
    main()
