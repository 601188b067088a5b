"""What there is to see: the newest result, the last hour, counts."""
from __future__ import annotations

from coral_classify.types import Prediction, Result
from coral_classify.viewing import scene as scenes
from coral_classify.viewing.scene import Scene


def result(label="cat", score=0.9, **more):
    """A camera's result."""
    predictions = (Prediction(1, label, score),) if label else ()
    fields = {"frame_age_ms": 5.0, "changed": False, "skipped": 0, **more}
    return Result("test#1", "m.tflite", "cpu", "asked for the CPU", predictions, 1.0, 2.0, **fields)


def test_before_the_first_result_there_is_nothing_but_counts():
    now = Scene().now()
    assert now["answered"] == 0 and now["held"] is None and "predictions" not in now


def test_the_newest_result_is_shown_with_the_counts_of_all():
    scene = Scene()
    scene.tell(result(changed=True, skipped=3))
    scene.tell(result("dog", 0.5, skipped=1, recovered=True))
    scene.tell(result("", error="the device is away"))
    now = scene.now()
    assert (now["answered"], now["skipped"], now["failed"], now["faults"]) == (3, 4, 1, 1)
    assert now["error"] == "the device is away"
    assert now["held"]["label"] == "cat"        # only a change makes another one


def test_a_frame_stays_until_the_next_one():
    scene = Scene()
    scene.tell(result(frame="first"))
    scene.tell(result())
    assert scene.frame() == (2, "first")


def test_the_history_has_changes_only_and_an_hour_of_them(monkeypatch):
    scene, clock = Scene(), [1000.0]
    monkeypatch.setattr(scenes.time, "time", lambda: clock[0])
    for label in ("long ago", "before", "cat", "dog"):
        scene.tell(result(label, changed=True))
        scene.tell(result(label))
        clock[0] += 1500.0
    scene.happened("camera x: is back")
    hour = scene.hour()
    # What held when the hour began is the first.
    assert [label for _, label, _ in hour["seen"]] == ["before", "cat", "dog"]
    assert hour["told"] == [[7000.0, "camera x: is back"]]


def test_the_history_is_bounded():
    scene = Scene()
    for number in range(3 * scenes._MOST_SEEN):
        scene.tell(result(str(number), changed=True))
    seen = scene.hour()["seen"]
    assert len(seen) == scenes._MOST_SEEN and seen[-1][1] == str(3 * scenes._MOST_SEEN - 1)


def test_no_class_is_an_answer_too():
    scene = Scene()
    scene.tell(result("", changed=True))
    assert scene.now()["held"]["label"] == "" and scene.hour()["seen"][0][1:] == ["", 0.0]
