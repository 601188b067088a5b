"""What every command that classifies has in common: its options, the classifier that they describe, the exit code."""
from __future__ import annotations

import argparse
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Union

from . import interrupts
from .showing import complain

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..events import Event
    from ..pool import Pool

__all__ = ["add_options", "guarded", "open_classifier"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that classifies."""
    from .. import __version__

    parser.add_argument("--model", metavar="FILE", help="path or name of a .tflite (default: the package's own model)")
    parser.add_argument("--yes", action="store_true", help="download a published model that is not here without asking")
    parser.add_argument("--labels", metavar="FILE", help="class names (default: those in the model file)")
    parser.add_argument("--device", default="auto", metavar="DEVICE",
                        help="auto, cpu, usb, usb:N, pci, pci:N or :N; all: every Edge TPU; http://board:8750: a "
                        "board on which serve runs; several with commas (default: auto)")
    parser.add_argument("--board-token-file", metavar="FILE",
                        help="with the token that boards ask for (or set CORAL_CLASSIFY_TOKEN)")
    parser.add_argument("--wait-for-device", action="store_true",
                        help="with auto: no answer from the CPU while an Edge TPU is still being opened")
    parser.add_argument("--top-k", type=int, default=5, metavar="N", help="how many classes (default: 5)")
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="leave out classes with a lower score")
    parser.add_argument("--allow", action="append", metavar="CLASS", help="label or id to consider; repeat for more")
    parser.add_argument("--deny", action="append", metavar="CLASS", help="label or id to leave out; repeat for more")
    parser.add_argument("--fit", default="squash", choices=["squash", "crop", "pad"],
                        help="how a picture of another shape fits the model's input (default: squash)")
    parser.add_argument("--region", type=_numbers, metavar="X,Y,W,H",
                        help="look only at this part, in pixels or in fractions of the picture")
    parser.add_argument("--rotate", type=int, default=0, metavar="DEGREES", help="clockwise; a multiple of 90")
    parser.add_argument("--max-pixels", type=int, metavar="N",
                        help="largest picture that is decoded, in pixels (default: 64 Mi)")
    parser.add_argument("--mean", type=_numbers, metavar="M", help="mean the model was trained with; one or three")
    parser.add_argument("--std", type=_numbers, metavar="S", help="standard deviation likewise")
    parser.add_argument("--engine", choices=["ai-edge-litert", "tflite-runtime"], help="TFLite runtime to use")
    parser.add_argument("--threads", type=int, metavar="N",
                        help="CPU threads of the engine (default: all usable cores)")
    parser.add_argument("--decoders", type=int, metavar="N",
                        help="threads that read and prepare pictures (default: all usable cores)")
    parser.add_argument("--performance", choices=["low", "medium", "high", "max"], help="clock of a USB Edge TPU")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on standard output")
    parser.add_argument("--explain", action="store_true", help="also say what was done to each picture")
    parser.add_argument("--version", action="version", version="coral-classify %s" % __version__)


def _numbers(text: str) -> List[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError("%r is not a list of numbers like 0.1,0.1,0.5,0.5" % text) from None


def open_classifier(args: argparse.Namespace,
                    on_event: "Optional[Callable[[Event], None]]" = None) -> "Union[Classifier, Pool]":
    """What the options describe, with its parameters checked."""
    if args.board_token_file is not None:
        from ..remote import token_from

        os.environ["CORAL_CLASSIFY_TOKEN"] = token_from(args.board_token_file)
    if args.model is not None and not os.path.exists(args.model):
        _pull_first(args.model, args.yes)
    options: Any = {"labels": args.labels, "engine": args.engine, "threads": args.threads, "mean": args.mean,
                    "std": args.std, "fit": args.fit, "max_pixels": args.max_pixels,
                    "performance": args.performance, "on_event": on_event}
    opened: "Union[Classifier, Pool]"
    if args.device == "all" or "," in args.device:
        from ..pool import Pool

        opened = Pool(args.model, devices="all" if args.device == "all" else args.device.split(","), **options)
    else:
        from ..classifier import Classifier

        opened = Classifier(args.model, device=args.device, wait_for_device=args.wait_for_device, **options)
    try:
        opened.wanted(args.top_k, args.threshold, args.allow, args.deny, args.region, args.rotate)
    except Exception:
        opened.close()
        raise
    return opened


def _pull_first(name: str, yes: bool) -> None:
    """Download a published model on its first use, if that was agreed to."""
    from .. import zoo
    from .downloading import agreed, progress

    passport = zoo.by_name(name)
    if passport is not None and zoo.installed(passport) is None and agreed(name, yes):
        zoo.pull(name, None, progress)


def guarded(args: argparse.Namespace, work: "Callable[[Union[Classifier, Pool], argparse.Namespace], int]",
            on_event: "Optional[Callable[[Event], None]]" = None) -> int:
    """Open the classifier that the options describe, do the *work*, and turn errors into a line and an exit code."""
    from ..errors import CoralClassifyError, UsageError

    interrupts.begin()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("coral-classify: %(message)s"))
    logger = logging.getLogger("coral_classify")
    logger.addHandler(handler)
    # A device that is lost, and one that is back: one line each.
    logging.getLogger("coral_classify.supervised").setLevel(logging.INFO)
    # Pillow warns of large and of damaged pictures on two lines; those that cannot be used are an error of their own.
    warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        if args.decoders is not None and args.decoders < 1:
            raise UsageError("--decoders must be at least 1, got %d" % args.decoders)
        with open_classifier(args, on_event) as classifier:
            return work(classifier, args)
    except CoralClassifyError as exc:
        return complain(exc)
    finally:
        logger.removeHandler(handler)
