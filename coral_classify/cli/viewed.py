"""``live --page``: the page beside a camera's answers."""
from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from .showing import printable

if TYPE_CHECKING:
    from ..cameras import Camera
    from ..classifier import Classifier
    from ..types import Result
    from ..viewing import Page

__all__ = ["Viewed", "add_options", "viewed"]

_HERE = "localhost:8750"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--page", metavar="HOST:PORT", nargs="?", const=_HERE,
                        help="a page to look at and to teach from (default: %s, for this machine only)" % _HERE)
    parser.add_argument("--token-file", metavar="FILE", help="with --page: whose content a viewer must know; or the "
                        "environment's CORAL_CLASSIFY_TOKEN; needed for any other address than this machine's own")
    parser.add_argument("--teach-into", metavar="FOLDER", default=".",
                        help="with --page: where a model that was taught there is saved (default: the current folder)")


class Viewed:
    """A page, and what devices and the camera have to say on it."""

    def __init__(self, args: argparse.Namespace, source: "Camera", classifier: "Classifier") -> None:
        from ..errors import CoralClassifyError
        from ..viewing import Page, View
        from ..web import address, token_for

        where = address(args.page)
        if not Path(args.teach_into).is_dir():
            raise CoralClassifyError("--teach-into %s: there is no such folder" % args.teach_into)
        self._page = Page(where, token_for(where, args.token_file), camera=source.name,
                          view=View(None if args.region is None else tuple(args.region), args.rotate),
                          model=classifier.model, folder=Path(args.teach_into))
        self._handler = _Told(self._page)
        logging.getLogger("coral_classify.supervised").addHandler(self._handler)

    def say_where(self) -> None:
        print("page: %s" % printable(self._page.url), file=sys.stderr, flush=True)

    def wants_frame(self) -> bool:
        return self._page.wants_frame()

    def tell(self, result: "Result") -> None:
        self._page.tell(result)

    def close(self) -> None:
        logging.getLogger("coral_classify.supervised").removeHandler(self._handler)
        self._page.close()


class _Told(logging.Handler):
    def __init__(self, page: "Page") -> None:
        super().__init__(logging.INFO)
        self._page = page

    def emit(self, record: logging.LogRecord) -> None:
        self._page.scene.happened(record.getMessage())


def viewed(args: argparse.Namespace, source: "Camera", classifier: "Classifier") -> Optional[Viewed]:
    """The page, if there is to be one.

    :raises CoralClassifyError: if it cannot be
    """
    return Viewed(args, source, classifier) if args.page is not None else None
