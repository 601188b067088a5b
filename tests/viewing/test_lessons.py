"""Teaching from the page: holding shows, letting go ends it, saving writes a model that knows the classes."""
from __future__ import annotations

import time

import numpy as np
import pytest
from test_scene import result

from coral_classify import Classifier
from coral_classify.errors import UsageError
from coral_classify.viewing import lessons as rooms
from coral_classify.viewing.lessons import Lessons
from coral_classify.viewing.scene import Scene, View


def until(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def picture(colour, seed=0):
    noise = np.random.RandomState(seed).randint(0, 40, (96, 96, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def lessons(scene, tmp_path, any_engine, monkeypatch):
    monkeypatch.setattr(rooms, "_EVERY_S", 0.02)
    made = Lessons(scene, View(), None, tmp_path)
    yield made
    made.close()


def show(lessons, scene, name, colour, count=6):
    """Hold the button of *name* while the camera sees the colour, in so many pictures."""
    before = lessons.state()["classes"].get(name, 0)
    seed = 0
    end = time.monotonic() + 120
    while lessons.state()["classes"].get(name, 0) < before + count:
        assert time.monotonic() < end, lessons.state()
        seed += 1
        scene.tell(result(frame=picture(colour, seed)))
        lessons.hold("page", name)
        time.sleep(0.02)
    lessons.release("page")
    until(lambda: lessons.state()["showing"] is None, "it was let go")


def test_two_classes_are_shown_told_apart_and_saved(lessons, scene, tmp_path):
    show(lessons, scene, "red thing", (200, 30, 30))
    show(lessons, scene, "blue thing", (30, 30, 200))
    scene.tell(result(frame=picture((30, 30, 200), 999)))
    until(lambda: lessons.state()["answer"][:1] and lessons.state()["answer"][0][0] == "blue thing", "it knows blue")
    scene.tell(result(frame=picture((200, 30, 30), 999)))
    until(lambda: lessons.state()["answer"][0][0] == "red thing", "it knows the red one")
    lessons.save("things")
    until(lambda: lessons.state()["saved"] is not None, "it is saved")
    assert lessons.state()["saved"]["name"] == "things.tflite"
    with Classifier(tmp_path / "things.tflite", device="cpu") as classifier:
        assert classifier.classify(picture((30, 30, 200), 5)).predictions[0].label == "blue thing"
    with pytest.raises(UsageError, match="there already"):
        lessons.save("things")


def test_a_page_that_is_gone_holds_nothing(lessons, scene, monkeypatch):
    monkeypatch.setattr(rooms, "_HELD_S", 0.2)
    scene.tell(result(frame=picture((200, 30, 30))))
    lessons.hold("page", "red")
    until(lambda: lessons.state()["showing"] is None, "it lets go by itself")


def test_of_two_pages_one_that_lets_go_does_not_end_the_other(lessons, scene):
    scene.tell(result(frame=picture((200, 30, 30))))
    lessons.hold("one", "red")
    lessons.hold("two", "blue")
    assert lessons.state()["showing"] == "blue"
    lessons.release("two")
    assert lessons.state()["showing"] == "red"


def test_a_class_can_be_forgotten(lessons, scene):
    show(lessons, scene, "red", (200, 30, 30), count=1)
    lessons.forget("red")
    until(lambda: lessons.state()["classes"] == {}, "it is forgotten")
    with pytest.raises(UsageError, match="no class"):
        lessons.forget("red")


def test_a_class_has_so_many_pictures_and_no_more(lessons, scene, monkeypatch):
    monkeypatch.setattr(rooms, "MOST_PICTURES", 2)
    show(lessons, scene, "red", (200, 30, 30), count=2)
    scene.tell(result(frame=picture((200, 30, 30), 77)))
    lessons.hold("page", "red")
    until(lambda: "enough" in lessons.state()["trouble"], "it says so")
    assert lessons.state()["classes"] == {"red": 2}


def test_before_the_first_picture_it_says_that_there_is_none(lessons):
    lessons.hold("page", "red")
    until(lambda: "no picture" in lessons.state()["trouble"], "it says so")


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b", "none of these"])
def test_a_name_that_cannot_be_a_class_is_refused(lessons, scene, name):
    scene.tell(result(frame=picture((200, 30, 30))))
    try:
        lessons.hold("page", name)
    except UsageError:
        return
    until(lambda: lessons.state()["trouble"], "the teacher refuses it")
    assert lessons.state()["classes"] == {}


@pytest.mark.parametrize("name", ["", ".hidden", "../x", "a/b", "a\\b", "-x", "a\nb\x00", "x" * 300])
def test_a_file_lands_in_the_folder_or_nowhere(lessons, name):
    with pytest.raises(UsageError, match="a file has a name|at least two"):
        lessons.save(name)


def test_it_takes_two_classes_to_save(lessons, scene):
    show(lessons, scene, "red", (200, 30, 30), count=1)
    with pytest.raises(UsageError, match="at least two classes"):
        lessons.save("one")


def test_a_network_that_cannot_be_taught_is_replaced_by_the_packages_own(scene, model, tmp_path, any_engine):
    lessons = Lessons(scene, View(), str(model), tmp_path)
    try:
        scene.tell(result(frame=picture((200, 30, 30))))
        lessons.hold("page", "red")
        until(lambda: lessons.state()["base"], "a network is found")
        assert lessons.state()["base"] in (model.name, "everyday_objects.tflite")
    finally:
        lessons.close()
