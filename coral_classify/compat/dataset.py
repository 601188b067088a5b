"""``pycoral.utils.dataset``: label files as PyCoral reads them.

It decides line by line, so that ``3 musketeers`` is class 3 there.  The reader of this package
(:mod:`coral_classify.modelfiles`) decides over the whole file; a program written for PyCoral gets PyCoral's.
"""
from __future__ import annotations

import os
import re
from typing import Dict

__all__ = ["read_label_file"]


def read_label_file(file_path: str) -> Dict[int, str]:
    """Class id -> label; a line is ``id label`` or ``id: label``, or a label alone, whose id is the line's number."""
    labels = {}
    with open(os.fspath(file_path), encoding="utf-8") as file:
        for number, line in enumerate(file):
            words = re.split(r"[:\s]+", line.strip(), maxsplit=1)
            if len(words) == 2 and words[0].isdigit():
                labels[int(words[0])] = words[1].strip()
            else:
                labels[number] = line.strip()
    return labels
