"""Teaching and evaluating with every odd value: a UsageError that names it, or what was meant."""
from __future__ import annotations

import numpy as np
import pytest
from odd_values import accepted
from tflite_writer import colours

from coral_classify import Classifier, UsageError
from coral_classify.errors import CoralClassifyError, DeviceError, ModelError
from coral_classify.learn import Evaluation, Teacher, evaluate, html

PIXELS = np.zeros((8, 8, 3), np.uint8)
WHOLE = {"one", "five", "numpy int", "numpy uint8"}
TEXT = {"numpy str", "text", "long", "digits", "surrogate"}
# An iterable that gives no pictures has an error for each.
ODD_PICTURES = {"list", "tuple", "ints", "four", "floats", "bools", "nans", "byte texts", "byte labels", "nested",
                "deep", "generator", "map", "set", "texts in a set", "range", "deque"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.tflite"
    path.write_bytes(colours(labels=["red", "green", "blue"]))
    return path


@pytest.fixture(scope="module")
def teacher(place):
    with Teacher(place, device="cpu") as one:
        for number in range(6):
            chance = np.random.RandomState(number)
            one.show("dark", chance.randint(0, 90, (8, 8, 3)).astype(np.uint8))
            one.show("light", chance.randint(90, 255, (8, 8, 3)).astype(np.uint8))
        one.save(place.parent / "taught.tflite")
        yield one


def answers(place):
    def given(pictures):
        with Classifier(place, device="cpu") as one:
            for result in one.stream(pictures):
                yield result
    return given


def opened(make, **arguments):
    with make(**dict({"device": "cpu"}, **arguments)):
        pass


@pytest.mark.parametrize("parameter, allowed, absent", [
    ("base", {"none"}, ModelError), ("device", {"numpy str"}, DeviceError), ("engine", {"none"}, ()),
    ("threads", WHOLE | {"none"}, ())])
def test_a_teacher_is_made_of_what_can_be_meant(place, any_engine, parameter, allowed, absent):
    taken = accepted(lambda **kw: opened(Teacher, **dict({"base": place}, **kw)), parameter, absent=absent)
    assert taken <= allowed


@pytest.mark.parametrize("parameter, allowed, absent", [
    ("file", set(), ModelError), ("device", {"numpy str"}, DeviceError), ("engine", {"none"}, ()),
    ("threads", WHOLE | {"none"}, ())])
def test_so_is_one_from_a_file(teacher, place, parameter, allowed, absent):
    taken = accepted(lambda **kw: opened(Teacher.of, **dict({"file": place.parent / "taught.tflite"}, **kw)), parameter,
                     absent=absent)
    assert taken <= allowed


def test_what_is_shown_has_a_name_and_a_picture(teacher, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = teacher.classes
    names = accepted(lambda name: teacher.show(name, PIXELS), "name", names=("name", "called", "class"))
    assert names <= {"numpy str", "text", "long", "digits"}
    assert accepted(teacher.show_many, "pictures", without=("failing generator",)) <= {"list", "tuple"}
    assert accepted(lambda pictures: teacher.show_many([pictures]), "pictures") == set()
    assert accepted(teacher.show_none, "pictures", without=("failing generator",)) <= ODD_PICTURES
    assert accepted(teacher.forget, "name", names=("name", "no class is called")) <= {"numpy str", "text", "long",
                                                                                     "digits"}
    assert accepted(teacher.save, "file", names=("file", "must end in .tflite")) == set()
    assert accepted(lambda top_k: teacher.classify(PIXELS, top_k=top_k), "top_k") <= WHOLE | {"huge", "very huge"}
    assert set(before) <= set(teacher.classes)


@pytest.mark.parametrize("shown", [lambda t: t.show("light", None), lambda t: t.show_none([None]),
                                   lambda t: t.show_many([("light", None), ("dark", PIXELS)])])
def test_none_is_no_picture_and_shifts_no_names(teacher, shown):
    before = teacher.classes
    with pytest.raises(UsageError, match="picture"):
        shown(teacher)
    assert teacher.classes == before


def test_an_evaluation_is_made_of_what_can_be_meant(place, any_engine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert accepted(lambda model: Evaluation(model, ["a"]), "model") <= TEXT
    assert accepted(lambda labels: Evaluation("m", labels), "labels") <= {"list", "tuple", "map"}
    assert accepted(html, "evaluation") == set()

    def run(**arguments):
        said = dict({"evaluation": Evaluation("m", ["red"]), "pictures": [("red", PIXELS)], "answers": answers(place)},
                    **arguments)
        evaluate(said.pop("evaluation"), said.pop("pictures"), said.pop("answers"), **said)
    assert accepted(run, "evaluation") == set()
    assert accepted(run, "pictures", without=("failing generator",)) <= {"list", "tuple"}
    # What a function of the caller's raises is the caller's.
    assert accepted(run, "answers", without=("class", "lambda")) == set()
    assert accepted(run, "tell", without=("class",)) <= {"none", "lambda"}
    assert accepted(run, "resume", absent=CoralClassifyError) <= {"none", "numpy str", "text", "surrogate", "path"}
