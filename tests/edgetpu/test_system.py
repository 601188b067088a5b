"""What is found on boards laid out as files, and the reasons told from it."""
from __future__ import annotations

import dataclasses
import json
import os

import pytest
from boards import DEV_BOARD, DFU, PI4, lay, machine, pcie, process, stick

from coral_classify import AcceleratorRecord, list_devices
from coral_classify.cli import main
from coral_classify.edgetpu import Options, System, reasons
from coral_classify.edgetpu import driver as edgetpu
from coral_classify.errors import DeviceError


@pytest.fixture
def driver(simulated_library, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    return lambda listed: monkeypatch.setenv("SIM_DEVICES", listed)


def refusal(device, system):
    with pytest.raises(DeviceError) as caught:
        edgetpu.open_delegate(device, Options(), system)
    return caught.value


def test_a_pi_with_two_sticks(tmp_path):
    lay(tmp_path, {"/proc/device-tree/model": PI4})
    stick(tmp_path)
    stick(tmp_path, "1-1.3", ids=DFU, speed=480, bus=1, number=12)
    system = machine(tmp_path)
    assert system.board() == "Raspberry Pi 4 Model B Rev 1.2"
    assert [(s.path, s.node, s.link_speed, s.initialised) for s in system.usb_sticks()] == [
        ("/sys/bus/usb/devices/1-1.3", "/dev/bus/usb/001/012", 480, False),
        ("/sys/bus/usb/devices/2-1", "/dev/bus/usb/002/003", 5000, True)]
    assert system.container() is None and system.pci_chips() == []


def test_a_dev_board(tmp_path):
    lay(tmp_path, {"/proc/device-tree/model": DEV_BOARD})
    pcie(tmp_path)
    chip, = machine(tmp_path).pci_chips()
    assert chip == ("/dev/apex_0", "/dev/apex_0", 45.25, [85.0, 90.0, 95.0])
    assert machine(tmp_path).apex_driver()


def test_what_the_driver_lists_is_joined_with_what_the_system_shows(driver, tmp_path):
    driver("usb@/sys/bus/usb/devices/2-1,pci,usb@/sys/bus/usb/devices/1-1,usb@/virtual")
    stick(tmp_path)
    node = stick(tmp_path, "1-1", ids=DFU, speed=480, bus=1, number=2)
    pcie(tmp_path, 1)
    process(tmp_path, 4711, "frigate", "/dev/apex_1")
    assert list_devices(machine(tmp_path)) == [
        AcceleratorRecord("usb", 0, "/sys/bus/usb/devices/2-1", "ready", 5000, None),   # every process was looked at
        AcceleratorRecord("pci", 0, "/dev/apex_1", "busy", None, 45.25, "frigate (process 4711)"),
        AcceleratorRecord("usb", 1, "/sys/bus/usb/devices/1-1", "not initialised", 480, None),
        AcceleratorRecord("usb", 2, "/virtual", "attached", None, None)]
    locked = list_devices(machine(tmp_path, allowed=False))
    assert [record.state for record in locked] == ["no permission", "no permission", "no permission", "attached"]
    assert node in locked[2].note


def test_ready_is_said_only_where_every_process_was_looked_at(driver, tmp_path, monkeypatch):
    driver("usb@/sys/bus/usb/devices/2-1")
    stick(tmp_path)
    assert [record.state for record in list_devices(machine(tmp_path))] == ["attached"], "no process was seen"
    process(tmp_path, 4711, "frigate", "/dev/null")
    assert [record.state for record in list_devices(machine(tmp_path))] == ["ready"]
    may = os.access     # root may read all; others may not
    monkeypatch.setattr(os, "access", lambda path, mode: "4711" not in str(path) and may(path, mode))
    assert [record.state for record in list_devices(machine(tmp_path))] == ["attached"]


def test_a_lost_pcie_chip_is_known_by_its_temperature(driver, tmp_path):
    driver("pci")
    pcie(tmp_path, temp="-87900")
    record, = list_devices(machine(tmp_path))
    assert (record.state, record.temperature, record.note) == ("lost", None, "it reports -87.9 °C")


def test_without_the_driver_the_system_s_own_list_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libedgetpu-that-is-not-there.so.1")
    stick(tmp_path)
    pcie(tmp_path)
    assert [(r.name, r.path) for r in list_devices(machine(tmp_path))] == [
        ("usb:0", "/sys/bus/usb/devices/2-1"), ("pci:0", "/dev/apex_0")]


@pytest.mark.parametrize("text, cause, words", [
    ("libedgetpu.so.1: cannot open shared object file: No such file or directory", "no-library", "libedgetpu1-std"),
    ("libusb-1.0.so.0: cannot open shared object file: No such file or directory", "no-libusb",
     "sudo apt install libusb-1.0-0"),
    ("/usr/lib/libstdc++.so.6: version `GLIBCXX_3.4.22' not found (required by libedgetpu.so.1)", "old-system",
     "built for a newer system"),
    ("libedgetpu.so.1: file too short", "broken-library", "install libedgetpu1-std again")])
def test_a_library_that_does_not_load(text, cause, words):
    error = reasons.no_library(text)
    assert error.cause == cause and words in str(error) and text in str(error)


def test_nothing_attached(driver, tmp_path):
    driver("")
    error = refusal("usb", machine(tmp_path))
    assert error.cause == "no-device" and "check cable and power, then: lsusb" in str(error)
    assert "lspci" not in str(error)
    board = str(refusal("pci", machine(tmp_path)))
    assert "lspci -nn | grep 1ac1:089a" in board and "lsusb" not in board and "18d1" not in board
    either = str(refusal("auto", machine(tmp_path)))
    assert "lsusb" in either and "lspci" in either


def test_a_wrong_index_names_what_is_there(driver, tmp_path):
    driver("usb")
    error = refusal("usb:1", machine(tmp_path))
    assert "no Edge TPU usb:1 is attached (the driver lists: usb:0)" in str(error)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_pcie_chip_without_its_kernel_driver(driver, tmp_path, loaded):
    driver("")
    pcie(tmp_path, node=False, driver=loaded)
    error = refusal("auto", machine(tmp_path))
    assert error.cause == "no-pcie-driver" and "sudo apt install gasket-dkms" in str(error)
    assert ("is loaded" if loaded else "is not loaded") in str(error)


def test_a_container_without_the_node(driver, tmp_path):
    driver("")
    lay(tmp_path, {"/.dockerenv": ""})
    assert "--device /dev/bus/usb --device-cgroup-rule 'c 189:* rwm'" in str(refusal("auto", machine(tmp_path)))
    stick(tmp_path, node=False)
    error = refusal("auto", machine(tmp_path))
    assert error.cause == "no-node" and "its node /dev/bus/usb/002/003 is missing; the container" in str(error)


def test_no_permission_is_found_before_the_driver_spends_its_25_seconds(driver, tmp_path, monkeypatch):
    driver("usb@/sys/bus/usb/devices/2-1")
    monkeypatch.setenv("SIM_FAULTS", "open-hang:*")      # the driver must not even be asked
    node = stick(tmp_path)
    lay(tmp_path, {"/etc/group": "root:x:0:\nplugdev:x:46:\n"})
    error = refusal("usb", machine(tmp_path, allowed=False))
    assert error.cause == "no-permission"
    for part in (node, "group root, mode", 'ATTRS{idVendor}=="1a6e"', 'ATTRS{idVendor}=="18d1"', "usermod -aG plugdev"):
        assert part in str(error)


def test_no_permission_on_pcie(driver, tmp_path):
    driver("pci")
    pcie(tmp_path)
    error = refusal("pci", machine(tmp_path, allowed=False))
    assert error.cause == "no-permission" and "usermod -aG apex" in str(error)


def test_a_locked_first_device_does_not_stop_a_free_second(driver, tmp_path):
    driver("usb@/sys/bus/usb/devices/2-1,usb@/virtual")
    stick(tmp_path)
    delegate = edgetpu.open_delegate("usb", Options(), machine(tmp_path, allowed=False))
    assert delegate.device == "usb:1"
    delegate.close()


def test_busy_names_the_process(driver, tmp_path):
    driver("busy@/sys/bus/usb/devices/2-1")
    process(tmp_path, 4711, "frigate", stick(tmp_path))
    error = refusal("usb", machine(tmp_path))
    assert error.cause == "busy" and "in use by another process: frigate (process 4711)" in str(error)


def test_a_stick_that_stays_in_dfu_state(driver, tmp_path, monkeypatch):
    driver("dfu@/sys/bus/usb/devices/2-1")
    monkeypatch.setenv("SIM_FAULTS", "open-fail:*")
    stick(tmp_path, ids=DFU)
    error = refusal("usb", machine(tmp_path))
    assert error.cause == "not-initialised" and "DFU state (1a6e:089a" in str(error)
    said = reasons.with_words(error, ["Failed to open device [Apex (USB)] at [/sys/bus/usb/devices/2-1]: Data loss: "
                                      "ValidateFirmware"])
    assert said.cause == "bad-download" and "arrived corrupted" in str(said)


def test_two_reasons_are_both_told(driver, tmp_path):
    driver("busy@/a,busy@/b")
    assert str(refusal("usb", machine(tmp_path))).count("did not open") == 2


OPEN = "Failed to open device [Apex (USB)] at [/a]: "
AT_WORK = "F driver/usb/usb_driver.cc:857] transfer on tag 0 failed. "


def silent(name="usb:0", path="/a"):
    """The error of a process that asked for a device, before anybody has read the driver's words."""
    return reasons.not_opened(name, path, None, System("/nowhere"))


@pytest.mark.parametrize("words, cause, sentence, command", [
    ("Deadline exceeded: USB error -6 [ClaimInterface]", "busy", "another process has claimed it", "fuser"),
    ("Permission denied: USB error -3 [OpenDevice]", "no-permission", "this user may not open it", "99-edgetpu"),
    ("Unavailable: USB error -4 [OpenDevice]", "gone", "it was pulled out before it could be opened", "lsusb"),
    ("Unavailable: USB error -4 [ReadRegister32]", "unplugged", "it was pulled out while it was being", "lsusb"),
    ("Failed precondition: USB Low speed is not supported", "low-speed", "link came up at low speed", "lsusb -t"),
    ("Unknown: USB error -1 [GetDeviceDescriptor]", "io-error", "every transfer with an I/O error", "dmesg"),
    ("Data loss: ValidateFirmware", "bad-download", "arrived corrupted", "replug"),
])
def test_one_line_among_sixty_of_the_driver_s_tells_the_reason(words, cause, sentence, command):
    assert silent().cause == "not-opened" and "the driver gives no reason" in str(silent())
    chatter = ["I driver/usb/usb_driver.cc:%d] a step of this opening" % i for i in range(60)]
    told = reasons.with_words(silent(), chatter + ["I driver/driver_wrapper.cc:70] " + OPEN + words] + chatter[:3])
    assert told.cause == cause and sentence in str(told) and words in str(told)
    assert command in str(told) and command in reasons.MENDS[cause]
    assert "a step of" not in str(told) + told.evidence and "gives no reason" not in str(told)
    assert "gives no reason" in str(reasons.with_words(silent(), chatter))


def test_words_that_nobody_knows_are_passed_on():
    told = reasons.with_words(silent(), [OPEN + "Aborted: overheated"])
    assert told.cause == "not-opened" and str(told).endswith("the driver says: Aborted: overheated")


def test_each_device_gets_its_own_reason():
    both = DeviceError("%s; %s" % (silent(), silent("usb:1", "/b")), cause="not-opened", evidence="/a\n/b")
    told = str(reasons.with_words(both, [OPEN + "Permission denied: USB error -3 [OpenDevice]",
                                         OPEN.replace("/a", "/b") + "Data loss: ValidateFirmware"]))
    first, second = told.split("; usb:1 ")
    assert "this user may not open it" in first and "arrived corrupted" in second


@pytest.mark.parametrize("words, cause, sentence", [
    ("Abort. Not found: USB transfer error 5 [LibUsbDataOutCallback]", "unplugged", "the device was pulled out"),
    ("Abort. Unavailable: USB error -4 [AsyncBulkOutTransfer]", "unplugged", "the device was pulled out"),
    ("Abort. Invalid argument: USB transfer error 4 [LibUsbDataOutCallback]", "stalled", "stalled a transfer"),
    ("Data loss: USB transfer error 6", "overflow", "sent more than"),
    ("Abort. Deadline exceeded: USB transfer error 2", "timed-out", "did not answer a transfer in time"),
    ("Abort. Something new", "crashed", "the process that holds usb:0 aborted"),
])
def test_a_death_at_work_is_called_by_its_cause(words, cause, sentence):
    lost = reasons.death("the process that holds usb:0 aborted (SIGABRT) during work",
                         ["INFO: of the runtime", AT_WORK + words, "I driver/usb/usb_driver.cc:9] chatter"])
    assert lost.cause == cause and str(lost).startswith(sentence if cause == "crashed" else "the device ")
    assert sentence in str(lost) and words in str(lost)
    assert str(reasons.death("it ended", ["INFO: of the runtime", "I a.cc:1] chatter"])) == "it ended"


def test_a_model_for_a_newer_driver():
    text = "Package requires runtime version (14), which is newer than this runtime version (13)."
    error = reasons.refused_model("usb:0", "RuntimeVersion(13)", "ai-edge-litert 2.1", text)
    assert error.cause == "runtime-version" and "--only-upgrade libedgetpu1-std" in str(error) and text in str(error)
    odd = "Internal: Unsupported data type in custom op handler: 0Node number 1 (EdgeTpuDelegateForCustomOp) failed"
    assert reasons.refused_model("usb:0", "RuntimeVersion(12)", "ai-edge-litert 2.1", odd).cause == "pairing"
    assert reasons.refused_model("usb:0", "x", "y", "other").cause == "refused"


def test_the_command_line_lists_them(driver, capsys):
    driver("usb@/virtual,pci@/other")
    assert main(["devices"]) == 0
    assert capsys.readouterr().out == "usb:0   /virtual  attached\npci:0   /other  attached\n"
    assert main(["devices", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == dict(dataclasses.asdict(list_devices()[0]), device="usb:0")
    assert set(first) == {"device", "type", "index", "path", "state", "link_speed", "temperature", "note"}


def test_the_command_line_without_devices_or_driver(driver, capsys, monkeypatch):
    driver("")
    assert main(["devices"]) == 0
    assert "coral-classify doctor says why" in capsys.readouterr().err
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libedgetpu-that-is-not-there.so.1")
    assert main(["devices"]) == 1
    assert "install libedgetpu1-std" in capsys.readouterr().err
