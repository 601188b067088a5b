"""The simulated driver as users have it for their own tests."""
from __future__ import annotations

import os

import numpy as np
import pytest

from coral_classify import Classifier
from coral_classify.errors import DeviceLost, EngineNotFound
from coral_classify.testing import SimulatedDriver, write_pair


def test_a_pulled_stick_costs_no_picture_and_a_plugged_one_is_found(tmp_path, green_pixels, any_engine):
    with SimulatedDriver("usb") as driver:
        with Classifier(write_pair(tmp_path), device="usb:0", on_device_loss="raise") as classifier:
            assert classifier.classify(green_pixels).device == "usb:0"
            driver.pull()
            with pytest.raises(DeviceLost):
                classifier.classify(green_pixels)
        driver.attach("usb")
        with Classifier(write_pair(tmp_path), device="usb:0") as classifier:
            assert classifier.classify(green_pixels).predictions[0].label == "green"
        assert driver.inferences >= 3 and driver.openings >= 2


def test_a_fault_is_met_when_it_was_ordered(tmp_path, green_pixels, any_engine):
    with SimulatedDriver("usb", faults="abort:2") as driver:
        with Classifier(write_pair(tmp_path), device="usb:0") as classifier:
            assert [classifier.classify(green_pixels).recovered for _ in range(2)] == [False, True]
        assert driver.inferences >= 2


def test_the_environment_is_as_before_afterwards(tmp_path):
    before = dict(os.environ)
    with SimulatedDriver("usb", invoke_ms=0.5):
        assert os.environ["SIM_INVOKE_MS"] == "0.5"
    assert dict(os.environ) == before


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EngineNotFound, match="apt install gcc"):
        SimulatedDriver()


def test_the_pair_is_one_network(tmp_path, any_engine):
    with Classifier(write_pair(tmp_path, labels=["r", "g", "b"]), device="cpu") as classifier:
        assert classifier.classify(np.full((8, 8, 3), (0, 9, 0), np.uint8)).predictions[0].label == "g"
