"""How good a model is on pictures whose classes are known: accuracy, confusion, calibration, the "sure" rule.

Counts as the answers come, so memory does not grow with the number of pictures; a file of what was answered lets an
evaluation that was stopped go on.  Knows results, and nothing of models.
"""
from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import arguments
from ..errors import CoralClassifyError, UsageError
from ..types import Result
from .intervals import Share, share

__all__ = ["Evaluation", "Wrong", "evaluate"]

_BINS = 10
_WRONG = 24     # pictures most surely wrong that are kept for the report


class Wrong(NamedTuple):
    """A picture that was named wrongly."""

    score: float
    image: str
    truth: str
    label: str


class Evaluation:
    """The counts of one evaluation."""

    def __init__(self, model: str, labels: Sequence[str]) -> None:
        """:param labels: of the model; the true classes are matched with them letter by letter, but for case"""
        self.model = arguments.text("model", model, "the name of a model")
        self.labels = arguments.texts("labels", labels)
        self.pictures = self.failed = self.right = self.right_5 = self.sure = self.sure_right = 0
        self.has_rule = False
        self.classes: "Counter[str]" = Counter()                    # pictures of each true class
        self.class_right: "Counter[str]" = Counter()
        self.confusion: "Counter[Tuple[str, str]]" = Counter()      # (true class, answer)
        self.bins: List[List[float]] = [[0, 0.0, 0] for _ in range(_BINS)]      # pictures, sum of scores, right
        self.wrong: List[Wrong] = []

    def count(self, record: Dict[str, Any]) -> None:
        """:param record: image, truth, error, sure, and answers: (label, score) of the best five"""
        if record["error"] is not None:
            self.failed += 1
            return
        truth, answers = record["truth"], record["answers"]
        names = [_folded(label) for label, _ in answers]
        right = bool(names) and names[0] == _folded(truth)
        label, score = answers[0] if answers else ("nothing", 0.0)
        self.pictures += 1
        self.classes[truth] += 1
        self.confusion[truth, label] += 1
        self.right += right
        self.class_right[truth] += right
        self.right_5 += _folded(truth) in names[:5]
        if record["sure"] is not None:
            self.has_rule = True
            self.sure += record["sure"]
            self.sure_right += record["sure"] and right
        one = self.bins[min(_BINS - 1, max(0, int(score * _BINS)))]
        one[0] += 1
        one[1] += score
        one[2] += right
        if not right:
            push = heapq.heappush if len(self.wrong) < _WRONG else heapq.heappushpop
            push(self.wrong, Wrong(score, record["image"], truth, label))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: how far score and share of right answers are apart, over ten equal bins (Guo and
        others: "On Calibration of Modern Neural Networks", 2017)."""
        return sum(abs(scores - right) for _, scores, right in self.bins) / max(1, self.pictures)

    def shares(self) -> Dict[str, Share]:
        found = {"top1": share(self.right, self.pictures), "top5": share(self.right_5, self.pictures)}
        if self.has_rule:
            found["sure"] = share(self.sure, self.pictures)
            found["sure_precision"] = share(self.sure_right, self.sure)
        return found

    def per_class(self) -> Dict[str, Share]:
        return {name: share(self.class_right[name], number) for name, number in sorted(self.classes.items())}

    def unknown(self) -> Tuple[str, ...]:
        """True classes that the model has not got."""
        there = {_folded(label) for label in self.labels}
        return tuple(name for name in sorted(self.classes) if _folded(name) not in there)

    def to_dict(self) -> Dict[str, Any]:
        """Plain types for JSON."""
        return {
            "model": self.model, "pictures": self.pictures, "failed": self.failed,
            **{name: value._asdict() for name, value in self.shares().items()},
            "calibration_error": round(self.calibration_error, 4),
            "classes": {name: value._asdict() for name, value in self.per_class().items()},
            "confusion": [{"truth": truth, "answer": answer, "pictures": number}
                          for (truth, answer), number in sorted(self.confusion.items())],
            "unknown_classes": list(self.unknown()),
            "most_surely_wrong": [wrong._asdict() for wrong in sorted(self.wrong, reverse=True)],
        }


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def evaluate(evaluation: Evaluation, pictures: Iterable[Tuple[str, Any]],
             answers: Callable[[Iterable[Any]], Iterable[Result]], resume: Optional[str] = None,
             tell: Optional[Callable[[Dict[str, Any]], None]] = None) -> None:
    """Count all *pictures*.

    :param pictures: (true class, picture) of each
    :param answers: the results for pictures, in their order, with at least five classes each; such as
        :meth:`coral_classify.Classifier.stream`
    :param resume: a file that gets a line for each picture, and of which the pictures that it has are not asked again
    :param tell: is told each record
    :raises UsageError: if that file is of something else; for what cannot be meant
    :raises CoralClassifyError: if it cannot be written
    """
    arguments.instance("evaluation", evaluation, Evaluation)
    pairs = arguments.of_classes("pictures", pictures)
    arguments.callback("answers", answers)
    resume = None if resume is None else os.fspath(arguments.file("resume", resume))
    if tell is not None:
        arguments.callback("tell", tell)
    done = set()
    for record in _former(resume, evaluation) if resume else ():
        done.add(record["image"])
        evaluation.count(record)
    waiting: List[str] = []

    def asked() -> Iterator[Any]:
        for truth, picture in pairs:
            if str(picture) not in done:
                waiting.append(truth)
                yield picture
    try:
        file = open(resume, "a", encoding="ascii") if resume else None
    except OSError as exc:
        raise CoralClassifyError("%s: cannot be written: %s" % (resume, exc.strerror or exc)) from exc
    try:
        if file is not None and file.tell() == 0:
            file.write(json.dumps({"evaluation_of": evaluation.model}) + "\n")
        for result in answers(asked()):
            record = {"image": result.image, "truth": waiting.pop(0), "error": result.error, "sure": result.sure,
                      "answers": [(prediction.label, prediction.score) for prediction in result.predictions[:5]]}
            evaluation.count(record)
            if tell is not None:
                tell(record)
            if file is not None:
                file.write(json.dumps(record) + "\n")
                file.flush()
    except OSError as exc:
        raise CoralClassifyError("%s: cannot be written: %s" % (resume, exc.strerror or exc)) from exc
    finally:
        if file is not None:
            file.close()


def _former(path: str, evaluation: Evaluation) -> Iterator[Dict[str, Any]]:
    """The records of an earlier run; a last line that is cut short is dropped."""
    if not os.path.exists(path):
        return
    good = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line.decode("ascii"))
                if number == 0 and record["evaluation_of"] != evaluation.model:
                    raise UsageError("%s: is of the model %s; name another file" % (path, record["evaluation_of"]))
                if number:
                    record["truth"], record["answers"], record["error"], record["sure"], record["image"]
            except UsageError:
                raise
            except (ValueError, KeyError, TypeError) as exc:
                raise UsageError("%s: line %d is none of an evaluation; name another file"
                                 % (path, number + 1)) from exc
            good += len(line)
            if number:
                yield record
    os.truncate(path, good)
