"""Downloads as the command line does them: agreed to first, with a bar on a terminal."""
from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from ..zoo import Wanted

__all__ = ["agreed", "progress"]


def progress(wanted: "Wanted") -> Optional[Callable[[int, Optional[int]], None]]:
    """A bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bar = tqdm(desc=wanted.name, unit="B", unit_scale=True)

    def show(done: int, total: Optional[int]) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()
    return show


def agreed(name: str, yes: bool) -> bool:
    """Whether a model that is not here may be downloaded: said so, or asked at the terminal."""
    if yes or os.environ.get("CORAL_CLASSIFY_PULL") == "1":
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print("coral-classify: model %s is not here; download it now? [y/N] " % name, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
