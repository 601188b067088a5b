"""Where results go: JSON lines, CSV, folders by class.  Whole records only, so that a killed run can be resumed."""
from __future__ import annotations

import contextlib
import csv
import filecmp
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Set

from ..errors import CoralClassifyError, UsageError
from ..reading import Unfit, open_sink
from ..writing import whole

if TYPE_CHECKING:
    from ..types import Result

__all__ = ["CsvFile", "JsonLines", "SortedFolders", "opened"]

UNSURE = "_unsure"
_NAME_LIMIT = 80        # characters of a folder's name, …
_NAME_BYTES = 255       # … and bytes, which is what file systems count


class _RecordFile:
    """A file that grows by whole records, each in one write."""

    def __init__(self, path: str, resume: bool) -> None:
        """:raises CoralClassifyError: if the file cannot be written
        :raises UsageError: if it is there already, and resuming was not asked for
        """
        self.done: Set[str] = set()     # names that have a record already
        self._own = path != "-"
        if not self._own:
            return
        try:
            if os.path.exists(path) and os.path.getsize(path):
                if not resume:
                    raise UsageError("%s: is there already; --resume goes on with it, another name starts anew" % path)
                self._cut_torn_end(path)
            self._handle = open_sink(path, os.O_CREAT | os.O_APPEND)
        except Unfit as exc:
            raise CoralClassifyError("%s: %s" % (path, exc.strerror)) from exc
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be written: %s" % (path, exc.strerror or exc)) from exc
        self._path = path

    def _cut_torn_end(self, path: str) -> None:
        """Drop a last record that a killed run left incomplete; fill ``done`` with the others."""
        raise NotImplementedError

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        try:
            if not self._own:
                sys.stdout.flush()
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
                return
            while data:
                data = data[os.write(self._handle, data):]
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be written: %s; --resume goes on from here" % (
                self._path if self._own else "standard output", exc.strerror or exc)) from exc

    def close(self) -> None:
        if self._own:
            os.close(self._handle)


class JsonLines(_RecordFile):
    """One JSON object per line; ASCII, so that any path survives (bytes that are no UTF-8 as lone surrogates)."""

    def _cut_torn_end(self, path: str) -> None:
        good = 0
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    self.done.add(json.loads(line.decode("ascii"))["image"])
                except (ValueError, KeyError, TypeError, RecursionError) as exc:
                    raise UsageError("%s: line %d is no result of ours; name another file" % (path, number)) from exc
                good += len(line)
        os.truncate(path, good)

    def write(self, record: Dict[str, Any]) -> None:
        self._append(json.dumps(record) + "\n")


