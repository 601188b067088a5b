"""Train on from a ``.tflite`` made by ``export.py``: all layers, on augmented views that the teacher has answered.

    python restart.py DATASET VIEWS OUT --hours 6      (VIEWS: made by views.py)

Run the same line again after an interruption: it goes on from ``OUT/last.pt``, which is written every two minutes and
holds everything, and the cosine goes on with the hours already spent.  ``OUT/last.pt`` is what ``export.py`` reads.

The weights come back out of the file (needs ai-edge-litert), or out of ``--start``.  Rounding is not undone, nor what
``export.py`` added to logits; the network answers as the file does, in float.  Losses: half truth, half the probe on
the teacher's features, less truth where the probe sees none; divergence from the teacher's 1001 logits; smooth L1 to
its standardized pooled features.
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from dataset import decoded, mixed
from network import VARIANTS, Conv, EfficientNetEdgeTpu
from photographs import OTHER, Photograph, class_map, class_names, photographs
from torch import nn
from torch.nn import functional as F
from train import follow
from views import FEATURE_SCALE, LOGIT_SCALE, LOGIT_ZERO, rounds

SIZES, FIRST = (128, 144), 0.3      # pixels: in the first share of the time, and then
BATCH, RATE, WEIGHT_DECAY, SEED = 96, 3e-4, 0.05, 3
# Share of the truth in the target; the rest is the probe's.  Less where the probe gives the truth under UNSEEN: what
# is left of the thing in a view may be nothing.
HARD, HARD_UNSEEN, UNSEEN = 0.5, 0.25, 0.03
FEATURES = 4.0              # weight of their loss
MIXED = 0.4                 # share of the batches that are given to mixed(), which leaves some as they are
PROBED = 3                  # rounds that the probe is trained on, the whole photographs first
OFTENER = {"cat": 4.0, "dog": 2.0}
# Classes of the file that classes.csv has merged since the file was made.
MERGED = {"avocado, kiwi, onion, garlic or potato": ("avocado", "kiwi", "onion or garlic", "potato"),
          "crab, lobster or scorpion": ("crab or lobster", "scorpion"),
          "butterfly or dragonfly": ("butterfly", "dragonfly")}
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class Batch(NamedTuple):
    pictures: torch.Tensor      # (n, 3, size, size) in [-1, 1]
    target: torch.Tensor        # (n, classes)
    imagenet: torch.Tensor      # (n, 1001)
    features: torch.Tensor      # (n, 1280), standardized


class Student(nn.Module):
    """The network, and two heads that training alone needs."""

    def __init__(self, network: EfficientNetEdgeTpu) -> None:
        super().__init__()
        self.network = network
        self.wide, self.features = nn.Linear(network.features, 1001), nn.Linear(network.features, 1280)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pooled = self.network.pooled(x)
        return self.network.classifier(self.network.dropout(pooled)), self.wide(pooled), self.features(pooled)


class Views:
    """Batches out of the rounds of ``views.py``.  Batch N is the same in every run."""

    def __init__(self, folder: Path, train: List[Photograph], kept: Optional[torch.Tensor] = None,
                 hard: Tuple[float, float] = (HARD, HARD_UNSEEN)) -> None:
        """
        :param kept: (photographs,) bool: those that batches are drawn from; the others are not looked at
        :param hard: share of the truth in the target, and where the probe does not see it
        """
        names, mapping = class_names(), class_map()
        self.hard = hard
        self.rounds, self.other = rounds(folder), names.index(OTHER)
        assert self.rounds and len(self.rounds[0].logits) == len(train), "views of other photographs; make them again"
        self.truth = torch.tensor([names.index(mapping[p.name]) for p in train])
        often = self.truth.bincount(minlength=len(names)).float().clamp(min=1).pow(-0.5)
        for name, times in OFTENER.items():
            often[names.index(name)] *= times
        self.often = often[self.truth]
        whole = torch.from_numpy(np.asarray(self.rounds[0].features)).float() * FEATURE_SCALE
        if kept is not None:
            self.often = self.often * kept
            whole = whole[kept]
        self.mean, self.deviation = whole.mean(0), whole.std(0) + 1e-3
        self.probe = self._probe(len(names))

    def _probe(self, classes: int) -> nn.Linear:
        """Our classes out of the teacher's features."""
        torch.manual_seed(SEED)
        part = self.rounds[:PROBED]
        features = torch.cat([torch.from_numpy(np.asarray(of.features)).float() * FEATURE_SCALE for of in part])
        features, truth = (features - self.mean) / self.deviation, self.truth.repeat(len(part))
        often = self.often.repeat(len(part))
        probe, steps = nn.Linear(features.shape[1], classes), 1500
        optimizer = torch.optim.AdamW(probe.parameters(), 3e-3, weight_decay=0.03)
        for step in range(steps):
            rows = torch.multinomial(often, 512, replacement=True)
            loss = F.cross_entropy(probe(features[rows]), truth[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        return probe.requires_grad_(False)

    @torch.no_grad()
    def batch(self, number: int, size: int) -> Batch:
        torch.manual_seed(SEED + number)
        chosen = self.rounds[int(torch.randint(len(self.rounds), ()))]
        rows = torch.multinomial(self.often, BATCH, replacement=True)
        x = torch.from_numpy(chosen.pictures[rows.numpy()]).permute(0, 3, 1, 2).float().div_(128).sub_(1)
        x[::2] = x[::2].flip(3)
        x = _coloured(F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False))
        features = torch.from_numpy(chosen.features[rows.numpy()]).float() * FEATURE_SCALE
        features = (features - self.mean) / self.deviation
        imagenet = torch.softmax((torch.from_numpy(chosen.logits[rows.numpy()]).float() - LOGIT_ZERO) * LOGIT_SCALE, 1)
        truth = F.one_hot(self.truth[rows], self.probe.out_features).float()
        probed = torch.softmax(self.probe(features), 1)
        hard = torch.where((probed * truth).sum(1, keepdim=True) < UNSEEN, self.hard[1], self.hard[0])
        target = hard * truth + (1 - hard) * probed
        # Patches of several things have the colours and textures of things, and are none: "other".
        none = torch.rand(BATCH) < 0.04
        x[none], target[none], imagenet[none] = _patches(x)[none], F.one_hot(
            torch.tensor(self.other), target.shape[1]).float(), 0.0
        # The teacher was not asked about these and the mixed ones: a row of NaN, and no loss on the features.
        features[none] = math.nan
        if float(torch.rand(())) < MIXED:
            blend, target, imagenet = mixed(x, target, imagenet)
            if blend is not x:
                x, features = blend, features * math.nan
        return Batch(x.contiguous(memory_format=torch.channels_last), target, imagenet, features)


def _coloured(x: torch.Tensor) -> torch.Tensor:
    """A little of what the views have already, so that a view is never seen twice alike."""
    n, grey = len(x), x.mean(1, keepdim=True)
    x = grey + (x - grey) * torch.empty(n, 1, 1, 1).uniform_(0.6, 1.3)
    return (x + torch.empty(n, 1, 1, 1).uniform_(-0.15, 0.15)
            + torch.empty(n, 3, 1, 1).uniform_(-0.06, 0.06)).clamp_(-1, 1)


def _patches(x: torch.Tensor, parts: int = 4) -> torch.Tensor:
    """Each picture of parts x parts patches, each patch from any picture of the batch."""
    n, channels, size, _ = x.shape
    side = size // parts
    tiles = x.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, side, side)
    tiles = tiles[torch.randperm(len(tiles))].reshape(n, parts, parts, channels, side, side)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, size, size)


