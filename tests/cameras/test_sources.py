"""The sources that need nothing further, the grammar of their names, and why one does not open."""
from __future__ import annotations

import errno
import itertools
import os
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from coral_classify import CameraError, UsageError
from coral_classify.cameras import Camera, Synthetic, camera, listed, v4l2
from coral_classify.cameras import picamera as raspberry
from coral_classify.cameras.network import Network
from coral_classify.cameras.stills import Folder, Still
from coral_classify.cameras.synthetic import drawn, stamp
from coral_classify.cameras.videos import Video


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "stills"
    made.mkdir()
    for name in ("b.png", "a.png", ".hidden.png"):
        Image.new("RGB", (16, 16), (0, 200, 0)).save(str(made / name))
    (made / "notes.txt").write_text("no picture")
    return made


def test_a_drawn_picture_carries_its_number_and_moves():
    first, later = drawn((640, 480), 0.0, 1), drawn((640, 480), 1.0, (1 << 24) - 1)
    assert first.shape == (480, 640, 3) and first.dtype == np.uint8
    assert (stamp(first), stamp(later)) == (1, (1 << 24) - 1)
    assert (first != later).any()


def test_the_drawn_camera_numbers_its_frames_and_ends_where_it_was_told():
    frames = list(Synthetic(rate=0, count=5))
    assert [stamp(frame.picture()) for frame in frames] == [1, 2, 3, 4, 5]
    assert [b.at_s > a.at_s for a, b in zip(frames, frames[1:])] == [True] * 4


def test_a_live_camera_ends_when_it_is_told_to():
    over = threading.Event()
    frames = Synthetic(rate=1000.0).frames(over)
    next(frames)
    over.set()
    assert list(frames) == []


@pytest.mark.parametrize("options", [{"size": (8, 8)}, {"rate": -1}])
def test_a_drawn_picture_has_room_for_its_number(options):
    with pytest.raises(UsageError):
        Synthetic(**options)


def test_the_pictures_of_a_folder_come_by_name_each_once(folder):
    frames = list(camera(folder, interval_s=0))
    assert [os.path.basename(frame.picture()) for frame in frames] == ["a.png", "b.png"]


def test_a_picture_file_is_looked_at_again_until_it_is_gone(folder):
    source = camera(folder / "a.png", interval_s=0.01)
    frames = iter(source)
    assert [os.path.basename(frame.picture()) for frame in itertools.islice(frames, 3)] == ["a.png"] * 3
    os.unlink(str(folder / "a.png"))
    with pytest.raises(CameraError, match="no such file"):
        next(frames)


def test_a_folder_without_pictures_says_so(tmp_path):
    with pytest.raises(CameraError, match="holds no pictures"):
        next(iter(camera(tmp_path)))


def test_names_mean_what_the_grammar_says(folder, tmp_path):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"")
    kinds = {"test": Synthetic, "picamera2": raspberry.Picamera, "v4l2:/dev/video2": v4l2.Webcam,
             "/dev/video0": v4l2.Webcam, "rtsp://host/stream": Network, "http://host/video": Network,
             str(folder): Folder, str(folder / "a.png"): Still, str(video): Video}
    for name, kind in kinds.items():
        assert isinstance(camera(name), kind) and isinstance(camera(name), Camera), name
    assert camera("rtsp://host/stream").live and not camera("http://host/clip.mp4?key=1").live


@pytest.mark.parametrize("name, error, message", [
    ("webcam", UsageError, "no source of that name"), ("foo://host", UsageError, "known are rtsp"),
    ("v4l2:video0", UsageError, "v4l2:/dev/video0"), ("none.mp4", CameraError, "no such file")])
def test_a_name_that_means_nothing_gets_the_grammar(name, error, message):
    with pytest.raises(error, match=message) as caught:
        camera(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"interval_s": -1}, {"stall_s": 0}, {"interval_s": float("nan")}])
def test_intervals_that_cannot_be_meant(options):
    with pytest.raises(UsageError):
        camera("test", **options)


def test_a_password_stands_in_no_name():
    assert camera("rtsp://user:p@ss@host:554/stream?a=b").name == "rtsp://host:554/stream?a=b"


# ---- nodes of Linux

def test_each_refusal_of_the_system_has_its_sentence(tmp_path):
    assert "no such device" in v4l2.trouble("/dev/video9", errno.ENOENT)
    assert "is busy" in v4l2.trouble("/dev/video9", errno.EBUSY)
    assert "no camera" in v4l2.trouble("/dev/null", errno.ENOTTY)
    assert v4l2.trouble("/dev/video9", errno.EIO) is None


