"""``coral-classify evaluate FOLDER``: how good a model is on pictures whose classes are known."""
from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Union

from .classfolders import folders_of_classes
from .options import add_options, guarded
from .showing import printable

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..learn import Evaluation
    from ..pool import Pool

__all__ = ["main"]


def main(argv: List[str]) -> int:
    """:returns: 0 all pictures judged, 1 some could not be, 2 wrong usage"""
    parser = argparse.ArgumentParser(
        prog="coral-classify evaluate",
        description="Compare a model's answers with the names of the folders in which the pictures lie.",
        epilog="With --json the whole evaluation is one JSON object on standard output.")
    parser.add_argument("folder", metavar="FOLDER",
                        help="holds a folder of pictures for each class, named as the class")
    parser.add_argument("--html", metavar="FILE", help="write a page with the pictures most surely wrong inside")
    parser.add_argument("--resume", metavar="FILE", help="keep each answer there, and go on from what is in it")
    add_options(parser)
    args = parser.parse_args(argv)
    args.top_k = max(5, args.top_k)
    return guarded(args, _evaluate)


def _evaluate(classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    from ..learn import Evaluation, evaluate, html
    from .many import streamed

    evaluation = Evaluation(os.path.basename(classifier.model), getattr(classifier, "labels", None) or ())
    started = time.perf_counter()

    def tell(record: Dict[str, Any]) -> None:
        if record["error"] is not None:
            print("coral-classify: %s" % printable(record["error"]), file=sys.stderr)
    evaluate(evaluation, folders_of_classes(args.folder), functools.partial(streamed, classifier, args), args.resume,
             tell)
    if args.html is not None:
        with open(args.html, "w", encoding="utf-8") as file:
            file.write(html(evaluation))
    if args.json:
        print(json.dumps(evaluation.to_dict()))
    else:
        _show(evaluation)
        print("  %.1f s on %s" % (time.perf_counter() - started, classifier.device))
    return 1 if evaluation.failed or not evaluation.pictures else 0


def _show(evaluation: "Evaluation") -> None:
    print("%s on %d pictures" % (printable(evaluation.model), evaluation.pictures))
    names = {"top1": "right", "top5": "among the best five", "sure": "sure", "sure_precision": "right where sure"}
    for name, value in evaluation.shares().items():
        print("  %-20s %s" % (names[name], value))
    print("  %-20s %.3f" % ("calibration error", evaluation.calibration_error))
    for name, value in evaluation.per_class().items():
        print("    %-20s %s of %d" % (printable(name), value, value.of))
    for name in evaluation.unknown():
        print("coral-classify: the model has no class called %s" % printable(name), file=sys.stderr)
