"""Results and messages as people read them, safe for any terminal."""
from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, List, Optional

if TYPE_CHECKING:
    from ..types import Result

__all__ = ["complain", "print_table", "printable"]


def complain(exc: Exception) -> int:
    """One line on standard error.

    :returns: the exit code: 2 for wrong usage, 1 for any other error
    """
    from ..errors import UsageError

    print("coral-classify: %s" % printable(str(exc)), file=sys.stderr)
    return 2 if isinstance(exc, UsageError) else 1


def print_table(result: "Result", explain: bool, first: bool) -> None:
    lines = [] if first else [""]
    lines.append(printable(result.image))
    width = max([len(printable(p.label)) for p in result.predictions] + [5])
    lines.append("  rank  %-*s  score" % (width, "label"))
    for rank, prediction in enumerate(result.predictions, 1):
        lines.append("  %4d  %-*s  %.4f" % (rank, width, printable(prediction.label), prediction.score))
    if not result.predictions:
        lines.append("  no class reaches the threshold")
    elif result.sure is False:
        lines.append("  not sure: none of these scores is one to rely on")
    lines.append("  model: %s" % printable(os.path.basename(result.model)))
    lines.append("  device: %s (%s)" % (result.device, result.device_reason))
    lines.append("  time: %.1f ms (preprocessing %.1f, inference %.1f)"
                 % (result.preprocess_ms + result.inference_ms, result.preprocess_ms, result.inference_ms))
    if explain and result.preprocessing:
        lines += _explanation(result)
    _write("\n".join(lines))


def _explanation(result: "Result") -> List[str]:
    done = result.preprocessing
    assert done is not None
    decoded = "" if done.decoded_size == done.source_size else ", decoded at %d x %d" % done.decoded_size
    region: Optional[Any] = done.region
    return [
        "  picture: %d x %d%s; EXIF: %s; region: %s"
        % (done.source_size + (decoded, done.orientation, ",".join(map(str, region)) if region else "all")),
        "  resize: %s to %d x %d" % ((done.fit,) + done.input_size),
        "  normalization: mean %s, std %s (from %s); %.2f %% of the values saturated"
        % (_short(done.mean), _short(done.std), done.normalization_from, 100 * done.saturated),
    ]


def _short(value: Any) -> str:
    return ",".join("%g" % v for v in value) if isinstance(value, tuple) else "%g" % value


def printable(text: str) -> str:
    """Control characters escaped, so that a label or a file name cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii")
                   for c in text)


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
