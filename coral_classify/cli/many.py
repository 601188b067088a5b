"""The work of ``coral-classify``: pictures in, results to where they are wanted, one line for each that fails."""
from __future__ import annotations

import argparse
import functools
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterable, Iterator, List, Optional, Union

from ..errors import CoralClassifyError, ImageError
from ..pictures import name_of
from ..types import Result
from . import sources
from .showing import print_table, printable

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pool import Pool
    from .output import SortedFolders

__all__ = ["Report", "run", "streamed", "told"]


class Report:
    """Tells of each result where that is wanted, and sums up.

    :param args: the options of ``coral-classify``
    :raises UsageError, CoralClassifyError: if a file cannot be used
    """

    def __init__(self, classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> None:
        self.failed = self.classified = self.skipped = 0
        self._classifier = classifier
        self._explain = args.explain
        self._files: List[Any] = []
        self._sorted: Optional["SortedFolders"] = None
        jsonl = "-" if args.json and args.jsonl is None else args.jsonl
        if jsonl is not None or args.csv is not None:
            from .output import opened

            self._files = opened(jsonl, args.csv, args.resume, ranks=classifier.wanted(args.top_k).top_k)
        if args.sort_into is not None:
            from .output import SortedFolders

            self._sorted = SortedFolders(args.sort_into, args.link)
        self._table = not self._files and self._sorted is None
        self._began = time.perf_counter()
        self._prepare_ms = self._infer_ms = 0.0
        self._devices: "Counter[str]" = Counter()

    def is_done(self, name: str) -> bool:
        """Whether an earlier run has written this picture's result to every file, or made this copy of it."""
        if self._sorted is not None and self._sorted.holds(name):
            return True
        return bool(self._files) and all(name in file.done for file in self._files)

    def tell(self, result: Result, source: Any) -> None:
        record = result.to_dict()
        if result.error is None and self._sorted is not None:
            try:
                self._sorted.put(result, source)
            except CoralClassifyError as exc:
                record["error"] = printable(str(exc))
        if record["error"] is not None:
            record["error"] = printable(record["error"])
            name = printable(result.image or "")
            # A lost device does not know the picture.
            where = "" if name + ": " in record["error"] else "image %s: " % name
            print("coral-classify: %s%s" % (where, record["error"]), file=sys.stderr)
            self.failed += 1
        else:
            self.classified += 1
            self._devices[result.device] += 1
            self._prepare_ms += result.preprocess_ms
            self._infer_ms += result.inference_ms
        if self._explain and result.preprocessing:
            record["preprocessing"] = result.preprocessing._asdict()
        for file in self._files:
            if result.image not in file.done:
                file.write(record)
        if self._table and record["error"] is None:
            print_table(result, self._explain, first=self.classified == 1)

    def fail(self, exc: CoralClassifyError) -> None:
        """Tell of an argument that gave no picture; its name stands before the first colon."""
        self.tell(self._classifier.failed(str(exc).split(": ")[0], exc), None)

    def summary(self) -> str:
        seconds = max(1e-9, time.perf_counter() - self._began)
        work = max(1e-9, self._prepare_ms + self._infer_ms)
        devices = ", ".join("%s (%d)" % item for item in self._devices.most_common())
        told = self.classified + self.failed
        text = "%d classified, %d failed, %d skipped in %.1f s: %.1f pictures/s" % (
            self.classified, self.failed, self.skipped, seconds, told / seconds)
        return text + "; of the work %.0f %% preparing, %.0f %% inference; device %s" % (
            100 * self._prepare_ms / work, 100 * self._infer_ms / work, devices or "none")

    def close(self) -> None:
        for file in self._files:
            file.close()


def run(classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    """Classify all pictures that the arguments mean.

    :returns: 0 all classified, 1 some failed
    """
    many = sources.are_many(args.images) or bool(args.csv or args.jsonl or args.sort_into or args.progress)
    report = Report(classifier, args)
    bar = _bar(args) if args.progress and sys.stderr.isatty() else None
    try:
        answers = _one_by_one if len(args.images) == 1 and args.images != ["-"] and not many else streamed
        pictures = sources.expand(args.images, args.recursive)
        for _ in told(pictures, functools.partial(answers, classifier, args), report):
            if bar is not None:
                bar.update(report.classified + report.failed + report.skipped - bar.n)
    except CoralClassifyError as exc:
        print("coral-classify: %s" % printable(str(exc)), file=sys.stderr)
        return 1
    finally:
        if bar is not None:
            bar.close()
        report.close()
        if many:
            print("coral-classify: %s" % report.summary(), file=sys.stderr)
    return 1 if report.failed else 0


def streamed(classifier: "Union[Classifier, Pool]", args: argparse.Namespace,
             pictures: Iterable[Any]) -> Iterator[Result]:
    """The results for many pictures, as the options want them."""
    return classifier.stream(pictures, decoders=args.decoders, top_k=args.top_k, threshold=args.threshold,
                             allow=args.allow, deny=args.deny, region=args.region, rotate=args.rotate)


def _one_by_one(classifier: "Union[Classifier, Pool]", args: argparse.Namespace,
                pictures: Iterable[Any]) -> Iterator[Result]:
    """For a single one, which is answered sooner without threads."""
    for picture in pictures:
        try:
            yield classifier.classify(picture, top_k=args.top_k, threshold=args.threshold, allow=args.allow,
                                      deny=args.deny, region=args.region, rotate=args.rotate)
        except CoralClassifyError as exc:
            if classifier.closed:
                raise
            yield classifier.failed(picture, exc)


def told(pictures: "Iterable[Optional[sources.Source]]", answers: Callable[[Iterable[Any]], Iterator[Result]],
         report: Report) -> Iterator[Result]:
    """Have the pictures answered that no earlier run has, and tell of each; then its result is given out."""
    waiting: "Deque[sources.Source]" = deque()      # handed out, and not yet answered

    def handed_out() -> Iterator[Any]:
        for source in pictures:
            if source is None:
                yield None
            elif isinstance(source, ImageError):
                waiting.append(source)
            elif report.is_done(name_of(source)):
                report.skipped += 1
            else:
                waiting.append(source)
                yield source

    def tell_of_those_without_a_picture() -> None:
        while waiting and isinstance(waiting[0], ImageError):
            report.fail(waiting.popleft())      # type: ignore[arg-type]

    for result in answers(handed_out()):
        tell_of_those_without_a_picture()
        report.tell(result, waiting.popleft())
        yield result
    tell_of_those_without_a_picture()


def _bar(args: argparse.Namespace) -> Any:
    from tqdm import tqdm

    return tqdm(total=sources.number_of(args.images, args.recursive), unit="picture")
