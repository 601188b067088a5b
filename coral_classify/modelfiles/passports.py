"""What is known about model files, recognised by their content: ``models/manifest.json``, and the user's own.

Knows nothing of downloads.  Importing it reads no file.  The manifest has ``source``, ``address`` (the folder of all
files, at a pinned commit), ``licence`` (of all of them), ``labels`` (the pins of the label files) and ``models``; the
fields of a model are those of :class:`Passport`.  A pin is a ``git_blob`` (git's id of the content, see
:func:`git_blob_id`) and, where a public source states one, a ``sha256``.
"""
from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from ..errors import ModelError
from ..locations import package_folder
from ..reading import open_regular, read_all
from .modelfile import read_model, twin_path
from .ownpassports import NAME, entries, own_file
from .pins import blob_id

__all__ = ["EMBEDDED", "INSIDE", "NAME", "Passport", "Sure", "address", "by_blob", "by_file", "changed",
           "embedded", "embedded_name", "git_blob_id", "inside", "known", "label_pin", "load_manifest", "own",
           "own_file"]

INSIDE = "coral_classify.json"      # passport of a model of own classes, in the zip behind it
EMBEDDED = "everyday_objects"       # stem of the files of the model that the package carries
_INSIDE_LIMIT = 1 << 20             # bytes; what it may be in memory


class Sure(NamedTuple):
    """When an answer of this model is to be relied on; chosen on photographs, see models/README.md.

    The answer to the picture must hold, and the same class must reach ``min_score`` in other views of it.
    """

    min_score: float
    min_margin: float               # to the second
    unsure_labels: Tuple[str, ...]  # answers that say "I do not know"
    views: Tuple[str, ...] = ()     # names of :func:`coral_classify.pictures.view_of`; each costs an inference

    def holds(self, best: Sequence[Tuple[str, float]]) -> bool:
        """:param best: (label, score) of the best two of all classes"""
        (label, score), second = best[0], best[1][1] if len(best) > 1 else 0.0
        return label not in self.unsure_labels and score >= self.min_score and score - second >= self.min_margin


class Passport(NamedTuple):
    """One model: what is known of it beyond what its files say.  The fields are those of the manifest."""

    name: str                           # "efficientnet-edgetpu-s"
    title: str
    kind: str                           # "classification" or "embedding"
    files: Dict[str, Dict[str, Any]]    # "cpu" and "edgetpu" -> name, git_blob, sha256
    labels: Optional[str]               # file name of its label file
    label_offset: int                   # lines of the label file to skip
    classes: Optional[int]
    mean: Optional[float]               # what the network was trained with: (pixel - mean) / std;
    std: Optional[float]                # None: unknown, so metadata or the input's range decide
    sure: Optional[Sure] = None         # None: nobody measured when to rely on it
    # Published time of an inference on "usb_accelerator" and "dev_board"; None: not published
    latency_ms: Optional[Dict[str, float]] = None
    accuracy: Optional[Dict[str, float]] = None     # published, in percent: "top1_float", "top1_quantized"
    input_size: Optional[int] = None    # pixels, of both sides
    crop_fraction: Optional[float] = None           # central part on which the accuracy was measured
    licence: str = ""
    notes: str = ""
    label_pin: Optional[Dict[str, Any]] = None      # git_blob of the label file, for models of the user's own
    own: bool = False                   # added by the user


@functools.lru_cache(maxsize=None)
def _manifest() -> Dict[str, Any]:
    path = package_folder("models") / "manifest.json"
    try:
        text = path.read_bytes()
    except NotADirectoryError:      # the package was imported from a zip
        import pkgutil

        text = pkgutil.get_data("coral_classify", "models/manifest.json") or b""
    manifest: Dict[str, Any] = json.loads(text.decode("utf-8"))
    return manifest


def address() -> str:
    """The folder of the published files, as a URL, at the pinned commit."""
    return str(_manifest()["address"])


@functools.lru_cache(maxsize=None)
def load_manifest() -> Tuple[Passport, ...]:
    """The passports of the published models."""
    manifest = _manifest()
    return tuple(_passport(dict(entry, licence=manifest["licence"])) for entry in manifest["models"])


def _passport(entry: Dict[str, Any]) -> Passport:
    return Passport(**{field: entry[field] for field in Passport._fields if field in entry})


