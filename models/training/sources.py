"""Whole sources left out, and what tells a right answer from a thing of no class: ``python sources.py DATASET``.

Needs coral_classify and the dataset, no training framework.  For each source in turn the last layer is fitted again
without its photographs, on the file's features, and asked about them: all of them are then things of no class, but for
classes that another source has, too.  The layers before have seen the source, so these figures are a little kind.  The
second table ranks signs: AUROC, how often a rightly named validation photograph stands above a thing of no class.
"""
from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Dict, List, NamedTuple

import numpy as np
from evaluate import MODELS, VIEWS, Rule, known_rule
from photographs import OTHER, Photograph, class_map, class_names, encoded, photographs

from coral_classify import Classifier
from coral_classify.pictures import view_of

DECAY, STEPS = 1e-4, 400


class Features(NamedTuple):
    """Of photographs, (photographs, features) for the picture "" and each view; training ones have no views."""

    of: Dict[str, np.ndarray]
    truth: np.ndarray
    source: np.ndarray


class Layer(NamedTuple):
    weights: np.ndarray     # (features, classes)
    bias: np.ndarray
    temperature: float = 1.0

    def logits(self, features: np.ndarray) -> np.ndarray:
        return np.asarray((features @ self.weights + self.bias) / self.temperature)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, default=MODELS / "everyday_objects.tflite")
    args = parser.parse_args()
    everything, names = photographs(args.dataset), class_names()
    sources = sources_of(args.dataset)
    rule = known_rule(args.model.with_suffix(".json"))
    with Classifier(args.model, device="cpu") as classifier:
        train, val, unseen = (
            features_of(classifier, args.dataset, [p for p in everything if p.split in splits], sources, views)
            for splits, views in ((("train",), ()), (("val",), VIEWS), (("choose", "judge"), VIEWS)))
    print("| left out | photographs | sure of them | sure of the rest | of these right |\n|---|---|---|---|---|")
    for source in sorted(set(sources.values())):
        kept = train.source != source
        layer = fitted(train.of[""][kept], train.truth[kept], len(names))
        rest, gone = val.source != source, (val.source == source) & ~np.isin(val.truth, train.truth[kept])
        layer = tempered(layer, val.of[""][rest], val.truth[rest])
        sure, right = judged(layer, val, rule, names)
        print("| %s | %d | %.1f %% | %.0f %% | %.3f |" % (
            source, gone.sum(), 100 * sure[gone].mean() if gone.any() else 0.0, 100 * sure[rest].mean(),
            right[rest & sure].mean()), flush=True)
    layer = tempered(fitted(train.of[""], train.truth, len(names)), val.of[""], val.truth)
    print("\n| sign | AUROC |\n|---|---|")
    named = (layer.logits(val.of[""]).argmax(1) == val.truth) & (val.truth != names.index(OTHER))
    there, away = (signs(layer, of, train, names) for of in (val.of, unseen.of))
    for sign in there:
        above = there[sign][named][:, None] > away[sign][None]
        print("| %s | %.3f |" % (sign, above.mean()))


def sources_of(dataset: Path) -> Dict[str, str]:
    found = {}
    for manifest in ("manifest.csv", "manifest-pets.csv"):
        with open(str(dataset / manifest), encoding="utf-8") as file:
            found.update({row["file"]: row["source"] for row in csv.DictReader(file)})
    return found


def features_of(classifier: Classifier, dataset: Path, wanted: List[Photograph], sources: Dict[str, str],
                views: "tuple[str, ...]") -> Features:
    contents, names, mapping = encoded(dataset, wanted), class_names(), class_map()
    of: Dict[str, List[np.ndarray]] = {view: [] for view in ("",) + tuple(views)}
    for photograph in wanted:
        tensor = classifier.prepared(contents[photograph.file], classifier.wanted()).tensor
        for view, rows in of.items():
            pixels = view_of(tensor, view) if view else tensor
            rows.append(classifier.embed(np.ascontiguousarray(pixels[0]), unit=False))     # it has the input's size
    return Features({view: np.array(rows, np.float32) for view, rows in of.items()},
                    np.array([names.index(mapping[p.name]) for p in wanted]),
                    np.array([sources[p.file] for p in wanted]))


