"""Recompute the model card's numbers.

    python evaluate.py DATASET [--outside FOLDER] [--stamps FOLDER] [--gcompris FOLDER] [--choose] [--write]

Needs coral_classify and the dataset, no training framework.  Every photograph goes the user's way: its encoded
bytes into :class:`coral_classify.Classifier`, and its views as the "sure" rule asks for them.  ``--choose`` looks for
the rule on every second photograph, and on unseen categories set apart for it; its figures are those of the others.
``--write`` puts the results into the passport and the card.
"""
from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from photographs import OTHER, class_map, encoded, photographs
from PIL import Image
from resources import resources
from restyle import STYLES, restyled, stamped

from coral_classify import Classifier
from coral_classify.modelfiles.passports import git_blob_id
from coral_classify.pictures import view_of

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent
VIEWS = ("mirror", "middle")
NO_CLASS = -1
# What the rule is chosen for: precision on photographs of the collections and in another style, and how many of the
# things of no class, and of all pictures from outside together, are surely something that they are not.
AT_HOME, AWAY, STRANGE, FOREIGN = 0.99, 0.985, 0.015, 0.01
UNSURE = (OTHER,)
# Pictures that are of none of the collections: the photographs of outside.csv, the cut-out things of stamps.csv on
# white and on photographs, and the photographs of gcompris.csv.
OUTSIDE = ("outside", "stamps", "stamps_moved", "gcompris")