@functools.lru_cache(maxsize=None)
def embedded() -> Optional[Passport]:
    """The passport of the model that the package carries; None where it was left out."""
    path = package_folder("models") / (EMBEDDED + ".json")
    if not path.is_file():
        return None
    entry = json.loads(path.read_text(encoding="utf-8"))
    rule, figures = entry["sure"], entry["accuracy"]
    return _passport(dict(
        entry, input_size=entry["input"][0], accuracy={"top1_quantized": round(100 * figures["top1"], 1)},
        files={"cpu": {"name": entry["file"], "git_blob": entry["git_blob"], "sha256": entry["sha256"]}},
        sure=Sure(rule["min_score"], rule["min_margin"], tuple(rule["unsure_labels"]),
                  tuple(rule.get("views", ())))))


def embedded_name() -> str:
    return EMBEDDED.replace("_", "-")


def own() -> Tuple[Passport, ...]:
    """The passports of the models that the user added, by name.  A file that can be none is left out."""
    return tuple(_passport(dict(entry, own=True)) for entry in entries())


def known() -> Tuple[Passport, ...]:
    """All passports: the package's own model, the published ones, the user's."""
    carried = embedded()
    return ((carried,) if carried else ()) + load_manifest() + own()


def inside(path: Path) -> Optional[Passport]:
    """The passport that a model file carries behind itself, as those of own classes do; None if it has none."""
    import zipfile

    try:
        with zipfile.ZipFile(str(path)) as archive:
            with archive.open(INSIDE) as file:      # what it says of its size need not be true
                entry = json.loads(read_all(file, _INSIDE_LIMIT).decode("utf-8"))
        rule = entry["sure"]
        return Passport(
            name=path.stem, title=entry["title"], kind="classification", files={}, labels=None, label_offset=0,
            classes=len(entry["labels"]), mean=None, std=None, notes=entry["notes"],
            sure=Sure(rule["min_score"], rule["min_margin"], tuple(rule["unsure_labels"])))
    except Exception:       # no zip, a damaged one, or another's: then nothing is known
        return None


def label_pin(passport: Passport) -> Optional[Dict[str, Any]]:
    """git_blob and sha256 of a passport's label file; None if it has no pin."""
    return passport.label_pin or _manifest()["labels"].get(passport.labels)


def git_blob_id(path: Path) -> str:
    """Git's id of a file's content, which pins its bytes: ``sha1("blob " + length + NUL + content)``."""
    with open_regular(path) as file:
        return blob_id(os.fstat(file.fileno()).st_size, iter(lambda: file.read(1 << 20), b""))


def by_blob(content_id: str) -> Optional[Passport]:
    """The passport of a file with the content of this :func:`git_blob_id`, or None."""
    for passport in known():
        if any(file["git_blob"] == content_id for file in passport.files.values()):
            return passport
    return None


def by_file(path: Path, content_id: str = "") -> Optional[Passport]:
    """The passport of this file, whatever it is called; None if its content is not a published one.

    A file that was compiled together with others has a content of its own for each company: it is known as its single
    model if its name says so, and it takes and gives what that one does.

    :param content_id: its :func:`git_blob_id`, where that is known already
    """
    return by_blob(content_id or git_blob_id(path)) or _of_single_model(path)


def _of_single_model(path: Path) -> Optional[Passport]:
    single = twin_path(path)
    if "_cocompiled_with_" not in path.name or single == path:
        return None
    for passport in known():
        if any(file["name"] == single.name for file in passport.files.values()):
            try:
                model = read_model(path)
            except ModelError:
                return None
            sides = {passport.input_size} if passport.input_size else set(model.input.shape[1:3])
            same = set(model.input.shape[1:3]) == sides and passport.classes in (None, model.output.shape[1])
            return passport if model.compiled and same else None
    return None



def changed(asked: Optional[object], path: Path, found: Optional[Passport]) -> Optional[str]:
    """What to say of a file that a known name led to, and that has another content; None if all is well.

    :param asked: name of a model, or of one of its files; None: the package's own.  A path may have any content.
    :param found: the passport of the file's content, if there is one
    """
    if asked is not None and os.path.exists(str(asked)):
        return None
    name = embedded_name() if asked is None else str(asked)
    passport = next((each for each in known() if name == each.name
                     or any(name == file["name"] for file in each.files.values())), None)
    if passport is None or (found is not None and found.name == passport.name):
        return None
    if passport == embedded():
        return "model %s: %s is not the file that came with the package; to have that, install it anew" % (name, path)
    anew = "pull %s" % passport.name if not passport.own else "add"
    return ("model %s: %s is not the file that is known under this name; to have that: coral-classify models remove %s,"
            " then coral-classify models %s" % (name, path, passport.name, anew))
