"""The teacher: shown pictures of classes, it knows them.  See docs/teach.md."""
from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import arguments
from ..answers import real_features
from ..classifier import Classifier
from ..errors import ModelError, UsageError
from ..modelfiles import compiled_path, twin_path
from ..pictures import Picture, name_of
from ..types import Prediction
from .base import Base, Features, find_base
from .choice import NONE, UNTRIED, Choice, choose_head
from .collection import Collection
from .heads import cosine, probabilities, unit
from .taught import put, read_taught, taught_content

__all__ = ["Lesson", "Teacher"]


class Lesson(NamedTuple):
    """What came of showing pictures."""

    learned: int
    failed: Tuple[str, ...]                     # one line for each picture that could not be read
    twice: int                                  # pictures that were there already
    claimed: Tuple[Tuple[str, str, str], ...]   # picture, class, and the other class that has it already


class Teacher:
    """Own classes on top of a network that stays as it is.  Use it with ``with``; it owns the device."""

    def __init__(self, base: Union[str, "os.PathLike[str]", None] = None, *, device: str = "auto",
                 engine: Optional[str] = None, threads: Optional[int] = None) -> None:
        """
        :param base: the network: as ``model`` of :class:`coral_classify.Classifier`, or a feature extractor; None: the
            package's own
        :param device, engine, threads: as for :class:`coral_classify.Classifier`
        :raises ModelError: if the network's features cannot be found; and what Classifier raises
        """
        self._open(find_base(base), device, engine, threads)
        self._collection = Collection()

    @classmethod
    def of(cls, file: Union[str, "os.PathLike[str]"], *, device: str = "auto", engine: Optional[str] = None,
           threads: Optional[int] = None) -> "Teacher":
        """The teacher of a model that was saved, with all that it was shown; the base is in the file.

        :raises ModelError: if it was not made by teaching
        """
        path = Path(arguments.file("file", file))
        taught = read_taught(path)
        compiled = path.name.endswith("_edgetpu.tflite")
        other = twin_path(path) if compiled else compiled_path(path)
        both = [taught.base, read_taught(other).base if other.is_file() and other != path else None]
        entry = taught.entry
        teacher = cls.__new__(cls)
        plain, packed = reversed(both) if compiled else both
        teacher._open(Base(entry["base"], plain, packed, entry["mean"], entry["std"], []), device, engine, threads)
        try:
            teacher._collection = Collection.from_parts(entry["items"], taught.features)
            if entry.get("strangers"):
                strange = np.asarray(entry["strangers"])
                teacher._strange = [row.astype(teacher._features.output.dtype) for row in strange]
        except (ValueError, KeyError, TypeError) as exc:
            raise ModelError("model %s: its features are damaged (%s)" % (path, exc)) from exc
        return teacher

    def _open(self, base: Base, device: str, engine: Optional[str], threads: Optional[int]) -> None:
        self.base = base
        self._folder = tempfile.TemporaryDirectory(prefix="coral-classify-")
        self._strange: "List[np.ndarray[Any, Any]]" = []
        self._choice: Optional[Choice] = None
        try:
            self._features = Features(base.put_into(Path(self._folder.name)), mean=base.mean, std=base.std,
                                      device=device, engine=engine, threads=threads)
        except BaseException:
            self._folder.cleanup()
            raise

    # ---- showing

    def show(self, name: str, *pictures: Picture) -> Lesson:
        """Show pictures of one class.  They are looked at once, and not kept; their features are.

        :param name: of the class; one line
        :raises UsageError: for a name that cannot be one, and for None as a picture
        :param pictures: as for :meth:`coral_classify.Classifier.classify`
        """
        return self.show_many((name, picture) for picture in pictures)

    def show_many(self, pictures: Iterable[Tuple[str, Picture]]) -> Lesson:
        """Show pictures of many classes: (class, picture) of each; decoded by threads while the device works.

        :raises UsageError: as :meth:`show`; nothing is learned then
        """
        pairs = arguments.of_classes("pictures", pictures)
        names: List[str] = []

        def shown() -> Iterable[Picture]:
            for name, picture in pairs:
                names.append(_checked(name))
                yield picture
        rows, failed = self._looked_at(shown())
        twice, claimed = self._collection.add([(names[i], row) for i, _, row in rows])
        self._choice = None
        where = {row.tobytes(): picture for _, picture, row in rows}
        return Lesson(len(rows) - twice - len(claimed), tuple(failed), twice,
                      tuple((where[row], name, other) for name, other, row in claimed))

    def show_none(self, pictures: Iterable[Picture]) -> Lesson:
        """Show pictures of what is none of the classes, to learn where these end."""
        pairs = arguments.of_classes("pictures", (("", one) for one in arguments.pictures("pictures", pictures)))
        rows, failed = self._looked_at(picture for _, picture in pairs)
        self._strange += [row for _, _, row in rows]
        self._choice = None
        return Lesson(len(rows), tuple(failed), 0, ())

    def _looked_at(self, pictures: Iterable[Picture]) -> "Tuple[List[Tuple[int, str, Any]], List[str]]":
        rows: "List[Tuple[int, str, Any]]" = []
        failed: List[str] = []
        for i, seen in enumerate(self._features.stream(pictures)):
            features, error = seen.features, seen.error     # type: ignore[attr-defined]
            if features is None:
                failed.append(str(error))
            else:
                rows.append((i, name_of(seen.image), np.array(features)))
        return rows, failed

    def forget(self, name: str) -> int:
        """Forget a class.

        :returns: how many pictures it had
        :raises UsageError: if there is no such class
        """
        arguments.text("name", name, "the name of a class")
        self._choice = None
        return self._collection.forget(name)

    def undo(self) -> None:
        """Take back the latest show or forget; up to 20, one after the other.

        :raises UsageError: if there is none
        """
        self._choice = None
        self._collection.undo()

    # ---- knowing

    @property
    def classes(self) -> Dict[str, int]:
        """The classes, and how many pictures each has."""
        _, numbers = self._collection.pictures()
        return {name: int((numbers == i).sum()) for i, name in enumerate(self._collection.classes)}

    @property
    def choice(self) -> Choice:
        """The head, and what to expect of it.

        :raises UsageError: if nothing was shown
        """
        if self._choice is None:
            stored, numbers = self._collection.pictures()
            if not len(stored):
                raise UsageError("no picture was shown yet; show some of each class first")
            self._choice = choose_head(self._real(stored), numbers, len(self._collection.classes),
                                       self._real(np.stack(self._strange)) if self._strange else None)
        return self._choice

    def _real(self, stored: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        quantization = self._features.output.quantization
        return np.stack([real_features(row, quantization, unit=False) for row in stored])

    def classify(self, picture: Picture, *, top_k: int = 5) -> Tuple[Prediction, ...]:
        """The classes of a picture, best first, as far as they are known by now.

        :raises UsageError: if nothing was shown
        :raises ImageError: if the picture cannot be read
        """
        top_k = arguments.whole("top_k", top_k, least=1)
        scores = probabilities(self.choice.head.logits(unit(self._features.embed(picture).astype(np.float64))))
        names = self._collection.classes + (NONE,)
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top_k]
        return tuple(Prediction(i, names[i], float(scores[i])) for i in best)

    def glance(self, picture: Picture, *, top_k: int = 5) -> Tuple[Prediction, ...]:
        """As :meth:`classify`, at once however many pictures were shown: which class a picture is most like.

        The cosine head alone, without ``none of these``: nothing is held out and nothing chosen.

        :raises UsageError: if nothing was shown
        :raises ImageError: if the picture cannot be read
        """
        stored, numbers = self._collection.pictures()
        if not len(stored):
            raise UsageError("no picture was shown yet; show some of each class first")
        names = self._collection.classes
        logits = cosine(unit(self._real(stored).astype(np.float64)), numbers, len(names)).logits(
            unit(self._features.embed(picture).astype(np.float64)))
        scores = probabilities(UNTRIED * logits)
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top_k]
        return tuple(Prediction(i, names[i], float(scores[i])) for i in best)

    # ---- keeping

    def save(self, file: Union[str, "os.PathLike[str]"]) -> List[Path]:
        """Write the model: for the CPU, and for the Edge TPU where the base has a compiled file.

        :param file: ``NAME.tflite``; the other one is ``NAME_edgetpu.tflite``
        :returns: what was written
        :raises UsageError: if nothing was shown, or for another name
        """
        path = Path(arguments.file("file", file))
        if path.suffix != ".tflite":
            raise UsageError("%s: the name must end in .tflite" % path)
        if path.name.endswith("_edgetpu.tflite"):
            path = twin_path(path)
        entry, top = self._entry(path.stem)
        features = self._collection.to_parts()[1]
        normalization = self._features.normalization
        pixels = (normalization.mean, normalization.std)
        written = []
        for base, target in ((self.base.plain, path), (self.base.compiled, compiled_path(path))):
            put(target, None if base is None else taught_content(base, self.choice.head, top, entry, features, pixels))
            if base is not None:
                written.append(target)
        return written

    def _entry(self, title: str) -> Tuple[Dict[str, Any], float]:
        """The passport, and the highest logit to expect."""
        choice, classes = self.choice, self.classes
        stored, _ = self._collection.pictures()
        top = float(choice.head.logits(unit(self._real(stored).astype(np.float64))).max())
        notes = "Classes learned from %d pictures on top of %s." % (len(stored), self.base.name)
        if choice.expected is not None:
            notes += " Of new pictures of these classes it is expected to name %s right." % str(choice.expected)
        return {
            "format": 1, "title": title, "notes": notes, "base": self.base.name, "head": choice.kind,
            "date": datetime.date.today().isoformat(), "labels": list(classes) + [NONE], "pictures": classes,
            "expected": choice.expected._asdict() if choice.expected else None,
            "sure": {"min_score": choice.min_score, "min_margin": 0.0, "unsure_labels": [NONE]},
            "mean": _plain(self._features.normalization.mean), "std": _plain(self._features.normalization.std),
            "items": self._collection.to_parts()[0],
            "strangers": [row.tolist() for row in self._strange],
        }, top + 0.02 * abs(top)

    def close(self) -> None:
        """Release the device.  May be called twice."""
        self._features.close()
        self._folder.cleanup()

    @property
    def classifier(self) -> Classifier:
        """What looks at the pictures: its device, its model, its events."""
        return self._features

    def __enter__(self) -> "Teacher":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _checked(name: str) -> str:
    wanted = "the name of a class"
    name = " ".join(arguments.text("name", name, wanted).split())
    if not name or name == NONE:
        raise UsageError("a class cannot be called %r" % name)
    try:
        name.encode("utf-8")
    except UnicodeError:        # half of a character, which no file can hold
        raise arguments.wrong("name", wanted, name) from None
    return name


def _plain(values: Sequence[float]) -> Any:
    return list(values) if len(values) > 1 else values[0]