def test_without_permission_the_group_that_grants_it_is_named(tmp_path):
    grp = pytest.importorskip("grp")
    node = tmp_path / "video0"
    node.write_bytes(b"")
    try:
        group = grp.getgrgid(os.stat(str(node)).st_gid).gr_name
    except KeyError:
        group = "video"
    assert "sudo usermod -aG %s $USER" % group in v4l2.trouble(str(node), errno.EACCES)


def test_whoever_has_the_node_open_is_named(tmp_path):
    fd = tmp_path / "4242" / "fd"
    fd.mkdir(parents=True)
    (tmp_path / "4242" / "comm").write_text("cheese\n")
    os.symlink("/dev/video7", str(fd / "3"))
    assert v4l2._holder("/dev/video7", str(tmp_path)) == "cheese (process 4242)"
    assert v4l2._holder("/dev/video8", str(tmp_path)) is None


def test_a_node_that_is_no_camera_is_listed_with_its_trouble(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / "video3").write_bytes(b"")
    (found,) = v4l2.nodes(str(tmp_path / "video*"))
    assert found.trouble == "is no camera" and not found.first_choice


def test_only_nodes_that_give_pictures_are_cameras(tmp_path, monkeypatch):
    for number in (0, 1, 10):
        (tmp_path / ("video%d" % number)).write_bytes(b"")
    answers = iter([("uvcvideo", "HD Webcam", 0x04200001), ("uvcvideo", "HD Webcam", 0x04a00000),
                    ("unicam", "unicam", 0x25200001)])
    monkeypatch.setattr(v4l2, "_asked", lambda handle: next(answers))
    found = v4l2.nodes(str(tmp_path / "video*"))
    assert [(os.path.basename(node.path), node.first_choice) for node in found] == [
        ("video0", True), ("video10", False)]


def test_the_first_camera_is_one_of_its_own(monkeypatch):
    part, whole = v4l2.Node("/dev/video0", "unicam", None, False), v4l2.Node("/dev/video4", "Webcam", None, True)
    monkeypatch.setattr(v4l2, "nodes", lambda: [part, whole])
    assert camera().name == "v4l2:/dev/video4"
    monkeypatch.setattr(raspberry, "load", no_picamera)
    monkeypatch.setattr(v4l2, "nodes", list)
    with pytest.raises(CameraError, match="no camera found; plug one in"):
        camera()
    monkeypatch.setattr(v4l2, "nodes", lambda: [v4l2.Node("/dev/video0", "?", "this user may not open it", False)])
    with pytest.raises(CameraError, match="v4l2:/dev/video0: this user may not open it"):
        camera()


def no_picamera():
    raise CameraError("picamera2: is not here")


def test_the_list_has_what_is_always_there(tmp_path):
    found = {one.name: one.trouble for one in listed(str(tmp_path / "video*"))}
    assert found["test"] is None and "picamera2" in found


# ---- picamera2

FAKE = """
import numpy as np
class Picamera2:
    def create_video_configuration(self, main): self.size = main["size"]; return main
    def configure(self, wanted): assert wanted["format"] == "BGR888"
    def start(self): pass
    def capture_array(self, name): return np.full((self.size[1], self.size[0], 3), 7, np.uint8)
    def close(self): closed.append(self)
closed = []
"""


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system's folder of packages that this Python does not look into."""
    made = tmp_path / "dist-packages"
    (made / "picamera2").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield made
    sys.modules.pop("picamera2", None)


def test_the_systems_picamera2_is_found_from_a_virtual_environment(system, monkeypatch):
    (system / "picamera2" / "__init__.py").write_text(FAKE)
    module = raspberry.load(str(system))
    assert sys.path[-1] == str(system), "what the environment has goes first"
    monkeypatch.setattr(raspberry, "load", lambda: module)
    frames = iter(raspberry.Picamera((32, 16)))
    assert next(frames).picture().shape == (16, 32, 3)
    frames.close()
    assert len(module.closed) == 1


def test_a_picamera2_for_another_python_says_which_one_to_use(system):
    (system / "picamera2" / "__init__.py").write_text("import libcamera_of_another_python")
    with pytest.raises(CameraError, match="--system-site-packages"):
        raspberry.load(str(system))
    assert str(system) not in sys.path and "picamera2" not in sys.modules


def test_without_picamera2_the_package_is_named(tmp_path):
    with pytest.raises(CameraError, match="sudo apt install python3-picamera2"):
        raspberry.load(str(tmp_path))


def test_no_camera_at_the_cable_is_said(system, monkeypatch):
    (system / "picamera2" / "__init__.py").write_text("class Picamera2:\n    def __init__(self): raise IndexError()\n")
    module = raspberry.load(str(system))
    monkeypatch.setattr(raspberry, "load", lambda: module)
    with pytest.raises(CameraError, match="no camera found; is its cable in"):
        next(iter(camera("picamera2")))
