"""What teaching is worth: accuracy against other heads on the same features, what quantizing costs, how long it takes.

    python benchmarks/teach.py DATASET --base MODEL [--features FILE] [--draws 20] [--file | --times]

DATASET is a folder of ``.tar`` files whose members are ``class/picture``.  Needs scikit-learn.  The features of all
pictures are kept in FILE, if that is named, and taken from there the next time.
"""
from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from coral_classify import Classifier  # noqa: E402
from coral_classify.learn import Teacher  # noqa: E402
from coral_classify.learn.choice import choose_head  # noqa: E402
from coral_classify.learn.heads import probabilities, unit  # noqa: E402

CLASSES, FRESH = 10, 50     # classes of a draw, and at most so many pictures of each that were not shown
STRANGERS = 5               # pictures of each other class


def pictures(folder: Path) -> Iterator[Tuple[str, bytes]]:
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(str(path)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file.read()


def features(folder: Path, base: Any, kept: Any) -> "Tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """(pictures, features), real, and the name of each picture."""
    if kept and os.path.exists(kept):
        file = np.load(kept)
        return file["features"], file["names"]
    names: List[str] = []

    def contents() -> Iterator[bytes]:
        for name, content in pictures(folder):
            names.append(name)
            yield content
    with Teacher(base) as teacher:
        rows, _ = teacher._looked_at(contents())
        real = teacher._real(np.stack([row for _, _, row in rows]))
    if kept:
        np.savez(kept, features=real, names=np.array(names))
    return real, np.array(names)


def draw(classes: "np.ndarray[Any, Any]", shown: int, seed: int) -> "Tuple[List[str], Any, Any, Any]":
    """Ten classes, pictures to show, others of the same classes, and strangers."""
    turn = np.random.RandomState(seed)
    names = sorted(set(classes) - {"other"})
    able = [name for name in names if (classes == name).sum() >= shown + 20]
    chosen = sorted(turn.choice(able, CLASSES, replace=False))
    show: List[int] = []
    fresh: List[int] = []
    for name in chosen:
        order = turn.permutation(np.flatnonzero(classes == name))
        show += order[:shown].tolist()
        fresh += order[shown:shown + FRESH].tolist()
    strange = np.concatenate([turn.permutation(np.flatnonzero(classes == name))[:STRANGERS]
                              for name in names if name not in chosen])
    return chosen, np.array(show), np.array(fresh), strange


def accuracies(real: Any, classes: Any, shown: int, seed: int) -> Dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    chosen, show, fresh, strange = draw(classes, shown, seed)
    known, truth = np.searchsorted(chosen, classes[show]), np.searchsorted(chosen, classes[fresh])
    found = {}
    peers = {"LogisticRegression": LogisticRegression(max_iter=2000), "nearest centroid": NearestCentroid(),
             "k-NN, k = 3, cosine": KNeighborsClassifier(3, metric="cosine")}
    for name, peer in peers.items():
        found[name] = float((peer.fit(real[show], known).predict(real[fresh]) == truth).mean())
    choice = choose_head(real[show], known, CLASSES)
    scores = probabilities(choice.head.logits(unit(real[fresh].astype(np.float64))))
    right = scores.argmax(1) == truth
    sure = (scores.argmax(1) < CLASSES) & (scores.max(1) >= choice.min_score)
    others = probabilities(choice.head.logits(unit(real[strange].astype(np.float64))))
    assert choice.expected is not None
    found.update({
        "teach: the best of the classes": float((scores[:, :-1].argmax(1) == truth).mean()),
        "teach: the answer, which may be none of these": float(right.mean()),
        "softmax chosen": float(choice.kind == "softmax"),
        "expected": choice.expected.value, "within its interval": float(
            choice.expected.low <= right.mean() <= choice.expected.high),
        "sure": float(sure.mean()), "right where sure": float(right[sure].mean()),
        "strangers not called none of these": float((others.argmax(1) < CLASSES).mean()),
        "strangers called a class, and sure": float(
            ((others.argmax(1) < CLASSES) & (others.max(1) >= choice.min_score)).mean())})
    return found


def quantized(folder: Path, base: Any, classes: Any, names: Any, shown: int, draws: int) -> Tuple[float, float, int]:
    """Accuracy of the float head and of the written file, over the same pictures."""
    wanted = [draw(classes, shown, seed) for seed in range(draws)]
    needed = {str(names[i]) for _, show, fresh, _ in wanted for i in np.concatenate([show, fresh])}
    contents = {name: content for name, content in pictures(folder) if name in needed}
    real = [0, 0]
    for _, show, fresh, _ in wanted:
        with Teacher(base) as teacher, tempfile.TemporaryDirectory() as place:
            teacher.show_many((str(classes[i]), contents[str(names[i])]) for i in show)
            path = teacher.save(Path(place) / "own.tflite")[0]
            rows, _ = teacher._looked_at(contents[str(names[i])] for i in fresh)
            logits = teacher.choice.head.logits(unit(teacher._real(np.stack([row for _, _, row in rows]))))
            labels = list(teacher.classes)
            real[0] += sum(labels[k] == classes[i] for k, i in zip(logits[:, :-1].argmax(1), fresh))
            with Classifier(path) as classifier:
                answers = classifier.stream((contents[str(names[i])] for i in fresh), deny=["none of these"], top_k=1)
                real[1] += sum(a.predictions[0].label == classes[i] for a, i in zip(answers, fresh))
    number = sum(len(fresh) for _, _, fresh, _ in wanted)
    return real[0] / number, real[1] / number, number


def times(folder: Path, base: Any, classes: Any, names: Any) -> None:
    """Ten classes of 20 pictures of 1600 x 1200 each, as files: from folder to file, against reading them alone."""
    chosen, show, _, _ = draw(classes, 20, 0)
    wanted = {str(names[i]) for i in show}
    with tempfile.TemporaryDirectory() as place:
        files: List[Tuple[str, str]] = []
        for name, content in pictures(folder):
            if name in wanted:
                path = Path(place) / (name.replace("/", "_") + ".jpg")
                Image.open(io.BytesIO(content)).convert("RGB").resize((1600, 1200)).save(str(path), quality=90)
                files.append((name.split("/")[0], str(path)))
        rounds: Dict[str, List[float]] = {"alone": [], "teach": [], "add": [], "alone cpu": [], "teach cpu": []}
        for _ in range(5):
            with Teacher(base) as teacher:
                started, worked = time.perf_counter(), time.process_time()
                teacher._looked_at(path for _, path in files)
                rounds["alone"].append(time.perf_counter() - started)
                rounds["alone cpu"].append(time.process_time() - worked)
            with Teacher(base) as teacher:
                started, worked = time.perf_counter(), time.process_time()
                teacher.show_many(files)
                teacher.save(Path(place) / "own.tflite")
                rounds["teach"].append(time.perf_counter() - started)
                rounds["teach cpu"].append(time.process_time() - worked)
            started = time.perf_counter()
            with Teacher.of(Path(place) / "own.tflite") as teacher:
                teacher.show("one more class", Image.new("RGB", (1600, 1200), "orange"))
                teacher.save(Path(place) / "own.tflite")
            rounds["add"].append(time.perf_counter() - started)
    middle = {name: float(np.median(values)) for name, values in rounds.items()}
    print("| 200 pictures of 1600 x 1200 | time, s | ratio | processor time, s | ratio |\n|---|---|---|---|---|")
    print("| decoding and inference alone | %.2f | 1 | %.2f | 1 |" % (middle["alone"], middle["alone cpu"]))
    print("| from folder to file | %.2f | %.2f | %.2f | %.2f |" % (
        middle["teach"], np.median(np.divide(rounds["teach"], rounds["alone"])), middle["teach cpu"],
        np.median(np.divide(rounds["teach cpu"], rounds["alone cpu"]))))
    print("| one class added to the file | %.2f | | | |" % middle["add"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--base")
    parser.add_argument("--features")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--file", action="store_true", help="also the written file against the float head")
    parser.add_argument("--times", action="store_true", help="only how long it takes")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    real, names = features(args.dataset, args.base, args.features)
    classes = np.array([name.split("/")[0] for name in names])
    if args.times:
        times(args.dataset, args.base, classes, names)
        return
    columns: Dict[int, Dict[str, float]] = {}
    for shown in (5, 10, 20):
        found = [accuracies(real, classes, shown, seed) for seed in range(args.draws)]
        columns[shown] = {name: 100 * float(np.mean([one[name] for one in found])) for name in found[0]}
    print("| %% | 5 pictures a class | 10 | 20 |\n|---|---|---|---|" % ())
    for name in columns[5]:
        print("| %s | %s |" % (name, " | ".join("%.1f" % columns[shown][name] for shown in columns)))
    if not args.file:
        return
    before, after, number = quantized(args.dataset, args.base, classes, names, 10, min(args.draws, 20))
    print("float head %.2f %%, written file %.2f %% of %d pictures" % (100 * before, 100 * after, number))


if __name__ == "__main__":
    main()
