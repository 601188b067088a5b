"""What a Classifier tells of a fault that its supervised session survived."""
from __future__ import annotations

import os

import numpy as np
import pytest
from worker_tools import MODEL, supervised, wait_until

from coral_classify import Classifier, UsageError
from coral_classify.supervision.supervised import SupervisedSession

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


def test_results_say_who_answered_and_whether_a_fault_was_survived(tmp_path):
    description = {"count": str(tmp_path / "count"), "faults": {"3": "abort", "open": [2, 3, "busy"]}}
    picture = np.zeros((8, 8, 3), np.uint8)
    with supervised(description, twin={"device": "cpu"}) as session:
        classifier = Classifier(session)
        results = [classifier.classify(picture) for _ in range(5)]
        assert wait_until(lambda: session.trouble is None)
        results.append(classifier.classify(picture))
    assert [result.device for result in results] == ["usb:0", "usb:0", "cpu", "cpu", "cpu", "usb:0"]
    assert [result.recovered for result in results] == [False, False, True, False, False, False]
    assert "usb:0 is away" in results[2].device_reason and "away" not in results[5].device_reason
    assert results[2].to_dict()["recovered"] is True and "recovered" not in results[3].to_dict()


@pytest.mark.skipif(not MODEL.is_file(), reason="needs %s (CORAL_CLASSIFY_TESTDATA)" % MODEL.name)
def test_the_same_answers_with_and_without_supervision():
    picture = np.random.RandomState(5).randint(0, 256, (128, 128, 3)).astype(np.uint8)
    guarded = Classifier(MODEL, device="cpu", supervised=True)
    with guarded, Classifier(MODEL, device="cpu") as plain:
        assert isinstance(guarded._session, SupervisedSession)
        assert not isinstance(plain._session, SupervisedSession)
        assert guarded.classify(picture).predictions == plain.classify(picture).predictions


@pytest.mark.skipif(not MODEL.is_file(), reason="needs %s (CORAL_CLASSIFY_TESTDATA)" % MODEL.name)
@pytest.mark.parametrize("wrong", [{"deadline_ms": 0}, {"on_device_loss": "panic"}])
def test_wrong_wishes_are_refused_even_where_nothing_is_supervised(wrong):
    with pytest.raises(UsageError):
        Classifier(MODEL, device="cpu", **wrong)


def test_the_command_line_says_each_event_once_and_goes_on(tmp_path, monkeypatch, capsys):
    from PIL import Image

    from coral_classify.cli import classify, options

    names = [str(tmp_path / ("%d.png" % i)) for i in range(4)]
    for name in names:
        Image.new("RGB", (8, 8)).save(name)
    description = {"count": str(tmp_path / "count"), "faults": {"3": "abort", "open": [2, 9, "busy"]}}
    session = supervised(description, twin={"device": "cpu"})
    monkeypatch.setattr(options, "open_classifier", lambda args, on_event: Classifier(session))
    assert classify.main(names + ["--json"]) == 0
    out, err = capsys.readouterr()
    # Which picture meets the fault is open: the decoding threads hand them to the device as they get them ready.
    assert sorted(line.count('"recovered": true') for line in out.splitlines()) == [0, 0, 0, 1]
    told = [line for line in err.splitlines() if line]
    assert len(told) == 2
    assert told[0].startswith("coral-classify: usb:0 lost: the process that holds usb:0 aborted (SIGABRT)")
    assert told[1] == "coral-classify: going on on the CPU while usb:0 is away"
