"""What the command line's arguments mean: files, folders, globs, lists, archives, standard input -> pictures.

Everything is read lazily: of a folder of a million pictures only the names are held, which are sorted.
"""
from __future__ import annotations

import glob
import os
import select
import sys
from typing import Any, BinaryIO, Iterable, Iterator, List, Optional, Union

from ..errors import ImageError
from ..pictures import EXTENSIONS, HELD_BYTES
from ..reading import open_source, read_all, why

__all__ = ["EXTENSIONS", "Source", "are_many", "expand", "number_of", "pictures_in"]

# A path that the classifier opens, or an open picture with a name, or the reason why there is none.
Source = Union[str, BinaryIO, ImageError]

_NAME_BYTES = 1 << 16           # of one line; no system takes a longer path
_LOOK_S = 0.05                  # how often to look for further names
_MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P4", b"P5", b"P6", b"\0\0\0")

# What archives are called; whoever has none does not load what reads them.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def are_many(arguments: List[str]) -> bool:
    """Whether these arguments are more than files named one by one: then a summary is due."""
    return any(os.path.isdir(name) or name.startswith("@") or name.lower().endswith(ARCHIVES)
               or (glob.has_magic(name) and not os.path.exists(name)) for name in arguments)


def number_of(arguments: List[str], recursive: bool) -> Optional[int]:
    """How many pictures they are; None where that is not known before they are read."""
    if any(name == "-" or name.startswith("@") or name.lower().endswith(ARCHIVES) for name in arguments):
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
    elif name.lower().endswith(ARCHIVES) and os.path.exists(name):
        from . import archives

        yield from archives.pictures_in(name)
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
        with open_source(name) as file:
            if b"\0" in file.peek(4096)[:4096]:     # type: ignore[attr-defined]
                yield ImageError("list %s: holds no names, one per line; a picture is named without @" % name)
                return
            yield from _lines(_whole_lines(file), recursive)
    except OSError as exc:
        yield ImageError("list %s: %s" % (name, why(exc)))


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while True:
        line = file.readline(_NAME_BYTES + 1)
        if not line:
            return
        yield line
        if len(line) > _NAME_BYTES:     # the rest of it is no name either
            return


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
        if len(rest) > _NAME_BYTES:
            yield rest
            return
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
        if len(line) > _NAME_BYTES:
            yield ImageError("%s...: is no file name; give one per line" % name[:40])
            continue
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
    try:    # in memory, because a pipe cannot be sought
        from . import archives

        yield archives.named("-", read_all(stream, HELD_BYTES))
    except OverflowError as exc:
        yield ImageError("image -: standard input %s; name the file instead" % exc)
