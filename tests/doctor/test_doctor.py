"""The doctor, on boards laid out as files and on the simulated driver."""
from __future__ import annotations

import json

import pytest
from boards import DFU, PI5, lay, machine, pcie, process, stick
from tflite_writer import colours

from coral_classify.cli import main
from coral_classify.doctor import checks as doctor
from coral_classify.doctor.checks import examine
from coral_classify.doctor.trials import compare_with_twin
from coral_classify.modelfiles import passports


@pytest.fixture
def driver(simulated_library, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    return lambda listed: monkeypatch.setenv("SIM_DEVICES", listed)


def found(system, name):
    return [check for check in examine(system=system).checks if check.name == name]


def test_a_healthy_stick(driver, tmp_path, any_engine):
    driver("usb@/sys/bus/usb/devices/2-1")
    stick(tmp_path)
    findings = examine(system=machine(tmp_path))
    assert [(c.name, c.status) for c in findings.checks] == [
        ("python", "ok"), ("engine", "ok"), ("driver", "ok"), ("accelerator", "ok"), ("link", "ok")]
    assert not findings.works, "another machine's files are looked at, and nothing is tried"


@pytest.mark.parametrize("lay_out, listed, name, status, words, command", [
    (lambda root: stick(root, speed=480), "usb@/sys/bus/usb/devices/2-1", "link", "warning", "expect 10 ms", "USB 3"),
    (lambda root: stick(root, ids=DFU), "usb@/sys/bus/usb/devices/2-1", "firmware", "ok", "about 4 s", ""),
    (lambda root: process(root, 77, "motion", stick(root)), "usb@/sys/bus/usb/devices/2-1", "busy", "warning",
     "usb:0 is open", "another device"),
    (lambda root: pcie(root, temp="91000"), "pci@/dev/apex_0", "temperature", "warning", "91.0 °C and lowers", "air"),
    (lambda root: pcie(root, temp="50000"), "pci@/dev/apex_0", "temperature", "ok", "50.0 °C", ""),
    (lambda root: pcie(root, temp="-87900"), "pci@/dev/apex_0", "chip", "problem", "does not answer", "reboot"),
    (lambda root: pcie(root, node=False), "", "accelerator", "problem", "gasket", "gasket-dkms"),
    (lambda root: lay(root, {"/run/.containerenv": ""}), "", "accelerator", "problem", "this is a container", "lsusb"),
    (lambda root: lay(root, {"/var/lib/dpkg/info/libedgetpu1-max:arm64.list": ""}), "", "driver", "warning",
     "maximum clock", "libedgetpu1-std"),
])
def test_what_the_files_tell(driver, tmp_path, lay_out, listed, name, status, words, command):
    driver(listed)
    lay_out(tmp_path)
    check, = found(machine(tmp_path), name)
    assert check.status == status and words in check.cause and command in check.command


def test_a_locked_node(driver, tmp_path):
    driver("usb@/sys/bus/usb/devices/2-1")
    node = stick(tmp_path)
    check, = found(machine(tmp_path, allowed=False), "permission")
    assert check.status == "problem" and node in check.evidence
    assert '"1a6e"' in check.command and '"18d1"' in check.command


def test_a_pi_5_with_large_pages(driver, tmp_path, monkeypatch):
    driver("")
    lay(tmp_path, {"/proc/device-tree/model": PI5})
    pcie(tmp_path)
    monkeypatch.setattr(doctor, "_page_size", lambda: 16384)
    check, = found(machine(tmp_path), "page size")
    assert "16384" in check.cause and "kernel=kernel8.img" in check.command
    monkeypatch.setattr(doctor, "_page_size", lambda: 4096)
    assert not found(machine(tmp_path), "page size")


def test_a_32_bit_python_on_a_64_bit_kernel(driver, tmp_path, monkeypatch):
    driver("")
    monkeypatch.setattr(doctor, "narrow_user_land", lambda machine: True)
    check, = found(machine(tmp_path), "python")
    assert check.status == "ok" and "on a 64-bit kernel" in check.cause, "it has an engine"
    monkeypatch.setattr(doctor, "advice", lambda *facts: "no TFLite runtime is published for it: take another")
    check, = found(machine(tmp_path), "python")
    assert check.status == "warning" and "no TFLite runtime" in check.cause and check.command == "take another"


@pytest.mark.parametrize("files, status, command", [
    (["utils/edgetpu.py"], "ok", ""), (["algorithm.py"], "warning", "pip uninstall pycoral")])
def test_which_pycoral_it_is(driver, tmp_path, monkeypatch, files, status, command):
    driver("")
    lay(tmp_path, {"/site/pycoral/" + name: "" for name in files + ["__init__.py"]})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    check, = found(machine(tmp_path), "pycoral")
    assert (check.status, check.command) == (status, command)


def test_an_engine_that_numpy_2_breaks(driver, tmp_path, monkeypatch):
    from coral_classify.errors import EngineNotFound

    def broken():
        raise EngineNotFound("this tflite-runtime was built for NumPy 1 and cannot run under NumPy 2.0")
    driver("")
    monkeypatch.setattr(doctor, "load_engine", broken)
    check, = found(machine(tmp_path), "engine")
    assert check.status == "problem" and check.command == "pip install 'numpy<2'"


def test_no_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libedgetpu-that-is-not-there.so.1")
    check, = found(machine(tmp_path), "driver")
    assert check.status == "problem" and check.command == "sudo apt install libedgetpu1-std"


def test_a_classification_on_the_device_is_what_counts(driver, pair, engine, monkeypatch, capsys):
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    driver("usb")
    assert main(["doctor", "--model", str(pair)]) == 0
    out = capsys.readouterr().out
    assert "colours_edgetpu.tflite classified on usb:0" in out
    assert "agree (same class on 20 of 20 pictures, largest score difference 0.000)" in out
    assert main(["doctor", "--model", str(pair.with_name("colours.tflite")), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["works"] is True
    assert set(answer["checks"][0]) == {"name", "status", "cause", "evidence", "command"}


@pytest.mark.parametrize("listed, faults, words", [
    ("", "", "there is no Edge TPU"), ("busy", "", "another process has claimed it"),
    ("usb", "abort:3", "USB transfer error"),
    ("usb", "open-abort:1", "aborted (SIGABRT)"), ("denied", "", "this user may not open it"),
    ("slow", "", "low speed"), ("corrupt", "", "arrived corrupted"), ("gone", "", "pulled out")])
def test_what_does_not_work_gives_exit_code_1_and_a_reason(driver, pair, any_engine, monkeypatch, capsys, listed,
                                                           faults, words):
    driver(listed)
    monkeypatch.setenv("SIM_FAULTS", faults)
    assert main(["doctor", "--model", str(pair)]) == 1
    last = capsys.readouterr().out.split("problem  classification")[1]
    assert words in last and "mend:" in last
    assert "in the background" not in last and (not listed or "coral-classify doctor" not in last), "this is the doctor"


def test_a_driver_that_does_not_fit_the_runtime_is_no_matter_of_cables(driver, pair, any_engine, monkeypatch, capsys):
    driver("usb")
    monkeypatch.setenv("SIM_RUNTIME", "13")
    monkeypatch.setenv("SIM_ABI", "2020")
    assert main(["doctor", "--model", str(pair)]) == 1
    last = capsys.readouterr().out.split("problem  classification")[1]
    assert "does not work with" in last and "--only-upgrade libedgetpu1-std" in last.split("mend:")[1]
    assert "cable" not in last and "replug" not in last


@pytest.mark.parametrize("content, words", [
    (None, "no such file"), (b"", "the file is empty"), (b"text", "not a TFLite")])
def test_a_broken_model_does_not_hide_the_other_findings(driver, tmp_path, any_engine, capsys, content, words):
    driver("usb")
    path = tmp_path / "odd_edgetpu.tflite"
    if content is not None:
        path.write_bytes(content)
    assert main(["doctor", "--model", str(path)]) == 1
    out = capsys.readouterr().out
    assert "attached: usb:0" in out and words in out.split("problem  classification")[1]


def test_a_device_lost_during_the_comparison_does_not_hide_the_other_findings(driver, pair, any_engine, tmp_path,
                                                                              monkeypatch, capfd):
    driver("usb")
    monkeypatch.setenv("SIM_STATE", str(tmp_path))
    monkeypatch.setenv("SIM_FAULTS", "abort:30")
    assert main(["doctor", "--model", str(pair)]) == 0
    captured = capfd.readouterr()
    assert "classified on usb:0" in captured.out and "aborted (SIGABRT)" in captured.out.split("problem  twin")[1]
    assert "lost" not in captured.err, "it is among the findings"


def test_without_a_compiled_model_nothing_is_claimed(driver, capsys, any_engine):
    driver("usb")
    assert main(["doctor"]) == 1
    assert "no compiled model is at hand" in capsys.readouterr().out


def test_the_cpu_alone_on_request(capsys, any_engine):
    assert main(["doctor", "--device", "cpu"]) == 0
    assert "classified on the CPU, as asked" in capsys.readouterr().out


def test_wrong_usage(capsys):
    assert main(["doctor", "--device", "tpu"]) == 2
    assert "device must be" in capsys.readouterr().err


def test_a_twin_that_is_another_network_is_found(driver, pair, any_engine):
    driver("usb")
    twin = pair.with_name("colours.tflite")
    twin.write_bytes(colours(maximum=True, labels=["red", "green", "blue"]))
    check = compare_with_twin(pair, "usb")
    assert check.status == "problem" and "do not agree" in check.cause
    twin.unlink()
    assert compare_with_twin(pair, "usb").status == "warning"


def test_speed_is_judged_against_the_published_table(driver, pair, any_engine, monkeypatch):
    driver("usb")
    entry = passports.load_manifest()[0]._replace(latency_ms={"usb_accelerator": 40.0, "dev_board": 40.0})
    monkeypatch.setattr(passports, "by_file", lambda path, content_id="": entry)
    assert examine(str(pair)).checks[-2].name == "speed"
    assert examine(str(pair)).checks[-2].status == "ok"
    monkeypatch.setenv("SIM_INVOKE_MS", "90")
    slow = examine(str(pair)).checks[-2]
    assert slow.status == "warning" and "published 40.0 ms" in slow.evidence
