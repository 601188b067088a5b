"""Models by name: the published ones and your own.  Pull, verify, remove, add; where a name's files are.

The published ones are those of ``models/manifest.json``; your own are kept as passports in the user's folder, beside
the copies of their files.  A file gets its name only after its bytes matched its pin.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Callable, List, NamedTuple, Optional, Tuple, Union

from .. import arguments
from ..errors import ModelError, UsageError, ZooError
from ..locations import find, home
from ..modelfiles import Passport, compiled_path, named_labels, passports, read_model, twin_path
from ..pictures import choose
from ..reading import open_regular
from ..writing import named, whole

# Downloads (sockets, TLS) are imported where they happen: a picture that needs none starts sooner.
if TYPE_CHECKING:
    from .download import Progress

__all__ = ["Wanted", "add", "by_name", "damaged", "files_of", "installed", "names", "pull", "remove"]

_BLOCK = 1 << 16
_SAFE = ("https://",)       # where files come from if nobody names another place


class Wanted(NamedTuple):
    """One file of a model."""

    name: str               # file name, in the folder of its kind
    kind: str               # "models" or "labels"
    git_blob: str
    sha256: Optional[str]

    @property
    def target(self) -> Path:
        return home() / self.kind / self.name


def names() -> Tuple[str, ...]:
    """Every name that ``Classifier(name)`` takes, whether its files are here or not; classifiers only."""
    return tuple(passport.name for passport in passports.known() if passport.kind == "classification")


def by_name(name: str) -> Optional[Passport]:
    """The passport of this name, or None."""
    arguments.text("name", name, "the name of a model")
    return next((passport for passport in passports.known() if passport.name == name), None)


def files_of(passport: Passport) -> List[Wanted]:
    """The compiled file, its CPU twin and the labels, as far as the passport names them."""
    arguments.instance("passport", passport, Passport)
    wanted = [Wanted(file["name"], "models", file["git_blob"], file.get("sha256")) for file in passport.files.values()]
    if passport.labels:
        pin = passports.label_pin(passport)
        if pin is not None:
            wanted.append(Wanted(passport.labels, "labels", pin["git_blob"], pin.get("sha256")))
    return wanted


def installed(passport: Passport) -> Optional[Path]:
    """A model file of this passport that is here, the plain one first; None if there is none."""
    arguments.instance("passport", passport, Passport)
    found = (find("models", passport.files[role]["name"]) for role in ("cpu", "edgetpu") if role in passport.files)
    return next((path for path in found if path), None)


def pull(name: str, source: Optional[str] = None,
         progress: "Optional[Callable[[Wanted], Optional[Progress]]]" = None) -> List[Wanted]:
    """Bring all files of a model into the user's folder.  Files that are there already are verified, not fetched.

    :param source: a folder that holds the files, or a URL of one; None: ``CORAL_CLASSIFY_MIRROR``, else the
        publisher's address
    :param progress: gives, for each file that is brought, the function that is told how far it is
    :returns: the files that a folder *source* lacks; a model needs only one of its two files
    :raises ZooError: unknown name, wrong bytes, unreachable, no space, …; nothing bad is left under a good name
    """
    from .addresses import shown
    from .locks import locked

    if source is not None:
        source = os.fspath(arguments.file("source", source, "a folder or an address"))
    if progress is not None:
        arguments.callback("progress", progress)
    passport = by_name(name)
    if passport is None or passport.own:
        raise ZooError("no published model is called %r; coral-classify models lists them" % name)
    if passport.name == passports.embedded_name():
        return []
    place = source or os.environ.get("CORAL_CLASSIFY_MIRROR") or passports.address()
    is_url = "://" in place
    if is_url and not place.lower().startswith(_SAFE) and source is None:
        raise ZooError("mirror %s: only https is accepted; name it with --from to take it all the same" % shown(place))
    if not is_url and not os.path.isdir(place):
        raise ZooError("%s: no such folder; give the folder that holds %s"
                       % (shown(place), " and ".join(wanted.name for wanted in files_of(passport))))
    missing = []
    for wanted in files_of(passport):
        try:
            with locked(wanted.target.parent):
                if not _bring_one(wanted, place, is_url, progress):
                    missing.append(wanted)
        except OSError as exc:
            raise ZooError("%s: cannot be written: %s; name another folder in CORAL_CLASSIFY_HOME"
                           % (wanted.target.parent, exc.strerror or exc)) from exc
    if installed(passport) is None:
        raise ZooError("%s: holds neither file of %s (%s)"
                       % (shown(place), name, ", ".join(w.name for w in missing if w.kind == "models")))
    return missing


def _bring_one(wanted: Wanted, place: str, is_url: bool,
               progress: "Optional[Callable[[Wanted], Optional[Progress]]]") -> bool:
    """False if a folder has not got it."""
    from urllib.parse import quote

    from .download import bring

    if is_right(wanted):
        return True
    source: Union[str, Path, None]
    if is_url:
        source = place.rstrip("/") + "/" + quote(wanted.name)
    else:
        # Labels lie in a folder beside models, in this project and in Coral's own data.
        beside = [Path(place) / wanted.name, Path(place).parent / wanted.kind / wanted.name]
        source = next((path for path in beside if os.path.isfile(str(path))), None)
        if source is None:
            return False
    bring(wanted.target, source, lambda file: _verify(wanted, file), progress(wanted) if progress else None)
    return True


def is_right(wanted: Wanted) -> bool:
    """Whether the file is here with the content of its pin."""
    try:
        with open_regular(wanted.target) as file:
            _verify(wanted, file)
            return True
    except (OSError, ZooError):
        return False


def damaged(name: str) -> List[Wanted]:
    """The files of an installed model that are here with other bytes than they should have.

    :raises ZooError: if nothing is known under this name
    """
    passport = by_name(name)
    if passport is None:
        raise ZooError("nothing is known under the name %r; coral-classify models lists what is" % name)
    return [wanted for wanted in files_of(passport) if os.path.exists(str(wanted.target)) and not is_right(wanted)]


def remove(name: str) -> List[Path]:
    """Delete a model's files from the user's folder; label files only if no other installed model needs them.

    :returns: what was deleted
    :raises ZooError: if none of them is here, or one cannot be deleted
    """
    passport = by_name(name)
    if passport is None:
        raise ZooError("nothing is known under the name %r; coral-classify models lists what is" % name)
    needed = {wanted.target for other in passports.known() if other.name != name and installed(other)
              for wanted in files_of(other)}
    paths = [wanted.target for wanted in files_of(passport) if wanted.target not in needed]
    paths += [named(path) for path in paths]
    if passport.own:
        paths.append(passports.own_file(name))
    gone = []
    for path in paths:
        try:
            path.unlink()
            gone.append(path)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise ZooError("%s: cannot be deleted: %s" % (path, exc.strerror or exc)) from exc
    if not gone:
        raise ZooError("%s: none of its files is in %s" % (name, home() / "models"))
    return gone


def add(file: Union[str, "os.PathLike[str]"], *, labels: Union[str, "os.PathLike[str]", None] = None,
        mean: Optional[float] = None, std: Optional[float] = None, name: Optional[str] = None,
        label_offset: int = 0) -> Passport:
    """Keep a model of your own under a name: its file, the twin or compiled file beside it, its labels, its numbers.

    :param labels: label file; None: what the model file carries
    :param mean, std: ``(pixel - mean) / std`` is what it was trained on; None: from metadata or input range
    :param name: None: the file's name without ``_edgetpu`` and ``.tflite``
    :param label_offset: lines of the label file to skip
    :raises ModelError: if the file is no classifier
    :raises UsageError: for a name or numbers that cannot be meant
    :raises LabelsError: if the labels do not fit
    :raises ZooError: if the name is taken, or the folder cannot be written
    """
    path = Path(arguments.file("file", file, "the path of a model"))
    labels = None if labels is None else arguments.file("labels", labels, "the path of a label file")
    mean = None if mean is None else arguments.number("mean", mean)
    std = None if std is None else arguments.number("std", std)
    label_offset = arguments.whole("label_offset", label_offset, least=-1000000, most=1000000)
    if label_offset < 0:
        raise UsageError("label_offset must not be negative, got %d" % label_offset)
    if name is not None:
        arguments.text("name", name, "a name for the model")
    model = read_model(path)
    name = name or re.sub(r"(_edgetpu)?\.tflite$", "", path.name)
    if not passports.NAME.match(name) or len(name) > 150:
        raise UsageError("name %r: use letters, digits, dot, dash and underscore" % name)
    choose(model.input, caller=(mean, std))
    taken = by_name(name)
    if taken is not None and not taken.own:
        raise ZooError("the name %s belongs to a published model; choose another with --name" % name)
    other = twin_path(path) if model.compiled else compiled_path(path)
    files = {"edgetpu" if model.compiled else "cpu": path}
    if other.is_file():
        if read_model(other).input != model.input:
            raise ModelError("model %s: is no twin of %s: their inputs differ" % (other, path.name))
        files["cpu" if model.compiled else "edgetpu"] = other
    suffix = {"cpu": ".tflite", "edgetpu": "_edgetpu.tflite"}
    entry = {
        "name": name, "title": "%s, added from %s" % (name, path), "kind": "classification",
        "label_offset": label_offset, "classes": model.output.shape[1], "mean": mean, "std": std,
        "files": {role: {"name": name + suffix[role], "git_blob": passports.git_blob_id(where)}
                  for role, where in files.items()},
        "labels": None if labels is None else name + ".txt",
    }
    if labels is not None:
        if not os.path.isfile(labels):
            raise UsageError("labels %s: no such file" % labels)
        named_labels(labels, model.output.shape[1], label_offset)
        entry["label_pin"] = {"git_blob": passports.git_blob_id(Path(labels))}
    from .locks import locked

    try:
        with locked(home() / "models"):
            for role, where in files.items():
                _copy(where, home() / "models" / (name + suffix[role]))
            if labels is not None:
                _copy(Path(labels), home() / "labels" / (name + ".txt"))
            passports.own_file(name).parent.mkdir(parents=True, exist_ok=True)
            with whole(passports.own_file(name), overwrite=True) as written:    # last: for whole files
                written.write(json.dumps(entry, indent=1).encode("utf-8"))
            # What lay under this name before must not be taken for a part of the new one.
            for role, former in (taken.files if taken else {}).items():
                if role not in files:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(str(home() / "models" / former["name"]))
    except OSError as exc:
        raise ZooError("%s: cannot be added: %s" % (path, exc)) from exc
    found = by_name(name)
    assert found is not None
    return found


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(str(source), "rb") as read, whole(target, overwrite=True) as file:
        import shutil  # brings half of the archive formats along

        shutil.copyfileobj(read, file)


def _verify(wanted: Wanted, file: BinaryIO) -> None:
    """:raises ZooError: if the bytes are not those of the pin"""
    size = os.fstat(file.fileno()).st_size
    blob, sha = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    for block in iter(lambda: file.read(_BLOCK), b""):
        blob.update(block)
        sha.update(block)
    if blob.hexdigest() != wanted.git_blob or (wanted.sha256 and sha.hexdigest() != wanted.sha256):
        raise ZooError("%s: the content is not the published one (git blob %s, expected %s); it was left out; take it "
                       "from another place, or by hand: --from FOLDER"
                       % (wanted.name, blob.hexdigest(), wanted.git_blob))
