from __future__ import annotations

import pytest

from coral_classify.answers import class_ids
from coral_classify.errors import LabelsError, UsageError
from coral_classify.modelfiles.labels import fit_labels, parse_labels, read_labels


@pytest.mark.parametrize("content, names", [
    (b"cat\ndog\n", ("cat", "dog")),
    (b"0 cat\n1 dog\n", ("cat", "dog")),
    (b"0: cat\n1: dog", ("cat", "dog")),
    (b"1 dog\n0 cat\n", ("cat", "dog")),
    (b"  0  cat \n 1   hot dog\n", ("cat", "hot dog")),
    (b"\xef\xbb\xbfcat\r\ndog\r\n", ("cat", "dog")),
    ("Käse\n".encode("utf-8"), ("Käse",)),
    (b"cat\n3 musketeers\n", ("cat", "3 musketeers")),
    (b"0 cat\n0 dog\n", ("0 cat", "0 dog")),
    (b"1984 novel\n2001 film\n", ("1984 novel", "2001 film")),
    (b"0 cat\n2 dog\n", ("cat", "1", "dog")),
    (b"cat\n\ndog\n\n\n", ("cat", "", "dog")),
])
def test_the_format_is_decided_over_the_whole_file(content, names):
    assert parse_labels(content) == names


def test_text_that_is_not_utf8_names_the_byte():
    with pytest.raises(LabelsError, match="not UTF-8 at byte 1"):
        parse_labels(b"k\xe4se")


def test_an_empty_file_is_an_error():
    with pytest.raises(LabelsError, match="empty"):
        parse_labels(b"\n \n")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabelsError, match="nothing.txt"):
        read_labels(tmp_path / "nothing.txt")


def test_a_leading_background_is_left_out_with_a_notice():
    names, notice = fit_labels(("background", "cat"), 1)
    assert names == ("cat",)
    assert "'background', is left out" in notice


def test_a_known_offset_needs_no_notice():
    assert fit_labels(("background", "cat"), 1, offset=1) == (("cat",), None)


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c", "d"), ("x", "a", "b")])
def test_any_other_mismatch_names_both_counts(names):
    with pytest.raises(LabelsError, match="%d names, but the model has 2 classes" % len(names)):
        fit_labels(names, 2)


def test_classes_are_named_by_label_or_id():
    labels = ("cat", "crane", "7", "crane")
    assert class_ids(["crane"], labels, 4) == [1, 3]
    assert class_ids(["0", 2], labels, 4) == [0, 2]
    assert class_ids(["7"], labels, 4) == [2]       # a label before an id
    assert class_ids([1], None, 4) == [1]


@pytest.mark.parametrize("wanted", ["Cat", "9", 4, -1, "\u00b2"])
def test_an_unknown_class_is_a_usage_error(wanted):
    with pytest.raises(UsageError, match=str(wanted)):
        class_ids([wanted], ("cat", "dog", "owl", "elk"), 4)