def loss_of(student: Student, batch: Batch) -> torch.Tensor:
    """(3,): classes, the teacher's logits, the teacher's features; their sum is trained on."""
    with torch.autocast("cpu", torch.bfloat16):
        classes, wide, features = (out.float() for out in student(batch.pictures))
    asked = ~batch.features.isnan().any(1)
    near = F.smooth_l1_loss(features[asked], batch.features[asked], reduction="sum") / features.numel()
    return torch.stack([F.cross_entropy(classes, batch.target),
                        F.kl_div(F.log_softmax(wide, 1), batch.imagenet, reduction="batchmean"), FEATURES * near])


@torch.no_grad()
def fit_heads(student: Student, views: Views, size: int, batches: int = 60) -> None:
    """The two heads by ridge regression: heads of chance upset the layers before them in the first steps."""
    student.eval()
    gram, wanted = torch.zeros(()), torch.zeros(())
    for number in range(batches):
        batch = views.batch(-1 - number, size)
        asked = ~batch.features.isnan().any(1)
        pooled = student.network.pooled(batch.pictures[asked])
        x = F.pad(pooled, (0, 1), value=1.0)
        log = batch.imagenet[asked].clamp(min=1e-6).log()
        y = torch.cat([log - log.mean(1, keepdim=True), batch.features[asked]], 1)
        gram, wanted = gram + x.T @ x, wanted + x.T @ y
    ridge = 0.03 * gram.diagonal().mean() * torch.eye(len(gram))
    solved = torch.linalg.solve(gram + ridge, wanted).T
    for head, part in ((student.wide, solved[:1001]), (student.features, solved[1001:])):
        head.weight.copy_(part[:, :-1])
        head.bias.copy_(part[:, -1])


