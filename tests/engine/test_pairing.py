"""A libedgetpu that crashes a runtime is found out in a process that may die, once, and then refused by name."""
from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from worker_tools import losses

from coral_classify import Classifier
from coral_classify.engine import pairing
from coral_classify.errors import DeviceError
from coral_classify.locations import home

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the trial needs POSIX processes")


@pytest.fixture
def old_library(simulated_library, tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_STATE", str(state))
    monkeypatch.setenv("SIM_RUNTIME", "13")

    def opened(what="opens"):
        return (state / what).stat().st_size if (state / what).exists() else 0
    return opened


@pytest.mark.parametrize("text, expected", [
    ("BuildLabel(x) RuntimeVersion(14)", True), ("RuntimeVersion(13)", False), ("", False)])
def test_what_is_proven(text, expected, monkeypatch):
    monkeypatch.setattr(pairing.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(pairing.sys, "platform", "linux")
    monkeypatch.setattr(pairing.sys, "maxsize", (1 << 63) - 1)
    assert pairing.proven(text) is expected
    monkeypatch.setattr(pairing.platform, "machine", lambda: "armv7l")
    assert not pairing.proven(text)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_crash_in_the_trial_is_an_answer_and_is_remembered(supervised, old_library, pair, engine, monkeypatch):
    monkeypatch.setenv("SIM_ABI", "2020")
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"libedgetpu \(.*RuntimeVersion\(13\)\) does not work with %s \d.*SIGSEGV"
                           % engine) as caught:
            Classifier(pair, device="usb", engine=engine, supervised=supervised)
        assert caught.value.cause == "pairing"
        assert old_library("trial-opens") == 2, "a crash must come twice, and the second refusal needs no trial"
    verdicts = json.loads((home() / "pairings.json").read_text())
    assert list(verdicts.values()) == ["a trial inference died of SIGSEGV"]


def test_auto_goes_on_on_the_twin_and_says_why(old_library, pair, any_engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_ABI", "2020")
    with Classifier(pair) as classifier:
        result = classifier.classify(green_pixels)
    assert result.device == "cpu" and "does not work with" in result.device_reason


def test_an_old_library_that_works_is_tried_once_and_used(old_library, pair, any_engine, green_pixels):
    for opens in (1, 2):
        with Classifier(pair, device="usb") as classifier:
            assert classifier.classify(green_pixels).device == "usb:0"
        assert (old_library(), old_library("trial-opens")) == (opens, 1)


def test_one_crash_by_accident_bans_no_device(old_library, pair, any_engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_FAULTS", "trial-segv:1")
    with Classifier(pair, device="usb") as classifier:
        assert classifier.classify(green_pixels).device == "usb:0"
    assert old_library("trial-opens") == 2
    assert list(json.loads((home() / "pairings.json").read_text()).values()) == ["works"]


def test_the_trial_spares_the_fault_meant_for_a_picture(old_library, pair, any_engine, monkeypatch, green_pixels):
    monkeypatch.setenv("SIM_FAULTS", "segv:1")
    events = []
    with Classifier(pair, on_event=events.append) as classifier:
        classifier.classify(green_pixels)
    assert "crashed (SIGSEGV) during work" in losses(events)[0].message


def test_another_library_file_is_tried_again(old_library, pair, any_engine, simulated_library, monkeypatch, tmp_path):
    with Classifier(pair, device="usb"):
        pass
    copy = tmp_path / "libedgetpu.so.1"
    copy.write_bytes(simulated_library.read_bytes())
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(copy))
    with Classifier(pair, device="usb"):
        pass
    assert (old_library(), old_library("trial-opens")) == (2, 2)


def test_a_busy_device_is_no_verdict(old_library, pair, any_engine, monkeypatch):
    monkeypatch.setenv("SIM_DEVICES", "busy")
    with pytest.raises(DeviceError, match="did not open") as caught:
        Classifier(pair, device="usb")
    assert caught.value.cause == "busy"     # by the driver's words
    assert not (home() / "pairings.json").exists()


def test_a_broken_memory_is_written_anew(old_library, pair, any_engine):
    home().mkdir(parents=True)
    (home() / "pairings.json").write_text("{ torn")
    with Classifier(pair, device="usb"):
        pass
    assert "works" in (home() / "pairings.json").read_text()


def test_the_trial_imports_nothing_that_lies_in_the_current_folder(old_library, pair, any_engine, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('must not be imported')\n")
    script = ("import json, os, sys\nsys.path[0] = sys.argv[2]\nfrom coral_classify import Classifier\n"
              "os.chdir(sys.argv[3])\n"
              "with Classifier(sys.argv[1], device='usb') as classifier: print(classifier.device)\n")
    done = subprocess.run([sys.executable, "-c", script, str(pair), str(REPOSITORY), str(tmp_path)],
                          stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"usb:0\n")
    assert list(json.loads((home() / "pairings.json").read_text()).values()) == ["works"]
