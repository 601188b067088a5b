"""Pictures that were spoilt give pixels or one line.  mutations.py does the same to as many as one likes."""
from __future__ import annotations

import time
import warnings

import pytest
from mutations import cases, originals, with_sums

from coral_classify.errors import ImageError
from coral_classify.pictures import prepare

COUNT = 2000


@pytest.mark.parametrize("name", sorted(originals()))
def test_the_originals_can_be_read(name):
    content = originals()[name]
    assert prepare(content, (16, 16)).pixels.shape == (16, 16, 3)
    assert not content.startswith(b"\x89PNG") or with_sums(content) == content


def test_a_spoilt_picture_gives_pixels_or_one_line_and_takes_no_time():
    readable, worst = 0, (0.0, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, name, content in cases(0, COUNT):
            began = time.process_time()
            try:
                assert prepare(content, (16, 16)).pixels.shape == (16, 16, 3), (number, name)
                readable += 1
            except ImageError as exc:
                assert "\n" not in str(exc), (number, name)
            worst = max(worst, (time.process_time() - began, number))
    assert 0.1 * COUNT < readable < 0.9 * COUNT
    assert worst[0] < 30, worst     # of the process, not of the clock; each takes some milliseconds
