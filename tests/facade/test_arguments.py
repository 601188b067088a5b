"""Every public argument with every odd value: a UsageError that names it, or success with what the user meant."""
from __future__ import annotations

import inspect

import numpy as np
import pytest
from odd_values import INF, NAN, accepted
from tflite_writer import colours

import coral_classify
from coral_classify import Classifier, Pool, UsageError, doctor, edgetpu, list_devices
from coral_classify.cameras import Synthetic
from coral_classify.errors import CameraError, DeviceError, LabelsError, ModelError, ZooError
from coral_classify.zoo import catalogue as zoo

# Errors that are as good as a UsageError: there is no such file, name, class or device.
ABSENT = {"model": (ModelError, ZooError), "labels": LabelsError, "device": DeviceError, "devices": DeviceError,
          "name": ZooError, "progress": ZooError, "source": ZooError, "file": ModelError, "compiled": ModelError,
          "camera": CameraError}

NAMES = {"std": ("std", "mean"), "mean": ("mean", "std"), "allow": ("allow", "class"), "deny": ("deny", "class")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.tflite").write_bytes(colours())
    return folder / "m.tflite"


@pytest.fixture(scope="module")
def classifier(place):
    with Classifier(place, device="cpu", labels=["red", "green", "blue"]) as one:
        yield one


def opened(kind, place):
    def call(**arguments):
        said = dict({"model": place}, **arguments)
        if kind is Classifier:
            said.setdefault("device", "cpu")
        else:
            said.setdefault("devices", ["cpu"])
        with kind(said.pop("model"), **said) as one:
            return one.classify(np.zeros((8, 8, 3), np.uint8))
    return call


PICTURE = np.zeros((8, 8, 3), np.uint8)


def calls(place, classifier):
    """(name, callable with keyword arguments, the function whose signature it is, arguments left out)"""
    yield "Classifier", opened(Classifier, place), Classifier.__init__, ()
    yield "Pool", opened(Pool, place), Pool.__init__, ()
    yield "classify", lambda **kw: classifier.classify(PICTURE, **kw), Classifier.classify, ("image",)
    yield "wanted", classifier.wanted, Classifier.wanted, ()
    yield "stream", lambda **kw: list(classifier.stream(kw.pop("pictures", [PICTURE]), **kw)), Classifier.stream, ()
    yield "watch", lambda **kw: next(classifier.watch(**dict({"camera": Synthetic(rate=0, count=2)}, **kw))), \
        Classifier.watch, ()
    yield "list_devices", list_devices, list_devices, ()
    yield "examine", lambda **kw: doctor.examine(**dict({"device": "cpu", "model": place}, **kw)), doctor.examine, ()
    yield "by_name", zoo.by_name, zoo.by_name, ()
    yield "files_of", zoo.files_of, zoo.files_of, ()
    yield "installed", zoo.installed, zoo.installed, ()
    yield "damaged", zoo.damaged, zoo.damaged, ()
    yield "remove", zoo.remove, zoo.remove, ()
    yield ("pull", lambda **kw: zoo.pull(**dict({"name": "mobilenet-v2", "source": str(place.parent)}, **kw)), zoo.pull,
           ())
    yield "add", lambda **kw: zoo.add(**dict({"file": place}, **kw)), zoo.add, ()
    yield "Options", lambda **kw: edgetpu.Options(**kw).check(), edgetpu.Options, ()


TABLE = [(name, parameter) for name, _, function, without in calls(None, Classifier)
         for parameter in list(inspect.signature(function).parameters) if parameter not in ("self",) + without]


@pytest.mark.parametrize("name, parameter", TABLE)
def test_an_odd_value_is_a_usage_error_or_what_was_meant(place, classifier, any_engine, monkeypatch, name, parameter):
    monkeypatch.setenv("CORAL_CLASSIFY_MIRROR", str(place.parent))
    call = {entry[0]: entry[1] for entry in calls(place, classifier)}[name]
    # What a source raises is its user's own.
    without = ("failing generator",) if parameter == "pictures" else ()
    taken = accepted(call, parameter, absent=ABSENT.get(parameter, ()), names=NAMES.get(parameter, ()), without=without)
    allowed = MEANT[parameter]
    if (name, parameter) == ("examine", "model"):       # that it cannot be read is a finding
        allowed = {"none", "text", "long", "digits", "surrogate", "numpy str", "path"}
    assert taken <= allowed, (parameter, sorted(taken - allowed))


WHOLE = {"one", "five", "numpy int", "numpy uint8"}
NUMBER = WHOLE | {"zero", "minus one", "half", "a float", "fraction", "numpy float"}
FLAG = {"none", "true", "false", "numpy true"}
LARGE = {"huge", "very huge"}
# What each may be: the titles of the values above that somebody can have meant.
MEANT = {
    "model": {"none"}, "labels": {"none", "map"}, "device": {"numpy str"}, "devices": {"numpy str"}, "engine": {"none"},
    "threads": WHOLE | {"none"}, "mean": {"none"}, "std": {"none"}, "fit": set(),
    "max_pixels": WHOLE | LARGE | {"none"}, "max_picture_bytes": WHOLE | LARGE | {"none"}, "performance": {"none"},
    "usb_always_dfu": FLAG, "usb_max_bulk_in_queue_length": WHOLE | {"none", "zero"}, "supervised": FLAG,
    "deadline_ms": (NUMBER | {"true"}) - {"zero", "minus one", "true"}, "on_device_loss": {"numpy str"},
    "on_event": {"none", "class", "lambda"}, "wait_for_device": FLAG - {"none"}, "top_k": WHOLE | LARGE,
    "threshold": NUMBER | {"none"},
    "allow": {"none", "list", "tuple", "ints", "generator", "range", "set", "deque", "map"},
    "deny": {"none", "list", "tuple", "ints", "generator", "range", "set", "deque", "map"},
    "region": {"none", "four"}, "rotate": {"zero"},
    "camera": {"none"}, "every_s": NUMBER - {"minus one"}, "stall_s": NUMBER - {"zero", "minus one"},
    "every_frame": FLAG - {"none"}, "with_frames": (FLAG - {"none"}) | {"class", "lambda"},
    "steadiness": {"none"},
    # An iterable that gives no pictures answers each with an error.
    "pictures": {"list", "tuple", "ints", "four", "floats", "bools", "nans", "nones", "byte texts", "byte labels",
                 "nested", "deep", "generator", "map", "set", "texts in a set", "range", "deque"},
    "ahead": WHOLE | LARGE, "decoders": WHOLE | {"none"}, "max_bytes": WHOLE,
    "system": {"none"}, "name": {"none", "text", "long", "digits", "numpy str", "surrogate"}, "passport": set(),
    "source": {"none"}, "progress": {"none", "class", "lambda"}, "file": set(),
    "label_offset": WHOLE | {"zero"}, "compiled": set()}


@pytest.mark.parametrize("call", [
    lambda c: c.wanted(allow=b"cat"), lambda c: c.wanted(allow="red"), lambda c: c.wanted(deny=b"red"),
    lambda c: c.wanted(allow=[1.5]), lambda c: c.wanted(allow=[True]), lambda c: c.wanted(allow={"red": 1}),
    lambda c: c.wanted(allow=["9" * 5000]), lambda c: c.wanted(region="0123"), lambda c: c.wanted(region=b"\1\2\3\4"),
    lambda c: c.wanted(rotate=True), lambda c: c.wanted(rotate=45), lambda c: c.wanted(top_k=2.0),
    lambda c: c.stream("cat.jpg"), lambda c: c.stream(b"cat"), lambda c: c.stream(PICTURE), lambda c: c.stream(5),
    lambda c: c.stream([], max_bytes=NAN), lambda c: c.stream([], ahead=INF), lambda c: c.stream([], decoders=0)])
def test_what_was_taken_in_silence_or_broke_deep_inside_is_told_at_the_door(classifier, call):
    with pytest.raises(UsageError) as caught:
        call(classifier)
    assert " must be " in str(caught.value) or "no class is called" in str(caught.value)


@pytest.mark.parametrize("arguments", [
    {"supervised": "no"}, {"supervised": 0}, {"labels": [b"x", b"y", b"z"]}, {"labels": b"names.txt"},
    {"labels": {"red", "green", "blue"}}, {"on_event": 5}, {"threads": 0}, {"threads": True}, {"deadline_ms": "5"},
    {"deadline_ms": True}, {"mean": True, "std": 1}, {"mean": "1", "std": "2"}, {"mean": [1, 2], "std": [1, 2]},
    {"device": b"cpu"}, {"engine": 5}, {"fit": b"squash"}, {"max_pixels": NAN}, {"performance": 1}])
@pytest.mark.parametrize("kind", [Classifier, Pool])
def test_constructors_refuse_before_anything_opens(place, kind, arguments, monkeypatch):
    if kind is Pool:
        arguments = {{"device": "devices"}.get(name, name): value for name, value in arguments.items()}
    monkeypatch.setattr("coral_classify.classifier.classifier.open_first", lambda *_: pytest.fail("opened"))
    with pytest.raises(UsageError, match=" must be "):
        kind(place, **arguments)


def test_numbers_of_numpy_mean_what_they_say(classifier, place):
    wanted = classifier.wanted(np.int64(2), np.float32(0.25), np.array([2, 0]), None, np.array([0, 0, 4, 4.0]),
                               np.int16(90))
    assert wanted == (2, 0.25, [0, 2], (0.0, 0.0, 4.0, 4.0), 90)
    assert classifier.wanted(rotate=-90).rotate == 270 and classifier.wanted(rotate=450).rotate == 90
    with Classifier(place, device="cpu", threads=np.int8(1), mean=np.float32(1), std=np.array([2.0, 2.0, 2.0]),
                    labels=np.array(["a", "b", "c"])) as other:
        assert other.normalization[:2] == ((1.0,), (2.0, 2.0, 2.0)) and other.labels == ("a", "b", "c")
    batch = np.zeros((2, 8, 8, 3), np.uint8)
    assert [result.error for result in classifier.stream(batch)] == [None, None]


def test_every_public_function_is_in_the_table():
    functions = {name for name in coral_classify.__all__ if inspect.isfunction(getattr(coral_classify, name))}
    functions |= {name for name in coral_classify.zoo.__all__ if inspect.isfunction(getattr(coral_classify.zoo, name))}
    assert functions - {"names", "shown"} <= {name for name, _ in TABLE}
