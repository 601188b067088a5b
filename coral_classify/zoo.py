"""Published models by name: bring their files into the user's folder, verified by content, or say what is missing.

A file gets its name only after its bytes match the manifest.  Downloads do not resume, and there is no lock: two
pulls at once each write a temporary file of their own, and the last one to finish replaces like by like.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Union
from urllib.parse import urljoin, urlsplit

from .errors import ZooError
from .locations import find, home, package_folder
from .passports import Passport, load_manifest

__all__ = ["Wanted", "by_name", "files_of", "installed", "pull"]

_BLOCK = 1 << 16
_SIZE_LIMIT = 256 << 20     # bytes; the largest published file has 43 MB
_TIMEOUT = 30               # seconds without a byte


class Wanted(NamedTuple):
    """One file of a model."""

    name: str               # file name, in the folder of its kind
    kind: str               # "models" or "labels"
    git_blob: str
    sha256: Optional[str]

    @property
    def target(self) -> Path:
        return home() / self.kind / self.name


def by_name(name: str) -> Optional[Passport]:
    """The passport of this name, or None."""
    return next((passport for passport in load_manifest() if passport.name == name), None)


def files_of(passport: Passport) -> List[Wanted]:
    """The compiled file, its CPU twin and the labels."""
    wanted = [Wanted(file["name"], "models", file["git_blob"], file["sha256"]) for file in passport.files.values()]
    if passport.labels:
        file = _manifest()["labels"][passport.labels]
        wanted.append(Wanted(passport.labels, "labels", file["git_blob"], file["sha256"]))
    return wanted


def installed(passport: Passport) -> Optional[Path]:
    """A model file of this passport that is here, the plain one first; None if there is none."""
    found = (find("models", passport.files[role]["name"]) for role in ("cpu", "edgetpu"))
    return next((path for path in found if path), None)


def pull(name: str, source: Optional[str] = None) -> List[Wanted]:
    """Bring all files of a model into the user's folder.  Files that are there already are verified, not fetched.

    :param source: a folder that holds the files, or a URL of one; None: ``CORAL_CLASSIFY_MIRROR``, else the
        publisher's address
    :returns: the files that a folder *source* lacks; a model needs only one of its two files
    :raises ZooError: unknown name, wrong bytes, unreachable, no space, …; nothing half-done is left
    """
    passport = by_name(name)
    if passport is None:
        raise ZooError("no published model is called %r; coral-classify models lists them" % name)
    place = source or os.environ.get("CORAL_CLASSIFY_MIRROR") or str(_manifest()["address"])
    is_url = "://" in place
    if is_url and urlsplit(place).scheme != "https" and source is None:
        raise ZooError("mirror %s: only https is accepted; name it with --from to take it all the same" % place)
    if not is_url and not Path(place).is_dir():
        raise ZooError("%s: no such folder; give the folder that holds %s"
                       % (place, " and ".join(wanted.name for wanted in files_of(passport))))
    missing = []
    for wanted in files_of(passport):
        if _is_right(wanted):
            continue
        if not is_url and not (Path(place) / wanted.name).is_file():
            # Labels lie in a folder beside models, in this project and in Coral's own data.
            beside = Path(place).parent / wanted.kind / wanted.name
            if not beside.is_file():
                missing.append(wanted)
                continue
            _install(wanted, beside)
        else:
            _install(wanted, urljoin(place.rstrip("/") + "/", wanted.name) if is_url else Path(place) / wanted.name)
    if installed(passport) is None:
        raise ZooError("%s: holds neither file of %s (%s)"
                       % (place, name, ", ".join(w.name for w in missing if w.kind == "models")))
    return missing


def _manifest() -> Dict[str, Any]:
    content = (package_folder("models") / "manifest.json").read_text(encoding="utf-8")
    manifest: Dict[str, Any] = json.loads(content)
    return manifest


def _is_right(wanted: Wanted) -> bool:
    try:
        with open(str(wanted.target), "rb") as file:
            _verify(wanted, file)
            return True
    except (OSError, ZooError):
        return False


def _verify(wanted: Wanted, file: BinaryIO) -> None:
    """:raises ZooError: if the bytes are not those of the manifest"""
    size = os.fstat(file.fileno()).st_size
    blob, sha = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    for block in iter(lambda: file.read(_BLOCK), b""):
        blob.update(block)
        sha.update(block)
    if blob.hexdigest() != wanted.git_blob or (wanted.sha256 and sha.hexdigest() != wanted.sha256):
        raise ZooError("%s: the content is not the published one (git blob %s, expected %s); it was left out"
                       % (wanted.name, blob.hexdigest(), wanted.git_blob))


def _install(wanted: Wanted, source: Union[str, Path]) -> None:
    """Copy or download next to the target, verify, then rename: never wrong bytes under a good name."""
    folder = wanted.target.parent
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=str(folder), prefix=".%s." % wanted.name, suffix=".part",
                                         delete=False) as file:
            temporary = file.name
            _copy(wanted, source, file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            _verify(wanted, file)       # type: ignore[arg-type]
        os.chmod(temporary, 0o644)
        os.replace(temporary, str(wanted.target))
        temporary = None
    except (OSError, ValueError) as exc:     # urllib's errors are OSErrors; a bad address is a ValueError
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc
        if isinstance(exc, urllib.error.HTTPError):
            reason = "HTTP %d %s" % (exc.code, exc.reason)
        raise ZooError("%s could not be brought from %s: %s; or copy the file into a folder by hand and name that: "
                       "--from FOLDER" % (wanted.name, source, reason)) from exc
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _copy(wanted: Wanted, source: Union[str, Path], file: Any) -> None:
    total = 0
    with _reading(source) as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            total += len(block)
            if total > _SIZE_LIMIT:
                raise ZooError("%s: more than %d bytes come from %s; that is not the published file"
                               % (wanted.name, _SIZE_LIMIT, source))
            file.write(block)


@contextlib.contextmanager
def _reading(source: Union[str, Path]) -> Iterator[Any]:
    if isinstance(source, Path):
        with open(str(source), "rb") as file:
            yield file
    else:
        opener = urllib.request.build_opener(_SameSafety)
        with opener.open(source, timeout=_TIMEOUT) as response:
            yield response


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to something weaker."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("it redirects to %s, which is not https" % newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