class Rule(NamedTuple):
    """As :class:`coral_classify.modelfiles.passports.Sure`."""

    min_score: float
    min_margin: float
    unsure_labels: Sequence[str]
    views: Sequence[str] = ()

    def sure(self, scores: Dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
        """:param scores: (photographs, classes) of the picture itself, "", and of each view"""
        best = np.sort(scores[""], 1)[:, -2:]
        first = scores[""].argmax(1)
        sure: np.ndarray = (~np.isin(np.array(names)[first], list(self.unsure_labels))
                            & (best[:, 1] >= self.min_score) & (best[:, 1] - best[:, 0] >= self.min_margin))
        for view in self.views:
            sure &= (scores[view].argmax(1) == first) & (scores[view].max(1) >= self.min_score)
        return sure


class Seen(NamedTuple):
    """What the model says to a set of photographs."""

    scores: Dict[str, np.ndarray]
    truth: np.ndarray       # class ids, or NO_CLASS

    @property
    def right(self) -> np.ndarray:
        return np.asarray(self.scores[""].argmax(1) == self.truth)

    def part(self, chosen: Any) -> "Seen":
        return Seen({view: rows[chosen] for view, rows in self.scores.items()}, self.truth[chosen])

    def sure(self, rule: Rule, names: Sequence[str]) -> Tuple[float, float]:
        """How many are sure, and how many of those are right."""
        sure = rule.sure(self.scores, names)
        return float(sure.mean()), float(self.right[sure].mean()) if sure.any() else 1.0

    def surely_wrong(self, rule: Rule, names: Sequence[str]) -> float:
        """A thing of no class is wrong whatever it is called."""
        return float((rule.sure(self.scores, names) & ~self.right).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--outside", type=Path, help="folder with the photographs of outside.csv")
    parser.add_argument("--stamps", type=Path, help="folder with the pictures of stamps.csv")
    parser.add_argument("--gcompris", type=Path, help="folder with the resource files of gcompris.csv")
    parser.add_argument("--model", type=Path, default=MODELS / "everyday_objects.tflite")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with Classifier(args.model, device="cpu") as classifier:
        names = list(classifier.labels or ())
        sets = everything_seen(classifier, names, pictures(args.dataset, args.outside, args.stamps, args.gcompris))
    passport_path = args.model.with_suffix(".json")
    rule = chosen_rule(sets, names) if args.choose else known_rule(passport_path)
    figures = measured(sets, names, rule)
    print(json.dumps(dict(figures, per_class=None), indent=1))
    print(table(figures["per_class"]))
    if args.write:
        passport = describe(args.model, names, rule, figures)
        passport_path.write_text(json.dumps(passport, indent=1) + "\n", encoding="utf-8")
        (MODELS.parent / "labels" / passport["labels"]).write_text("\n".join(names) + "\n", encoding="utf-8")
        write_card(figures)


def everything_seen(classifier: Classifier, names: List[str], asked: Iterable[Tuple[str, Any, str]]) -> Dict[str, Seen]:
    """By set: "val", "choose", "judge", the styles of "val", and those of OUTSIDE."""
    scores: Dict[str, Dict[str, List[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    truth: Dict[str, List[int]] = defaultdict(list)
    for name, picture, thing in asked:
        for view, row in views(classifier, picture).items():
            scores[name][view].append(row)
        truth[name].append(names.index(thing) if thing else NO_CLASS)
    return {name: Seen({view: np.array(rows) for view, rows in of.items()}, np.array(truth[name]))
            for name, of in scores.items()}


def pictures(dataset: Path, outside: Optional[Path] = None, stamps: Optional[Path] = None,
             gcompris: Optional[Path] = None) -> Iterator[Tuple[str, Any, str]]:
    """Set, picture, and class of the model or ""."""
    everything, chance = photographs(dataset), np.random.default_rng(1)
    # Backgrounds from training: they are of nothing that the rule is chosen or judged on.
    grounds = [p for p in everything if p.split == "train" and p.name == OTHER][::4]
    contents = encoded(dataset, [p for p in everything if p.split != "train"] + grounds)
    backgrounds = [Image.open(io.BytesIO(contents[p.file])).convert("RGB") for p in grounds]
    for photograph in everything:
        if photograph.split == "train":
            continue
        content = contents[photograph.file]
        yield photograph.split, content, class_map()[photograph.name] if photograph.split == "val" else ""
        if photograph.split == "val":
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            for style in STYLES:
                yield style, restyled(picture, style, backgrounds, chance), class_map()[photograph.name]
    if outside is not None:
        for row in listed("outside.csv"):
            yield "outside", outside / row["file"], row["class"]
    if stamps is not None:
        for row in listed("stamps.csv"):
            thing = row["class"]
            with Image.open(str(stamps / row["file"])) as opened:
                stamp = opened.convert("RGBA")
            yield "stamps", stamped(stamp, None, chance), thing
            yield "stamps_moved", stamped(stamp, backgrounds[chance.integers(len(backgrounds))], chance), thing
    if gcompris is not None:
        rows = listed("gcompris.csv")
        inside = {file: dict(resources(gcompris / file)) for file in sorted({row["file"] for row in rows})}
        for row in rows:
            yield "gcompris", inside[row["file"]][row["picture"]], row["class"]


def listed(name: str) -> List[Dict[str, str]]:
    """The rows of a list beside this file; "class" is "" for a thing of no class."""
    with open(str(HERE / name), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def views(classifier: Classifier, picture: Any) -> Dict[str, np.ndarray]:
    ready = classifier.prepared(picture, classifier.wanted())
    tensors = {"": ready.tensor, **{view: view_of(ready.tensor, view) for view in VIEWS}}
    scale, zero_point = classifier.output.quantization
    return {view: scale * (classifier.inferred(ready._replace(tensor=tensor)).output[0].astype(float) - zero_point)
            for view, tensor in tensors.items()}


def known_rule(passport: Path) -> Rule:
    return Rule(**json.loads(passport.read_text(encoding="utf-8"))["sure"])


def chosen_rule(sets: Dict[str, Seen], names: List[str]) -> Rule:
    """The lowest score that is honest in every style, and about things of no class, on the half set apart for it."""
    half = {name: seen.part(slice(0, None, 2)) for name, seen in sets.items() if name != "choose"}
    strange = [sets["choose"], half["val"].part(half["val"].truth == names.index(OTHER))]
    foreign = [half[name] for name in OUTSIDE if name in half]
    most = FOREIGN * sum(len(seen.truth) for seen in foreign)
    for score in np.arange(0.5, 0.99, 0.01):
        rule = Rule(round(float(score), 2), 0.0, UNSURE, VIEWS)
        if (half["val"].sure(rule, names)[1] >= AT_HOME
                and all(half[style].sure(rule, names)[1] >= AWAY for style in STYLES)
                and all(seen.surely_wrong(rule, names) <= STRANGE for seen in strange)
                and sum(seen.surely_wrong(rule, names) * len(seen.truth) for seen in foreign) <= most):
            return rule
    raise SystemExit("no rule is honest enough; train longer")


def measured(sets: Dict[str, Seen], names: List[str], rule: Rule) -> Dict[str, Any]:
    val = sets["val"]
    wanted, scores, right = val.truth, val.scores[""], val.right
    order = np.argsort(-scores, 1, kind="stable")
    sure = rule.sure(val.scores, names)
    confidence = scores.max(1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
            for b in range(10) if (bins == b).any()]
    per_class = {}
    for i, name in enumerate(names):
        mine = wanted == i
        if mine.any():
            per_class[name] = {"photographs": int(mine.sum()), "top1": round(float(right[mine].mean()), 3),
                               "sure_and_right": round(float((sure & right)[mine].mean()), 3),
                               "sure_and_wrong": round(float((sure & ~right)[mine].mean()), 3)}
    figures = {
        "photographs": len(wanted),
        "top1": float(right.mean()),
        "top1_balanced": float(np.mean([row["top1"] for row in per_class.values()])),
        "top5": float((order[:, :5] == wanted[:, None]).any(1).mean()),
        "calibration_error": float(sum(gaps)),
        "sure": float(sure.mean()),
        "sure_precision": float(right[sure].mean()),
        "sure_of_other": val.part(wanted == names.index(OTHER)).sure(rule, names)[0],
        "sure_of_unseen_chosen_on": sets["choose"].sure(rule, names)[0],
        "sure_of_unseen_judged": sets["judge"].sure(rule, names)[0],
        "unseen_judged_photographs": len(sets["judge"].truth),
    }
    for style in STYLES:
        judged = sets[style].part(slice(1, None, 2))
        figures[style + "_top1"] = float(judged.right.mean())
        figures[style + "_sure"], figures[style + "_sure_precision"] = judged.sure(rule, names)
    for name in OUTSIDE:
        if name in sets:
            judged = sets[name].part(slice(1, None, 2))
            known, strange = judged.part(judged.truth != NO_CLASS), judged.part(judged.truth == NO_CLASS)
            figures[name + "_photographs"], figures[name + "_top1"] = len(known.truth), float(known.right.mean())
            figures[name + "_top1_balanced"] = float(np.mean([known.part(known.truth == i).right.mean()
                                                              for i in np.unique(known.truth)]))
            figures[name + "_sure"] = known.sure(rule, names)[0]
            figures[name + "_surely_wrong"] = known.surely_wrong(rule, names)
            figures[name + "_of_no_class"] = len(strange.truth)
            figures[name + "_sure_of_no_class"] = strange.sure(rule, names)[0]
    return dict({name: round(value, 4) for name, value in figures.items()}, per_class=per_class)


def describe(model: Path, names: List[str], rule: Rule, figures: Dict[str, Any]) -> Dict[str, Any]:
    with Classifier(model, device="cpu") as classifier:
        height, width = classifier.input.shape[1:3]
    return {
        "name": "everyday-objects",
        "title": "Everyday objects (EfficientNet-EdgeTPU, narrow)",
        "kind": "classification",
        "file": model.name,
        "git_blob": git_blob_id(model),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "size": model.stat().st_size,
        "labels": model.stem + ".txt",
        "label_offset": 0,
        "classes": len(names),
        "input": [height, width],
        "mean": 128.0,
        "std": 128.0,
        "fit": "squash",
        "licence": "Apache-2.0",
        "sure": rule._asdict(),
        "accuracy": {name: value for name, value in figures.items() if name != "per_class"},
    }


def table(per_class: Dict[str, Dict[str, float]]) -> str:
    lines = ["| class | photographs | right | sure and right | sure and wrong |", "|---|---|---|---|---|"]
    lines += ["| %s | %d | %.2f | %.2f | %.2f |" % (name, row["photographs"], row["top1"], row["sure_and_right"],
                                                    row["sure_and_wrong"]) for name, row in per_class.items()]
    return "\n".join(lines)


def write_card(figures: Dict[str, Any]) -> None:
    """Put the figures between the card's markers."""
    card = MODELS / "README.md"
    text = card.read_text(encoding="utf-8")
    mapping = ["| class in the dataset | class of the model |", "|---|---|"]
    mapping += ["| %s | %s |" % pair for pair in class_map().items()]
    rows = ["| figure | value |", "|---|---|"]
    rows += ["| %s | %s |" % (name.replace("_", " "), value) for name, value in figures.items() if name != "per_class"]
    for marker, content in (("figures", "\n".join(rows)), ("classes", table(figures["per_class"])),
                            ("mapping", "\n".join(mapping))):
        text = re.sub(r"(<!-- %s -->\n).*?(<!-- /%s -->)" % (marker, marker),
                      lambda found, content=content: found.group(1) + content + "\n" + found.group(2), text, flags=re.S)
    card.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
