"""An evaluation as one HTML page that needs nothing else: figures, classes, confusion, the pictures most surely wrong.

The pictures are inside, small.  Knows Pillow; opens no connection, and neither does the page.
"""
from __future__ import annotations

import base64
import io
from html import escape
from typing import List, Tuple

from .. import arguments
from ..errors import CoralClassifyError
from ..pictures import prepare
from .evaluation import Evaluation, Wrong

__all__ = ["html"]

_SIDE = 160                 # pixels of a small picture
_CONFUSION = 30             # pairs shown
_STYLE = """body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right}.bar{background:#2a7;height:.8em;display:inline-block}
figure{display:inline-block;margin:.5em;width:160px;vertical-align:top;font-size:.85em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}"""
_NAMES = {"top1": "right", "top5": "right class among the best five", "sure": "sure",
          "sure_precision": "right where sure"}


def html(evaluation: Evaluation) -> str:
    """The page."""
    arguments.instance("evaluation", evaluation, Evaluation)
    figures = "".join("<tr><td>%s</td><td>%s</td><td class=n>%d</td></tr>"
                      % (_NAMES[name], escape(str(value)), value.of) for name, value in evaluation.shares().items())
    classes = "".join(
        "<tr><td>%s</td><td>%s</td><td class=n>%d</td><td><span class=bar style='width:%.1fem'></span></td></tr>"
        % (escape(name), escape(str(value)), value.of, 8 * value.value)
        for name, value in evaluation.per_class().items())
    pairs: List[Tuple[int, str, str]] = sorted(
        ((number, truth, answer) for (truth, answer), number in evaluation.confusion.items()
         if truth.lower() != answer.lower()), reverse=True)
    confusion = "".join("<tr><td>%s</td><td>%s</td><td class=n>%d</td></tr>" % (escape(truth), escape(answer), number)
                        for number, truth, answer in pairs[:_CONFUSION])
    bins = "".join("<tr><td>%.1f to %.1f</td><td class=n>%d</td><td class=n>%.2f</td><td class=n>%.2f</td></tr>"
                   % (i / 10, (i + 1) / 10, number, scores / number, right / number)
                   for i, (number, scores, right) in enumerate(evaluation.bins) if number)
    unknown = evaluation.unknown()
    said = "<p>The model has no class of these names: %s.</p>" % escape(", ".join(unknown)) if unknown else ""
    wrong = "".join(_figure(one) for one in sorted(evaluation.wrong, reverse=True))
    return "".join((
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        "<title>Evaluation of %s</title><style>%s</style>" % (escape(evaluation.model), _STYLE),
        "<h1>Evaluation</h1><p>Model %s, %d pictures, %d could not be read.</p>%s" % (
            escape(evaluation.model), evaluation.pictures, evaluation.failed, said),
        "<p>In brackets: where the true share lies, with 95 %% certainty. Calibration error: %.3f.</p>"
        % evaluation.calibration_error,
        "<table><tr><th>figure<th>share<th>of</tr>%s</table>" % figures,
        "<h2>Classes</h2><table><tr><th>class<th>right<th>pictures<th></tr>%s</table>" % classes,
        "<h2>Taken for another</h2><table><tr><th>class<th>answer<th>pictures</tr>%s</table>" % confusion,
        "<h2>Scores</h2><table><tr><th>score<th>pictures<th>mean score<th>right</tr>%s</table>" % bins,
        "<h2>Most surely wrong</h2>%s</html>\n" % (wrong or "<p>None.</p>")))


def _figure(wrong: Wrong) -> str:
    from PIL import Image

    try:
        pixels = prepare(wrong.image, (_SIDE, _SIDE), fit="pad", fill=(255, 255, 255)).pixels
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=75)
        picture = "<img width=%d height=%d alt='' src='data:image/jpeg;base64,%s'>" % (
            _SIDE, _SIDE, base64.b64encode(file.getvalue()).decode("ascii"))
    except CoralClassifyError:      # gone since
        picture = ""
    return "<figure>%s<figcaption>%s<br>is %s, was called %s (%.2f)</figcaption></figure>" % (
        picture, escape(wrong.image), escape(wrong.truth), escape(wrong.label), wrong.score)
