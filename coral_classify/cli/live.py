"""``coral-classify live [SOURCE]``: a camera, and a line whenever the answer changes."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, List, Optional, Union

from .interrupts import is_the_end
from .options import add_options, guarded
from .reporting import add_reporting, reporter
from .showing import printable
from .viewed import add_options as add_page_options
from .viewed import viewed

if TYPE_CHECKING:
    from ..cameras import Camera
    from ..classifier import Classifier
    from ..events import Event
    from ..pool import Pool
    from ..types import Result
    from .viewed import Viewed

__all__ = ["main"]

_UNSURE = 0.5           # a best score below it, for models that have no rule of their own
_UNSURE_EVERY_S = 1.0   # neighbours look alike: one picture a second tells as much


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify live", description="Watch a camera, and say so whenever the answer changes.",
        epilog="SOURCE: v4l2:/dev/video0, picamera2, rtsp://... or http://..., a video file (each frame, none lost), "
               "a folder of pictures, a picture file that is written anew, or test, a moving picture that is drawn.  "
               "Ctrl-C ends it, with exit code 0.")
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="default: the first camera of this machine")
    parser.add_argument("--list", action="store_true", help="show what sources there are, and why one does not open")
    parser.add_argument("--every", type=float, default=0.0, metavar="S",
                        help="seconds between two answers (default: as many as the device manages)")
    parser.add_argument("--every-frame", action="store_true",
                        help="lose no frame of a live camera, at the price of old pictures")
    parser.add_argument("--jsonl", metavar="FILE",
                        help="a JSON object for each answer, changed or not, at the end of FILE; -: standard output")
    parser.add_argument("--half-life", type=float, default=0.5, metavar="S",
                        help="average scores: after so many seconds a picture counts half (default: 0.5)")
    parser.add_argument("--in-a-row", type=int, default=3, metavar="N",
                        help="so many equal answers make a change (default: 3)")
    parser.add_argument("--no-steady", action="store_true", help="each answer as it comes: no average, no waiting")
    parser.add_argument("--stall", type=float, default=10.0, metavar="S",
                        help="a camera that gives nothing for so long has dropped out (default: 10)")
    parser.add_argument("--on-change", metavar="COMMAND",
                        help="run this at each change; {label}, {score} and {time} are filled in; no shell reads it")
    parser.add_argument("--keep-unsure", metavar="FOLDER", help="keep pictures that the model is not sure of")
    parser.add_argument("--keep-changed", metavar="FOLDER", help="keep each picture that changed the answer")
    parser.add_argument("--keep-bytes", default="256M", metavar="N",
                        help="for each of these folders; the oldest pictures go first (default: 256M)")
    add_page_options(parser)
    add_reporting(parser)
    add_options(parser)
    args = parser.parse_args(argv)
    if args.list:
        return _list()
    before = signal.getsignal(signal.SIGTERM)
    mine = before == signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if mine:        # a service that is stopped ends as with Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return guarded(args, _live)
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


def _list() -> int:
    from ..cameras import listed

    for found in listed():
        print("%-22s %-36s %s" % (printable(found.name), printable(found.title), printable(found.trouble or "")))
    return 0


def _live(classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    from ..cameras import camera
    from ..classifier import Classifier
    from ..errors import UsageError

    if not isinstance(classifier, Classifier):
        raise UsageError("live takes one device, not %s" % args.device)
    if not (0 <= args.every < float("inf") and 0 < args.stall < float("inf")):
        raise UsageError("--every must be at least 0 and --stall positive, got %g and %g" % (args.every, args.stall))
    source = camera(args.source, interval_s=args.every or 1.0, stall_s=args.stall)
    page = viewed(args, source, classifier)
    try:
        return _watched(classifier, source, page, args)
    finally:
        if page is not None:
            page.close()


def _watched(classifier: "Classifier", source: "Camera", page: "Optional[Viewed]", args: argparse.Namespace) -> int:
    from ..watching import Steadiness

    out = _Out(args, classifier.model)
    with_frames: Any = page.wants_frame if page is not None and not out.keeps else out.keeps
    try:
        with is_the_end():
            if page is not None:
                page.say_where()        # not before, for whoever reads it may end us at once
            answers: Any = classifier.watch(
                source, every_s=args.every if source.moving else 0.0, every_frame=args.every_frame, stall_s=args.stall,
                steadiness=None if args.no_steady else Steadiness(args.half_life, args.in_a_row),
                with_frames=with_frames, on_event=out.hear, top_k=args.top_k, threshold=args.threshold,
                allow=args.allow, deny=args.deny, region=args.region, rotate=args.rotate)
            with contextlib.closing(answers):
                for result in answers:
                    out.tell(result)
                    if page is not None:
                        page.tell(result)
    finally:
        out.close()
    return 1 if out.failed else 0


class _Out:
    """Where answers go.

    :raises UsageError, CoralClassifyError: if something of it cannot be used
    """

    def __init__(self, args: argparse.Namespace, model: str) -> None:
        from ..errors import UsageError
        from .keeping import Kept, bytes_of
        from .reacting import Command

        self.failed = self._answered = self._changes = self._skipped = 0
        try:
            budget = bytes_of(args.keep_bytes)
        except ValueError as exc:
            raise UsageError("--keep-bytes: %s" % exc) from exc
        self._command = Command(args.on_change) if args.on_change else None
        self._unsure = Kept(args.keep_unsure, budget) if args.keep_unsure else None
        if args.keep_unsure and args.keep_changed and (
                os.path.realpath(args.keep_unsure) == os.path.realpath(args.keep_changed)):
            self._changed: Optional[Kept] = self._unsure    # one folder, one budget
        else:
            self._changed = Kept(args.keep_changed, budget) if args.keep_changed else None
        self.keeps = self._unsure is not None or self._changed is not None
        jsonl = "-" if args.json and args.jsonl is None else args.jsonl
        self._lines = _Lines(jsonl) if jsonl is not None else None
        self._quiet = jsonl == "-"
        self._explain = args.explain
        self._unsure_at = float("-inf")
        self._devices: List[str] = []
        self._told = ""         # the latest trouble
        self._began = time.monotonic()
        self._reporter = reporter(args, model)

    def hear(self, event: "Event") -> None:
        """Of the camera."""
        if self._reporter is not None:
            self._reporter.camera(is_there=event.kind != "lost")

    def tell(self, result: "Result") -> None:
        at = time.time() - (result.frame_age_ms or 0) / 1e3     # when the picture was taken
        best = result.predictions[0] if result.predictions else None
        label, score = (best.label, best.score) if best is not None else ("", 0.0)
        self._answered += 1
        self._skipped += result.skipped or 0
        if result.device not in self._devices:
            self._devices.append(result.device)
        if self._lines is not None:
            self._lines.write(self._record(result, at))
        if self._reporter is not None:
            self._reporter.show(result, at)
        if result.error is not None:
            self.failed += 1
            self._say(result.error)
            return
        if result.changed:
            self._changes += 1
            if not self._quiet:
                self._print(result, at)
            if self._command is not None:
                self._command.run(label, score, _iso(at))
        self._keep(result, label, at)

    def _print(self, result: "Result", at: float) -> None:
        best = result.predictions[0] if result.predictions else None
        what = "no class reaches the threshold" if best is None else "%-24s %.4f%s" % (
            printable(best.label), best.score, "  not sure" if result.sure is False else "")
        encoding = sys.stdout.encoding or "utf-8"
        line = "%s  %s  (%.0f ms old, %s)" % (time.strftime("%H:%M:%S", time.localtime(at)), what,
                                              result.frame_age_ms or 0, result.device)
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)

    def _record(self, result: "Result", at: float) -> Any:
        record = dict(time=_iso(at), **result.to_dict())
        if self._explain and result.preprocessing:
            record["preprocessing"] = result.preprocessing._asdict()
        return record

    def _keep(self, result: "Result", label: str, at: float) -> None:
        from ..errors import CoralClassifyError

        try:
            if self._changed is not None and result.changed:
                self._changed.put(result.frame, label, at)
            if self._unsure is not None and _is_unsure(result) and at - self._unsure_at >= _UNSURE_EVERY_S:
                self._unsure_at = at
                self._unsure.put(result.frame, label, at)
        except CoralClassifyError as exc:
            self._say(str(exc))

    def _say(self, trouble: str) -> None:
        """One line, and not the same one with every frame."""
        if trouble != self._told:
            self._told = trouble
            print("coral-classify: %s" % printable(trouble), file=sys.stderr)

    def close(self) -> None:
        if self._command is not None:
            self._command.close()
        if self._reporter is not None:
            self._reporter.close()
        if self._lines is not None:
            self._lines.close()
        seconds = max(1e-9, time.monotonic() - self._began)
        kept = sum(folder.number for folder in {self._unsure, self._changed} if folder is not None)
        print("coral-classify: %d answered (%.1f a second), %d skipped, %d changes, %d failed%s; device %s" % (
            self._answered, self._answered / seconds, self._skipped, self._changes, self.failed,
            ", %d pictures kept" % kept if self.keeps else "", ", ".join(self._devices) or "none"), file=sys.stderr)


def _is_unsure(result: "Result") -> bool:
    if result.sure is not None or not result.predictions:
        return not result.sure
    return result.predictions[0].score < _UNSURE


def _iso(at: float) -> str:
    """A moment with its time zone: 2024-05-01T12:30:00.250+02:00."""
    zone = time.strftime("%z", time.localtime(at))
    return "%s.%03d%s:%s" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at)), int(at * 1000) % 1000, zone[:3],
                             zone[3:])


class _Lines:
    """JSON objects at the end of a file, each in one write.

    :raises CoralClassifyError: if it cannot be written
    """

    def __init__(self, path: str) -> None:
        from ..errors import CoralClassifyError
        from ..reading import open_sink

        self._handle: Optional[int] = None
        if path != "-":
            try:
                self._handle = open_sink(path, os.O_CREAT | os.O_APPEND)
            except OSError as exc:
                raise CoralClassifyError("%s: cannot be written: %s" % (path, exc.strerror or exc)) from exc
        self._path = path

    def write(self, record: Any) -> None:
        from ..errors import CoralClassifyError

        text = json.dumps(record) + "\n"
        if self._handle is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        data = text.encode("ascii")
        try:
            while data:
                data = data[os.write(self._handle, data):]
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be written: %s" % (self._path, exc.strerror or exc)) from exc

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