class CsvFile(_RecordFile):
    """A line per picture: image, device, sure, error, then class_id, label and score of each rank."""

    def __init__(self, path: str, resume: bool, ranks: int) -> None:
        super().__init__(path, resume)
        self._ranks = ranks
        if not self._own or not os.path.getsize(path):
            header = ["image", "device", "sure", "error"]
            for rank in range(1, ranks + 1):
                header += ["class_id_%d" % rank, "label_%d" % rank, "score_%d" % rank]
            self._row(header)

    def _cut_torn_end(self, path: str) -> None:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
        good = _whole_rows(text)
        if good < len(text):
            os.truncate(path, len(text[:good].encode("utf-8", "surrogateescape")))
        rows = list(csv.reader(io.StringIO(text[:good], newline="")))
        if rows and rows[0][:4] != ["image", "device", "sure", "error"]:
            raise UsageError("%s: is no file of ours; name another" % path)
        self.done = {row[0] for row in rows[1:] if row}

    def write(self, record: Dict[str, Any]) -> None:
        sure = record.get("sure")
        row: List[Any] = [record["image"], record["device"], "" if sure is None else str(sure).lower(),
                          record["error"] or ""]
        for prediction in record["predictions"][:self._ranks]:
            row += [prediction["class_id"], prediction["label"], "%.6g" % prediction["score"]]
        self._row(row)

    def _row(self, row: Iterable[Any]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerow(row)
        self._append(text.getvalue())


def _whole_rows(text: str) -> int:
    """How many characters belong to whole rows: up to the last line end outside quotes."""
    good, quoted, position = 0, False, 0
    for found in re.finditer('["\n]', text):
        position = found.start()
        if text[position] == '"':
            quoted = not quoted
        elif not quoted:
            good = position + 1
    return good


class SortedFolders:
    """Copies (or links) pictures into a folder per class.  Repeating it changes nothing; it overwrites nothing."""

    def __init__(self, folder: str, link: bool) -> None:
        """:raises CoralClassifyError: if the folder cannot be made"""
        self._folder = folder
        self._link = link
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be made: %s" % (folder, exc.strerror or exc)) from exc
        self._inside = os.path.join(os.path.realpath(folder), "")

    def holds(self, name: str) -> bool:
        """Whether a path leads into this folder."""
        return os.path.realpath(os.path.dirname(name)).startswith(self._inside)

    def put(self, result: "Result", source: Any) -> None:
        """:param source: path, or open picture
        :raises CoralClassifyError: if it cannot be put there
        """
        if result.error is not None:
            return
        unsure = result.sure is False or not result.predictions
        folder = os.path.join(self._folder, UNSURE if unsure else _folder_name(result.predictions[0].label))
        is_path = isinstance(source, (str, os.PathLike))
        base = os.path.basename(os.fspath(source) if is_path else result.image.replace("!", "/")) or "picture"
        try:
            os.makedirs(folder, exist_ok=True)
            self._place(source if is_path else source.getvalue(), folder, "stdin" if base == "-" else base)
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be put into %s: %s"
                                     % (result.image, folder, exc.strerror or exc)) from exc

    def _place(self, source: Any, folder: str, base: str) -> None:
        stem, extension = os.path.splitext(base)
        number = 1
        while True:
            target = os.path.join(folder, base if number == 1 else "%s (%d)%s" % (stem, number, extension))
            if not os.path.lexists(target):
                with contextlib.suppress(FileExistsError):      # somebody else was quicker: look at that one
                    self._write(source, target)
                    return
            if _same(source, target):
                return
            number += 1

    def _write(self, source: Any, target: str) -> None:
        """:raises FileExistsError: if there is one of that name"""
        if isinstance(source, bytes):
            with whole(Path(target), overwrite=False) as file:
                file.write(source)
        elif self._link:
            os.symlink(os.path.abspath(source), target)
        else:
            with open(source, "rb") as read, whole(Path(target), overwrite=False, like=source) as file:
                shutil.copyfileobj(read, file)


def _same(source: Any, target: str) -> bool:
    if not os.path.isfile(target):      # nor a pipe, which would be waited for
        return False
    if isinstance(source, bytes):
        with open(target, "rb") as file:
            return file.read(len(source) + 1) == source
    return os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)


def _folder_name(label: str) -> str:
    """A label as the name of a folder: no separators, no control characters, no leading dot."""
    name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", label).strip(" .")
    name = _cut(name[:_NAME_LIMIT], _NAME_BYTES).rstrip(" .")
    return name if name and name != UNSURE else "_" + name


def _cut(name: str, limit: int) -> str:
    """Its beginning of at most *limit* bytes, in whole characters."""
    while len(name.encode("utf-8", "surrogatepass")) > limit:
        name = name[:-1]
    return name


def opened(jsonl: Optional[str], csv_path: Optional[str], resume: bool, ranks: int) -> "List[Any]":
    """The files that were asked for.

    :raises UsageError: if both are one
    """
    files: List[Any] = []
    if jsonl is not None and csv_path is not None and os.path.realpath(jsonl) == os.path.realpath(csv_path):
        raise UsageError("%s: cannot hold JSON lines and CSV; name two files" % jsonl)
    if jsonl is not None:
        files.append(JsonLines(jsonl, resume))
    if csv_path is not None:
        files.append(CsvFile(csv_path, resume, ranks))
    return files
