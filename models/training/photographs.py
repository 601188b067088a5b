"""The photographs of ``everyday-objects`` and the classes of the model; needs no training framework.

The dataset is never copied into this repository; see README.md beside this file for where it comes from.
"""
from __future__ import annotations

import csv
import tarfile
from pathlib import Path
from typing import Dict, List, NamedTuple

# Caltech categories that training never sees: they stand for the things in no class when the "sure" rule is
# chosen (the first four) and when it is judged (the rest).
UNSEEN_TO_CHOOSE = ("octopus", "gramophone", "barrel", "beaver")
UNSEEN_TO_JUDGE = ("pagoda", "gerenuk", "wrench", "metronome")

OTHER = "other"


class Photograph(NamedTuple):
    shard: str
    file: str
    name: str           # class in the dataset
    split: str          # "train", "val", "choose" (unseen), "judge" (unseen)
    row: int            # in teacher_soft_targets.npz; -1 if the teacher did not see it


def class_map(folder: Path = Path(__file__).parent) -> Dict[str, str]:
    """Class name in the dataset -> class name of the model, in the order of ``classes.csv``."""
    with open(str(folder / "classes.csv"), encoding="utf-8") as file:
        return {row["dataset_class"]: row["class"] for row in csv.DictReader(file)}


def class_names() -> List[str]:
    return sorted(set(class_map().values()))


def photographs(dataset: Path) -> List[Photograph]:
    """Every photograph with its split, the unseen categories apart."""
    found = []
    for manifest in ("manifest.csv", "manifest-pets.csv"):
        with open(str(dataset / manifest), encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file)):
                split = row["split"]
                category = Path(row["original"]).parent.name
                if split == "train" and category in UNSEEN_TO_CHOOSE:
                    split = "choose"
                elif split == "train" and category in UNSEEN_TO_JUDGE:
                    split = "judge"
                found.append(Photograph(row["shard"], row["file"], row["class"], split,
                                        number if manifest == "manifest.csv" else -1))
    return found


def encoded(dataset: Path, wanted: List[Photograph]) -> Dict[str, bytes]:
    """The encoded bytes of these photographs by file name."""
    names = {p.file for p in wanted}
    contents = {}
    for shard in sorted({p.shard for p in wanted}):
        with tarfile.open(str(dataset / shard)) as archive:
            for member in archive:
                if member.name in names:
                    contents[member.name] = archive.extractfile(member).read()      # type: ignore[union-attr]
    return contents