class Run:
    """A training run that can be stopped at any time; all that it is lies in ``OUT/last.pt``."""

    def __init__(self, out: Path, student: Student) -> None:
        self.file, self.student = out / "last.pt", student
        self.average = copy.deepcopy(student.network)
        self.optimizer = torch.optim.AdamW(
            [{"params": [p for p in student.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
             {"params": [p for p in student.parameters() if p.ndim <= 1], "weight_decay": 0.0}], lr=RATE)
        self.step, self.spent = 0, 0.0      # seconds
        if self.file.exists():
            state: Dict[str, Any] = torch.load(str(self.file))
            self.student.load_state_dict(state["student"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.spent = state["step"], state["spent"]

    def save(self) -> None:
        part = self.file.with_suffix(".part")
        torch.save({"student": self.student.state_dict(), "average": self.average.state_dict(),
                    "optimizer": self.optimizer.state_dict(), "step": self.step, "spent": self.spent}, str(part))
        part.replace(self.file)

    def one(self, views: Views, hours: float) -> torch.Tensor:
        done, started = self.spent / 3600 / hours, time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (self.step + 1) / 100) * max(0.005, 0.5 * (1 + math.cos(math.pi * done)))
        self.student.train()
        losses = loss_of(self.student, views.batch(self.step, SIZES[done >= FIRST]))
        self.optimizer.zero_grad()
        losses.sum().backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 3.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average, self.student.network, min(0.999, self.step / (self.step + 20.0)))
        self.spent += time.monotonic() - started
        return losses.detach()


@torch.no_grad()
def report(run: Run, losses: torch.Tensor, shown: torch.Tensor, rest: List[Photograph]) -> None:
    """Validation in float; AUROC: how well the score puts rightly named photographs over unseen categories."""
    names, mapping = class_names(), class_map()
    known = torch.tensor([p.split == "val" for p in rest])
    truth = torch.tensor([names.index(mapping[p.name]) for p in rest])[known]
    run.average.eval()
    scores = torch.softmax(torch.cat([run.average(x) for x in shown.split(128)]), 1)
    right = scores[known].argmax(1) == truth
    by_class = {int(c): float(right[truth == c].float().mean()) for c in truth.unique()}
    named = scores.clone()
    named[:, names.index(OTHER)] = 0.0
    best = named.max(1).values
    over = best[known][right & (truth != names.index(OTHER))][:, None] > best[~known][None]
    print("%s  %.2f h  step %d  losses %s  top-1 %.4f  balanced %.4f  AUROC unseen %.3f  cat %.2f  dog %.2f" % (
        time.strftime("%H:%M:%S"), run.spent / 3600, run.step, " ".join("%.3f" % v for v in losses),
        right.float().mean(), sum(by_class.values()) / len(by_class), over.float().mean(),
        by_class[names.index("cat")], by_class[names.index("dog")]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("views", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--file", type=Path, default=Path(__file__).parents[1] / "everyday_objects.tflite")
    parser.add_argument("--start", type=Path, help="last.pt of a run before, to begin with instead of the file")
    parser.add_argument("--hours", type=float, default=6.0, help="of training in all, for the cosine")
    parser.add_argument("--stop-after", type=float, help="hours after which this call stops, to go on another day")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    everything = photographs(args.dataset)
    train, rest = ([p for p in everything if (p.split == "train") == wanted] for wanted in (True, False))
    size = VARIANTS["everyday"].resolution
    shown = torch.from_numpy(decoded(args.dataset, rest, size)).permute(0, 3, 1, 2).float() / 128 - 1
    views = Views(args.views, train)
    some = torch.cat([views.batch(number, SIZES[-1]).pictures for number in range(6)])
    torch.manual_seed(SEED)
    student = Student(restarted(str(args.file), some))
    if args.start:
        student.load_state_dict(torch.load(str(args.start))["student"])
    elif not (args.out / "last.pt").exists():
        fit_heads(student, views, SIZES[-1])
    run = Run(args.out, student.to(memory_format=torch.channels_last))
    stop = min(args.hours * 3600, run.spent + 3600 * (args.stop_after or args.hours))
    report(run, torch.zeros(3), shown, rest)
    said, sums, first = time.monotonic(), torch.zeros(3), run.step
    while run.spent < stop:
        sums += run.one(views, args.hours)
        if time.monotonic() - said > 120 or run.spent >= stop:
            report(run, sums / (run.step - first), shown, rest)
            run.save()
            said, sums, first = time.monotonic(), torch.zeros(3), run.step


def restarted(path: str, pictures: torch.Tensor, temperature: float = 0.723) -> EfficientNetEdgeTpu:
    """
    :param pictures: (some hundreds, 3, size, size) of training: their statistics make the batch norms
    :param temperature: what ``export.py`` folded into the last layer of the shipped file, as the card says
    """
    layers = weights(path)
    (_, kernel, bias) = layers.pop()
    kernel, bias = merged(kernel, bias, labels_of(path))
    network = EfficientNetEdgeTpu(VARIANTS["everyday"], len(bias)).eval()
    network.classifier.weight.data.copy_(kernel * temperature)
    network.classifier.bias.data.copy_(bias * temperature)
    convolutions = [module for module in network.modules() if isinstance(module, Conv)]
    assert len(convolutions) == len(layers)
    hooks = []
    for convolution, (kind, kernel, bias) in zip(convolutions, layers):
        convolution.conv.weight.data.copy_(
            kernel.permute(3, 0, 1, 2) if kind == "DEPTHWISE_CONV_2D" else kernel.permute(0, 3, 1, 2))
        hooks.append(convolution.norm.register_forward_pre_hook(_norm_of(bias)))
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    return network


def merged(kernel: torch.Tensor, bias: torch.Tensor, labels: List[str]) -> Tuple[torch.Tensor, torch.Tensor]:
    """The last layer for the classes of ``classes.csv``: a merged class starts as the mean of its parts."""
    rows = [[labels.index(part) for part in ((name,) if name in labels else MERGED[name])] for name in class_names()]
    return torch.stack([kernel[of].mean(0) for of in rows]), torch.stack([bias[of].mean() for of in rows])


def labels_of(path: str) -> List[str]:
    passport = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
    labels = Path(path).parents[1] / "labels" / passport["labels"]
    return labels.read_text(encoding="utf-8").splitlines()


def _norm_of(bias: torch.Tensor) -> Any:
    """A batch norm with the statistics of what it sees, and the gain and shift that undo it, but for the bias."""
    def fill(norm: nn.BatchNorm2d, arguments: Tuple[torch.Tensor]) -> None:
        mean, variance = arguments[0].mean((0, 2, 3)), arguments[0].var((0, 2, 3))
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.data.copy_(mean + bias)
    return fill


def weights(path: str) -> List[Tuple[str, torch.Tensor, torch.Tensor]]:
    """Operator, kernel and bias of each layer, front to back."""
    interpreter = Interpreter(path, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}

    def real(index: int) -> torch.Tensor:
        parameters = details[index]["quantization_parameters"]
        stored = interpreter.get_tensor(index).astype(np.float32)
        shape = [1] * stored.ndim
        shape[parameters["quantized_dimension"]] = -1
        return torch.from_numpy((stored - parameters["zero_points"].reshape(shape)).astype(np.float32)
                                * parameters["scales"].reshape(shape))

    return [(operator["op_name"], real(int(operator["inputs"][1])), real(int(operator["inputs"][2])))
            for operator in interpreter._get_ops_details() if operator["op_name"] in _LAYERS]


if __name__ == "__main__":
    main()
