"""The Edge TPU side against a simulated libedgetpu, under every engine that is installed.  Not tried on hardware."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from worker_tools import losses

from coral_classify import Classifier
from coral_classify.edgetpu import Device, Options, match
from coral_classify.edgetpu import driver as edgetpu
from coral_classify.engine.runtime import load_engine
from coral_classify.errors import DeviceError, UsageError

TWO_AND_ONE = [Device("usb", 0, "a"), Device("pci", 0, "b"), Device("usb", 1, "c")]


@pytest.mark.parametrize("name, expected", [
    ("auto", ["usb:0", "pci:0", "usb:1"]), ("usb", ["usb:0", "usb:1"]), ("usb:1", ["usb:1"]), ("usb:2", []),
    ("pci", ["pci:0"]), ("pci:0", ["pci:0"]), (":1", ["pci:0"]), (":3", [])])
def test_device_names_follow_the_grammar_of_pycoral(name, expected):
    assert [d.name for d in match(name, TWO_AND_ONE)] == expected


@pytest.mark.parametrize("name", ["", "tpu", "usb:", "usb:x", "usb:-1", "0", "cpu:0"])
def test_another_device_name_is_a_usage_error(name):
    with pytest.raises(UsageError, match="device must be"):
        match(name, TWO_AND_ONE)


@pytest.mark.parametrize("options, message", [
    (Options(performance="warp"), "performance"), (Options(usb_max_bulk_in_queue_length=256), "0 to 255")])
def test_options_that_the_driver_would_drop_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        options.check()


def test_options_are_spelled_as_the_driver_reads_them():
    assert Options("max", True, 8).pairs() == [
        ("Performance", "Max"), ("Usb.AlwaysDfu", "True"), ("Usb.MaxBulkInQueueLength", "8")]


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libedgetpu-that-is-not-there.so.1")
    with pytest.raises(DeviceError, match="install libedgetpu1-std") as caught:
        edgetpu.driver_devices()
    assert caught.value.cause == "no-library"


def test_a_library_that_is_none_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "libedgetpu.so.1"
    path.write_bytes(b"no library")
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(path))
    with pytest.raises(DeviceError):
        edgetpu.driver_devices()


def test_devices_are_listed(simulated, monkeypatch):
    monkeypatch.setenv("SIM_DEVICES", "usb,pci,usb")
    assert [(d.name, d.path) for d in edgetpu.driver_devices()] == [
        ("usb:0", "/sys/bus/usb/devices/2-0"), ("pci:0", "/dev/apex_1"), ("usb:1", "/sys/bus/usb/devices/2-2")]
    assert "RuntimeVersion(14)" in edgetpu.version()


@pytest.mark.parametrize("supervised", [True, False])
def test_a_compiled_model_runs_on_the_device_and_equals_its_twin(simulated, pair, engine, supervised):
    pixels = np.random.RandomState(3).randint(0, 256, (8, 8, 3)).astype(np.uint8)
    with Classifier(pair, engine=engine, supervised=supervised) as tpu, \
            Classifier(pair, device="cpu", engine=engine) as cpu:
        on_tpu, on_cpu = tpu.classify(pixels), cpu.classify(pixels)
    assert (on_tpu.device, on_cpu.device) == ("usb:0", "cpu")
    assert on_tpu.predictions == on_cpu.predictions
    assert on_tpu.device_reason == "an Edge TPU is attached"
    assert "colours.tflite is the CPU twin" in on_cpu.device_reason


def test_a_plain_model_takes_its_compiled_sibling_when_a_device_is_there(simulated, pair, any_engine):
    with Classifier(pair.with_name("colours.tflite")) as classifier:
        assert classifier.device == "usb:0"
        assert classifier.model == str(pair)


def test_a_busy_first_device_does_not_fail_while_a_second_is_free(simulated, pair, any_engine, monkeypatch):
    monkeypatch.setenv("SIM_DEVICES", "busy,usb")
    with Classifier(pair, device="usb", performance="max") as classifier:
        assert classifier.device == "usb:1"
    with pytest.raises(DeviceError, match="usb:0 .* another process has claimed it"):
        Classifier(pair, device="usb:0")


@pytest.mark.parametrize("state, cause, words", [
    ("busy", "busy", "Deadline exceeded: USB error -6 [ClaimInterface]"),
    ("denied", "no-permission", "Permission denied: USB error -3 [OpenDevice]"),
    ("gone", "gone", "Unavailable: USB error -4 [OpenDevice]"),
    ("leaves", "unplugged", "Unavailable: USB error -4 [ReadRegister32]"),
    ("slow", "low-speed", "Failed precondition: USB Low speed is not supported"),
    ("broken", "io-error", "Unknown: USB error -1 [GetDeviceDescriptor]"),
    ("corrupt", "bad-download", "Data loss: ValidateFirmware")])
def test_the_driver_s_own_reason_reaches_the_user(simulated, pair, any_engine, monkeypatch, capfd, state, cause, words):
    monkeypatch.setenv("SIM_DEVICES", state)
    with pytest.raises(DeviceError) as caught:
        Classifier(pair, device="usb")
    assert caught.value.cause == cause and words in str(caught.value) and words in caught.value.evidence
    assert "of this opening" not in str(caught.value) + caught.value.evidence, "that is chatter"
    assert words not in capfd.readouterr().err


def test_the_reason_of_each_device_is_found_among_two_hundred_lines(simulated, pair, any_engine, monkeypatch):
    monkeypatch.setenv("SIM_DEVICES", "slow,denied,broken,busy")
    with pytest.raises(DeviceError) as caught:
        Classifier(pair, device="usb")
    told = str(caught.value).split("; usb:")
    assert len(told) == 4
    for part, words in zip(told, ("USB Low speed", "USB error -3", "USB error -1", "USB error -6")):
        assert words in part
    assert caught.value.cause == "low-speed"


def test_where_nobody_can_listen_the_driver_s_silence_is_admitted(simulated, pair, any_engine, monkeypatch, capfd):
    monkeypatch.setenv("SIM_DEVICES", "denied")
    with pytest.raises(DeviceError, match="the driver gives no reason; coral-classify doctor --device usb:0"):
        Classifier(pair, device="usb", supervised=False)
    assert "I driver" not in capfd.readouterr().err


def test_the_simulated_driver_takes_the_real_one_s_seconds_at_any_scale(simulated, monkeypatch):
    monkeypatch.setenv("SIM_SECOND_MS", "4")
    for state, seconds in (("denied", 25), ("leaves", 8), ("dfu", 4), ("usb", 2), ("slow", 1)):
        monkeypatch.setenv("SIM_DEVICES", state)
        start = time.perf_counter()
        try:
            edgetpu.open_delegate("usb", Options()).close()
        except DeviceError:
            pass
        assert time.perf_counter() - start >= 0.004 * seconds


def test_what_the_driver_said_while_it_opened_is_no_reason_for_a_later_death(simulated, pair, any_engine, monkeypatch,
                                                                             green_pixels):
    monkeypatch.setenv("SIM_FAULTS", "segv:1")
    events = []
    with Classifier(pair, on_event=events.append) as classifier:
        result = classifier.classify(green_pixels)
    said = re.sub(r": qemu: .*?(?=;)", "", losses(events)[0].message)     # an emulator has a word of its own
    assert said == "usb:0 lost: the process that holds usb:0 crashed (SIGSEGV) during work; trying again at once"
    assert "SIGSEGV" in result.device_reason and "apex" not in result.device_reason


def test_two_models_on_one_device_and_one_on_each_of_two(simulated, pair, any_engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_DEVICES", "usb,usb")
    with Classifier(pair, device="usb:0") as a, Classifier(pair, device="usb:0") as b, \
            Classifier(pair, device="usb:1") as c:
        assert [x.classify(green_pixels).predictions[0].label for x in (a, b, c)] == ["green"] * 3
        assert [x.device for x in (a, b, c)] == ["usb:0", "usb:0", "usb:1"]


def test_without_a_device_the_twin_runs_and_says_why(simulated, pair, any_engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_DEVICES", "")
    with Classifier(pair) as classifier:
        result = classifier.classify(green_pixels)
    assert result.device == "cpu"
    assert "no Edge TPU is attached (the driver lists: none)" in result.device_reason


def test_without_a_device_and_without_a_twin_the_twin_is_named(simulated, pair, any_engine, monkeypatch):
    monkeypatch.setenv("SIM_DEVICES", "")
    pair.with_name("colours.tflite").unlink()
    with pytest.raises(DeviceError, match="CPU twin colours.tflite is missing"):
        Classifier(pair)


def test_devices_are_given_back(simulated, pair, any_engine):
    opened = edgetpu.library().sim_open_count
    before = opened()
    classifier = Classifier(pair, supervised=False)     # in this process, where it can be counted
    assert opened() == before + 1
    classifier.close()
    classifier.close()
    assert opened() == before


@pytest.mark.parametrize("supervised", [True, False])
def test_a_classifier_left_in_a_global_does_not_crash_the_exit(simulated, pair, engine, supervised):
    script = ("import sys, numpy as np\nfrom coral_classify import Classifier\n"
              "kept = Classifier(sys.argv[1], engine=sys.argv[2], supervised=%s, wait_for_device=True)\n"
              "session = kept._session\n"
              "interpreter = getattr(session, '_interpreter', None)\n"
              "print(kept.classify(np.zeros((8, 8, 3), np.uint8)).device)" % supervised)
    places = [str(REPOSITORY)] + [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    done = subprocess.run([sys.executable, "-c", script, str(pair), engine], stdout=subprocess.PIPE,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(places)))
    assert (done.returncode, done.stdout) == (0, b"usb:0\n")


def test_a_driver_that_aborts_loses_no_picture(simulated, pair, engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_FAULTS", "abort:*")
    with Classifier(pair, engine=engine) as classifier:
        results = [classifier.classify(green_pixels) for _ in range(5)]
    assert [r.predictions[0].label for r in results] == ["green"] * 5
    assert [r.device for r in results] == ["cpu"] * 5
    assert results[0].recovered


@pytest.mark.parametrize("supervised", [True, False])
def test_a_real_compiled_model_equals_its_twin(simulated, testdata, engine, supervised, monkeypatch):
    models = testdata / "models"
    twin = models / "mobilenet_v1_0.25_128_quant.tflite"
    monkeypatch.setenv("SIM_TWIN", str(twin))
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    with Classifier(models / "mobilenet_v1_0.25_128_quant_edgetpu.tflite", supervised=supervised) as tpu, \
            Classifier(twin, device="cpu") as cpu:
        for name in ("cat.bmp", "bird.bmp", "parrot.jpg"):
            on_tpu, on_cpu = (c.classify(testdata / "images" / name, top_k=1001) for c in (tpu, cpu))
            assert (on_tpu.device, on_tpu.recovered) == ("usb:0", False)
            assert on_tpu.predictions == on_cpu.predictions


def test_the_stock_loader_opens_the_simulated_library_too(simulated_library, pair, engine, monkeypatch):
    """Else the stand-in would not be a fair one.  In a process of its own, as it holds the GIL and may crash."""
    monkeypatch.setenv("SIM_ABI", "new")
    module = load_engine(engine).interpreter.__module__
    script = ("import sys, importlib, numpy as np\nm = importlib.import_module(%r)\n"
              "d = m.load_delegate(sys.argv[1], {'device': 'usb:0'})\n"
              "i = m.Interpreter(sys.argv[2], experimental_delegates=[d])\ni.allocate_tensors()\n"
              "i.set_tensor(i.get_input_details()[0]['index'], np.full((1, 8, 8, 3), 9, np.uint8))\ni.invoke()\n"
              "print(i.get_tensor(i.get_output_details()[0]['index']).ravel().tolist())\ndel i\ndel d\n" % module)
    done = subprocess.run([sys.executable, "-c", script, str(simulated_library), str(pair)], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"[9, 9, 9]\n")