def fitted(features: np.ndarray, truth: np.ndarray, classes: int) -> Layer:
    """Softmax regression by Adam; classes count by the root of their size, as in training."""
    counts = np.bincount(truth, minlength=classes)
    weight = np.maximum(counts, 1)[truth] ** -0.5
    weight /= weight.sum()
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    x = ((features - mean) / deviation).astype(np.float32)
    held = np.zeros((x.shape[1] + 1, classes), np.float32)
    first, second = np.zeros_like(held), np.zeros_like(held)
    for step in range(1, STEPS + 1):
        error = _softmax(np.where(counts > 0, x @ held[:-1] + held[-1], -1e9))
        error[np.arange(len(truth)), truth] -= 1
        error *= weight[:, None]
        slope = np.concatenate([x.T @ error + DECAY * held[:-1], error.sum(0, keepdims=True)])
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope ** 2
        rate = 0.02 * (1 - step / (STEPS + 1))
        held -= rate * (first / (1 - 0.9 ** step)) / (np.sqrt(second / (1 - 0.99 ** step)) + 1e-8)
    weights = held[:-1] / deviation[:, None]
    return Layer(weights, np.where(counts > 0, held[-1] - mean @ weights, -1e9))


def tempered(layer: Layer, features: np.ndarray, truth: np.ndarray) -> Layer:
    """With the softmax temperature of the least cross-entropy on these."""
    logits, rows = layer.logits(features), np.arange(len(truth))
    known = layer.bias[truth] > -1e8
    grid = np.exp(np.arange(np.log(0.3), np.log(4.0), 0.02))
    return layer._replace(temperature=float(min(
        grid, key=lambda t: -np.log(_softmax(logits / t)[rows, truth][known] + 1e-12).mean())))


def judged(layer: Layer, seen: Features, rule: Rule, names: List[str]) -> "tuple[np.ndarray, np.ndarray]":
    scores = {view: _softmax(layer.logits(rows)) for view, rows in seen.of.items()}
    return rule.sure(scores, names), scores[""].argmax(1) == seen.truth


def signs(layer: Layer, of: Dict[str, np.ndarray], train: Features, names: List[str]) -> Dict[str, np.ndarray]:
    """By name: the higher, the surer."""
    logits = {view: layer.logits(rows) for view, rows in of.items()}
    scores = {view: _softmax(rows) for view, rows in logits.items()}
    for rows in scores.values():
        rows[:, names.index(OTHER)] = 0.0
    first, number = scores[""].argmax(1), np.arange(len(scores[""]))
    two = np.sort(logits[""], 1)[:, -2:]
    unit = train.of[""] / np.linalg.norm(train.of[""], axis=1, keepdims=True)
    middle = unit.mean(0)
    means = np.stack([(unit[train.truth == c] - middle).mean(0) for c in range(len(names))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    mine = of[""] / np.linalg.norm(of[""], axis=1, keepdims=True) - middle
    near = (mine * means[first]).sum(1) / np.linalg.norm(mine, axis=1)
    least = np.min([rows[number, first] for rows in scores.values()], axis=0)
    return {"score": scores[""].max(1), "lead between the best two logits": two[:, 1] - two[:, 0],
            "energy (log-sum-exp of the logits)": np.log(np.exp(logits[""] - two[:, 1:]).sum(1)) + two[:, 1],
            "entropy": (scores[""] * np.log(scores[""] + 1e-12)).sum(1),
            "cosine to the class's mean in feature space": near, "least score of three views": least,
            "least score of three views, times that cosine": least * np.maximum(near, 0.0)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


if __name__ == "__main__":
    main()
