"""``coral-classify teach``: own classes from folders of pictures, or one class more for a model that was taught."""
from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List

from .classfolders import folders_of_classes
from .showing import complain, printable
from .sources import pictures_in

if TYPE_CHECKING:
    from ..learn import Lesson, Teacher

__all__ = ["main"]


def main(argv: List[str]) -> int:
    """:returns: 0 all learned, 1 some pictures could not be, 2 wrong usage"""
    args = _parser().parse_args(argv)
    # NumPy is not loaded yet.  The matrices are small: a second thread would only wait, and on a busy machine for long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from ..errors import CoralClassifyError

    try:
        return _taught(args)
    except CoralClassifyError as exc:
        return complain(exc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coral-classify teach",
        description="Learn own classes from a few pictures of each, on top of a network that stays as it is.",
        epilog="coral-classify teach photos/ --into parcels.tflite        a folder a class\n"
        "coral-classify teach --add 'blue mug' *.jpg --to parcels.tflite\n\n"
        "The pictures are looked at once and copied nowhere; their features are kept in the file.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="FOLDER",
                        help="a folder with a folder of pictures for each class; with --add: pictures or folders")
    parser.add_argument("--into", metavar="FILE", help="the model to write, a new .tflite")
    parser.add_argument("--base", metavar="MODEL", help="the network to build on: a file or a name (default: the "
                        "package's own)")
    parser.add_argument("--to", metavar="FILE", help="a model that was taught, for --add, --forget and --undo")
    parser.add_argument("--add", metavar="CLASS", help="show it these pictures of one class, new or known")
    parser.add_argument("--forget", metavar="CLASS", help="forget a class")
    parser.add_argument("--undo", action="store_true", help="take back the latest --add or --forget")
    parser.add_argument("--none", metavar="FOLDER", help="pictures of what is none of the classes")
    parser.add_argument("--overwrite", action="store_true", help="with --into: the file may be there already")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, usb, pci, … (default: auto)")
    parser.add_argument("--engine", choices=["ai-edge-litert", "tflite-runtime"], help="TFLite runtime to use")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the engine")
    return parser


def _taught(args: argparse.Namespace) -> int:
    from ..errors import UsageError
    from ..learn import Teacher

    started = time.perf_counter()
    changes = [args.add is not None, args.forget is not None, args.undo]
    options = {"device": args.device, "engine": args.engine, "threads": args.threads}
    if (args.into is None) == (args.to is None):
        raise UsageError("name the model: --into FILE makes a new one, --to FILE changes one that was taught")
    if args.into is not None:
        if any(changes):
            raise UsageError("--add, --forget and --undo change a model that was taught: name it with --to")
        if len(args.pictures) != 1:
            raise UsageError("name one folder that holds a folder of pictures for each class")
        if os.path.exists(args.into) and not args.overwrite:
            raise UsageError("%s: is there already; --to changes it, --overwrite makes it anew" % args.into)
        shown = folders_of_classes(args.pictures[0])
        with Teacher(args.base, **options) as teacher:
            for note in teacher.base.notes:
                _said(note, 0)
            failed = _tell(teacher.show_many(shown), "")
            return _finish(teacher, args, args.into, failed, started)
    if changes.count(True) + (args.none is not None) == 0 or changes.count(True) > 1:
        raise UsageError("say what to change: one of --add CLASS PICTURE …, --forget CLASS, --undo, --none FOLDER")
    if (args.add is None) == bool(args.pictures) or args.base is not None:
        raise UsageError("--add takes pictures, --forget and --undo take none, and the base is in the file")
    with Teacher.of(args.to, **options) as teacher:
        failed = False
        if args.add is not None:
            failed = _tell(teacher.show_many((args.add, path) for path in _pictures(args.pictures)), args.add)
        elif args.forget is not None:
            _said("%s: forgotten with its %d pictures; --undo brings it back" % (
                args.forget, teacher.forget(args.forget)), 0)
        elif args.undo:
            teacher.undo()
        return _finish(teacher, args, args.to, failed, started)


def _finish(teacher: "Teacher", args: argparse.Namespace, file: str, failed: bool, started: float) -> int:
    """Save, and say what is known now."""
    if args.none is not None:
        failed = _tell(teacher.show_none(_pictures([args.none])), "none") or failed
    classes = teacher.classes
    if not classes:
        return _said("%s: no picture could be learned; nothing was written" % file, 1)
    choice = teacher.choice
    written = teacher.save(file)
    width = max(len(printable(name)) for name in classes)
    for name, number in classes.items():
        print("  %-*s  %4d picture%s" % (width, printable(name), number, "" if number == 1 else "s"))
    print("  head: %s" % {"cosine": "cosine (nearest class)", "softmax": "softmax regression"}[choice.kind])
    if choice.expected is None:
        print("  expected on new pictures: not known with one picture a class; show more")
    else:
        print("  expected on new pictures of these classes: %s right" % str(choice.expected))
        right = "; of these right: " + str(choice.sure_right) if choice.sure_right else ""
        print("  sure of " + str(choice.sure) + right)
        print("  (judged on %d pictures held out in turn; in brackets: 95 %% certain)" % choice.held_out)
    if choice.strangers is not None:
        print("  pictures of none of the classes that are taken for one: %s, the line was chosen on these"
              % str(choice.strangers))
    _advise(classes, choice.alike)
    for path in written:
        print("  written: %s" % printable(str(path)))
    print("  %.1f s on %s" % (time.perf_counter() - started, teacher.classifier.device))
    return 1 if failed else 0


def _advise(classes: "Dict[str, int]", alike: int) -> None:
    fewest, most = min(classes.values()), max(classes.values())
    if alike:
        _said("%d pictures are nearly the same as another one and count as one in what is expected" % alike, 0)
    if most > 5 * fewest:
        few = [name for name, number in classes.items() if 5 * number < most]
        _said("few pictures of %s beside the others; every class counts the same, but more would help"
              % ", ".join(few[:5]), 0)
    if fewest == 1:
        _said("a single picture of %s: nothing can be held out of it"
              % ", ".join([name for name, number in classes.items() if number == 1][:5]), 0)


def _tell(lesson: "Lesson", name: str) -> bool:
    for line in lesson.failed:
        _said(line, 0)
    if lesson.twice:
        _said("%d pictures were there already and count once" % lesson.twice, 0)
    for picture, one, other in lesson.claimed:
        _said("%s: is shown as %s, and was as %s before; it stays there" % (picture, one, other), 0)
    return bool(lesson.failed)


def _pictures(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        if os.path.isdir(argument):
            yield from pictures_in(argument, True)
        else:
            yield argument


def _said(text: str, code: int) -> int:
    print("coral-classify: %s" % printable(text), file=sys.stderr)
    return code
