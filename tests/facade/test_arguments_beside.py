"""Cameras, the doctor, owners of shared accelerators and the fakes for tests, with every odd value."""
from __future__ import annotations

import numpy as np
import pytest
from odd_values import accepted
from tflite_writer import colours

from coral_classify import Classifier, UsageError, doctor
from coral_classify.cameras import Synthetic, camera
from coral_classify.errors import CameraError, CoralClassifyError, DeviceError, ImageError, ModelError
from coral_classify.sharing import Owner, Stock
from coral_classify.testing import FakeSession, SimulatedDriver, write_pair
from coral_classify.watching import Steadiness

WHOLE = {"one", "five", "numpy int", "numpy uint8"}
POSITIVE = WHOLE | {"half", "a float", "fraction", "numpy float"}
LARGE = {"huge", "very huge"}
TEXT = {"numpy str", "text", "long", "digits", "surrogate"}
PIXELS = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.tflite"
    path.write_bytes(colours(labels=["red", "green", "blue"]))
    return path


@pytest.mark.parametrize("parameter, allowed", [
    ("name", set()), ("interval_s", POSITIVE | {"zero"}), ("stall_s", POSITIVE)])
def test_a_camera_is_named(parameter, allowed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = lambda **kw: camera(**dict({"name": "test"}, **kw))      # noqa: E731
    assert accepted(call, parameter, absent=CameraError, names=(parameter, "camera", "source")) <= allowed


@pytest.mark.parametrize("parameter, allowed", [
    ("size", set()), ("rate", POSITIVE | {"zero"}), ("count", WHOLE | LARGE | {"none", "zero"})])
def test_the_drawn_camera(parameter, allowed):
    assert accepted(lambda **kw: Synthetic(**kw), parameter) <= allowed


def test_a_size_has_two_sides():
    assert next(iter(Synthetic(size=np.array([64, 48]), rate=0))).picture().shape == (48, 64, 3)
    for size in ((64,), (64, 48, 3), (64.0, 48), (23, 48), (1 << 20, 48), "640x480"):
        with pytest.raises(UsageError, match="size must be"):
            Synthetic(size=size)


@pytest.mark.parametrize("parameter, allowed", [
    ("half_life_s", POSITIVE | {"zero"}), ("in_a_row", WHOLE | LARGE)])
def test_steadiness(parameter, allowed):
    assert accepted(lambda **kw: Steadiness(**kw).check(), parameter) <= allowed


@pytest.mark.parametrize("parameter, allowed, absent", [
    ("compiled", set(), ModelError), ("device", TEXT, ()), ("count", WHOLE | LARGE, ()),
    ("pictures", {"list", "tuple", "ints", "four", "floats", "bools", "nans", "nones", "byte texts", "byte labels",
                  "nested", "deep", "generator", "map", "set", "texts in a set", "range", "deque"}, ())])
def test_the_doctor_compares(place, parameter, allowed, absent):
    def call(**arguments):      # its twin is not there, which is a finding
        doctor.compare_with_twin(**dict({"compiled": place, "device": "cpu", "count": 1}, **arguments))
    assert accepted(call, parameter, absent=absent, without=("failing generator",)) <= allowed


@pytest.mark.parametrize("parameter, allowed", [("device", TEXT), ("most", WHOLE | LARGE)])
def test_a_stock_of_models(parameter, allowed):
    assert accepted(lambda **kw: Stock(**dict({"device": "cpu"}, **kw)).close(), parameter) <= allowed


@pytest.mark.parametrize("parameter", ["path", "stock", "group", "clients"])
def test_an_owner(parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(**arguments):
        said = dict({"path": str(tmp_path / "socket"), "stock": Stock("cpu")}, **arguments)
        owner = Owner(said.pop("path"), said.pop("stock"), **said)
        owner.stop()
        owner.run()
    allowed = {"path": {"numpy str", "text", "surrogate", "path"}, "stock": set(), "group": WHOLE | {"zero", "none"},
               "clients": {"none"}}
    assert accepted(call, parameter, absent=DeviceError) <= allowed[parameter]


@pytest.mark.parametrize("parameter, allowed", [
    ("answer", {"none", "lambda"}), ("input", {"none"}), ("output", {"none"}), ("device", TEXT),
    ("verbs", {"none", "dict"})])
def test_the_fake_session(parameter, allowed):
    # What a function of the caller's answers is the caller's.
    without = ("class", "lambda") if parameter == "answer" else ()
    assert accepted(lambda **kw: FakeSession(**kw), parameter, without=without) <= allowed


@pytest.mark.parametrize("parameter, allowed", [
    ("devices", {"empty"}), ("faults", {"empty"}), ("invoke_ms", POSITIVE | {"zero"}),
    ("twin", TEXT | {"none", "path"})])
def test_the_simulated_driver(parameter, allowed, monkeypatch, tmp_path):
    monkeypatch.setattr("coral_classify.testing.simulated.build_driver", lambda library: tmp_path)
    assert accepted(lambda **kw: SimulatedDriver(**kw).__exit__(), parameter) <= allowed


def test_faults_that_the_simulated_driver_does_not_know_are_told():
    for faults in ("abrot:2", "abort", "abort:x", "abort:2;hang:3"):
        with pytest.raises(UsageError, match="faults must be"):
            SimulatedDriver(faults=faults)
    with pytest.raises(UsageError, match="devices must be"):
        SimulatedDriver("usb,usbb")
    with pytest.raises(UsageError, match="folder must be"):
        write_pair(5)


def test_single_pictures_and_features(place, any_engine):
    with Classifier(place, device="cpu") as one:
        assert accepted(one.classify, "image", absent=ImageError) == {"picture"}
        assert accepted(one.embed, "image", absent=ImageError) == {"picture"}
        assert accepted(lambda unit: one.embed(PIXELS, unit=unit), "unit") <= {"true", "false", "numpy true"}
        assert accepted(lambda rotate: one.embed(PIXELS, rotate=rotate), "rotate") <= {"zero"}
        assert accepted(lambda region: one.embed(PIXELS, region=region), "region") <= {"none", "four"}
        assert accepted(one.input_tensors, "count") <= WHOLE | {"zero"}


def test_the_shared_accelerator_is_a_device_like_others(place, monkeypatch, tmp_path):
    monkeypatch.setenv("CORAL_CLASSIFY_SOCKET", str(tmp_path / "nobody"))
    for arguments in ({"device": "shared", "supervised": False}, {"device": "shared"}):
        with pytest.raises(CoralClassifyError) as caught:
            Classifier(place, **arguments)
        assert "\n" not in str(caught.value)
    for device in ("shared:0", "Shared", "shared ", b"shared"):
        with pytest.raises(UsageError, match="device must be"):
            Classifier(place, device=device)
