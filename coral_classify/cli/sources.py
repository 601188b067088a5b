"""What the command line's arguments mean: files, folders, globs, lists, archives, standard input -> pictures.

Everything is read lazily: of a folder of a million pictures only the names are held, which are sorted.
"""
from __future__ import annotations

import functools
import glob
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Iterator, List, Optional, Tuple, Union

from ..errors import ImageError

if TYPE_CHECKING:
    import tarfile

__all__ = ["EXTENSIONS", "Source", "are_many", "expand", "number_of", "pictures_in"]

_Member = Tuple[str, int, Callable[[], Optional[bytes]]]      # name, size unpacked, what reads it
# A path that the classifier opens, or an open picture with a name, or the reason why there is none.
Source = Union[str, BinaryIO, ImageError]

EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MEMBER_LIMIT = 256 << 20       # bytes of one picture in an archive, against bombs
_LOOK_S = 0.05                  # how often to look for further names
_STDIN_LIMIT = 1 << 30          # bytes; a picture is smaller, an endless pipe is not
_MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P4", b"P5", b"P6", b"\0\0\0")


def are_many(arguments: List[str]) -> bool:
    """Whether these arguments are more than files named one by one: then a summary is due."""
    return any(os.path.isdir(name) or name.startswith("@") or name.lower().endswith(_ARCHIVES)
               or (glob.has_magic(name) and not os.path.exists(name)) for name in arguments)


def number_of(arguments: List[str], recursive: bool) -> Optional[int]:
    """How many pictures they are; None where that is not known before they are read."""
    if any(name == "-" or name.startswith("@") or name.lower().endswith(_ARCHIVES) for name in arguments):
        return None
    return sum(1 for _ in expand(arguments, recursive))


def expand(arguments: Iterable[str], recursive: bool) -> Iterator[Optional[Source]]:
    """The pictures that the arguments mean, in order; folders and globs sorted by name.  None: none at present.

    :param recursive: look into the folders of folders, too
    """
    for name in arguments:
        if name == "-":
            yield from _standard_input(recursive)
        elif name.startswith("@") and not os.path.exists(name):
            yield from _listed(name[1:], recursive)
        else:
            yield from _named(name, recursive)


def _named(name: str, recursive: bool) -> Iterator[Source]:
    if os.path.isdir(name):
        found = False
        unreadable: List[ImageError] = []
        for path in pictures_in(name, recursive, unreadable):
            found = True
            yield path
        yield from unreadable
        if not found and not unreadable:
            yield ImageError("folder %s: holds no pictures%s"
                             % (name, "" if recursive else "; --recursive looks into its folders"))
    elif name.lower().endswith(_ARCHIVES) and os.path.exists(name):
        yield from _archive(name)
    elif glob.has_magic(name) and not os.path.exists(name):
        matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            yield ImageError("%s: no file matches" % name)
        for match in matches:
            yield from _named(match, recursive)
    else:
        yield name


def pictures_in(folder: str, recursive: bool, unreadable: Optional[List[ImageError]] = None) -> Iterator[str]:
    """Its pictures, by the ends of their names; what begins with a dot is hidden.

    :param unreadable: gets an error for each folder that cannot be looked into
    """
    names, folders = [], set()      # names and no entries: there may be a million
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                if recursive if entry.name in folders else entry.name.lower().endswith(EXTENSIONS):
                    names.append(entry.name)
    except OSError as exc:
        if unreadable is not None:
            unreadable.append(ImageError("folder %s: cannot be read: %s" % (folder, exc.strerror or exc)))
        return
    names.sort()
    for name in names:
        path = os.path.join(folder, name)
        if name in folders:
            yield from pictures_in(path, recursive, unreadable)
        else:
            yield path


def _listed(name: str, recursive: bool) -> Iterator[Optional[Source]]:
    """The names in a file, one per line."""
    try:
        with open(name, "rb") as file:
            if b"\0" in file.peek(4096)[:4096]:
                yield ImageError("list %s: holds no names, one per line; a picture is named without @" % name)
                return
            yield from _lines(file, recursive)
    except OSError as exc:
        yield ImageError("list %s: %s" % (name, exc.strerror or exc))


def _as_they_come(stream: Any) -> Iterator[Optional[bytes]]:
    """The lines of a pipe; None while there is none: whoever writes names may wait for the answers."""
    rest = b""
    while True:
        chunk = stream.read1(65536)     # what was peeked at, then what is there
        if not chunk:
            yield rest
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        while not _readable(stream):
            yield None


def _readable(stream: Any) -> bool:
    try:
        return bool(select.select([stream], [], [], _LOOK_S)[0])
    except (OSError, ValueError):   # no pipe, or Windows
        return True


def _lines(file: Iterable[Optional[bytes]], recursive: bool) -> Iterator[Optional[Source]]:
    for line in file:
        if line is None:
            yield None
            continue
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if "\0" in name:
            yield ImageError("%s: is no file name; give one per line" % name.partition("\0")[0])
        elif name:
            yield from _named(name, recursive)


def _standard_input(recursive: bool) -> Iterator[Optional[Source]]:
    """One picture, or the names of pictures, one per line; the first bytes tell."""
    stream = sys.stdin.buffer
    first = stream.peek(16)[:16] if hasattr(stream, "peek") else b""
    if first and not first.startswith(_MARKS) and all(byte >= 32 or byte in b"\t\r\n" for byte in first):
        yield from _lines(_as_they_come(stream), recursive)
        return
    # In memory, because a pipe cannot be sought.
    yield _open_picture("-", stream.read(_STDIN_LIMIT))


def _open_picture(name: str, content: bytes) -> BinaryIO:
    picture = io.BytesIO(content)
    picture.name = name     # what results and messages call it
    return picture


def _archive(name: str) -> Iterator[Source]:
    """The pictures in it, in its order, as ``archive.zip!folder/picture.jpg``; nothing is written to disk."""
    try:
        members = _zip_members(name) if name.lower().endswith(".zip") else _tar_members(name)
        for member, size, read in members:
            if not member.lower().endswith(EXTENSIONS) or os.path.basename(member).startswith("."):
                continue
            shown = "%s!%s" % (name, member)
            if size > _MEMBER_LIMIT:
                yield ImageError("%s: has %d bytes unpacked; at most %d are read" % (shown, size, _MEMBER_LIMIT))
                continue
            try:
                yield _open_picture(shown, read() or b"")
            except Exception as exc:    # zlib, lzma, zipfile and tarfile each have errors of their own
                yield ImageError("%s: cannot be unpacked: %s" % (shown, exc))
    except Exception as exc:
        yield ImageError("archive %s: cannot be read: %s" % (name, exc))


def _zip_members(name: str) -> Iterator["_Member"]:
    import zipfile

    with zipfile.ZipFile(name) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, info.file_size, functools.partial(archive.read, info)


def _tar_members(name: str) -> Iterator["_Member"]:
    import tarfile

    with tarfile.open(name) as archive:
        for info in archive:
            if info.isfile():
                yield info.name, info.size, functools.partial(_extracted, archive, info)


def _extracted(archive: "tarfile.TarFile", info: "tarfile.TarInfo") -> Optional[bytes]:
    file = archive.extractfile(info)
    return file.read(_MEMBER_LIMIT) if file is not None else None
