"""Video files and the network, with the real PyAV."""
from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from video_tools import SIZE, Server, av, write_video

from coral_classify import CameraError, Classifier
from coral_classify.cameras import camera, decoding
from coral_classify.cameras.synthetic import stamp
from coral_classify.pictures import prepare
from coral_classify.testing import FakeSession


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "short film.mp4", 30)


@pytest.fixture
def stream(tmp_path):
    return write_video(tmp_path / "stream.ts", 60, codec="mpeg2video").read_bytes()


def test_every_frame_of_a_video_comes_once_and_in_order(video):
    frames = list(camera(video))
    assert [stamp(frame.picture()) for frame in frames] == list(range(1, 31))
    assert frames[0].picture().shape == (SIZE[1], SIZE[0], 3)
    assert [round(frame.at_s * 30) for frame in frames] == list(range(30))


def test_a_classifier_answers_every_frame(video):
    with Classifier(FakeSession()) as classifier:
        results = list(classifier.watch(str(video)))
    assert [result.skipped for result in results] == [0] * 30 and not any(result.error for result in results)


def test_a_large_frame_is_made_small_before_it_is_made_rgb(tmp_path):
    """The answers are those of the whole frame, as near as those of a JPEG that is scaled while it is decoded."""
    frame = list(camera(write_video(tmp_path / "large.mp4", 2, size=(1280, 720))))[1]
    whole = prepare(frame.picture(), (224, 224))
    scaled = prepare(frame.scalable, (224, 224))
    assert scaled.source_size == (1280, 720) and scaled.decoded_size == (640, 720)
    assert np.abs(scaled.pixels.astype(int) - whole.pixels).mean() < 2
    assert (prepare(frame.scalable, (1280, 720)).pixels == frame.picture()).all()


def test_only_what_is_answered_with_its_picture_is_converted_whole(tmp_path, monkeypatch):
    video, whole = write_video(tmp_path / "large.mp4", 12, size=(1280, 720)), []
    monkeypatch.setattr(decoding, "_whole", lambda frame: whole.append(frame) or frame.to_ndarray(format="rgb24"))
    with Classifier(FakeSession()) as classifier:
        assert len(list(classifier.watch(str(video)))) == 12 and not whole
        results = list(classifier.watch(str(video), every_s=0.2, with_frames=True))
    assert [stamp(result.frame) for result in results] == [1, 7] and len(whole) == 2


def test_a_file_that_is_no_video_says_so(tmp_path):
    av()
    path = tmp_path / "letter.mp4"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(CameraError, match="is no video that FFmpeg knows"):
        next(iter(camera(path)))


def test_a_video_that_breaks_off_gives_what_there_is(tmp_path):
    path = write_video(tmp_path / "whole.ts", 60, codec="mpeg2video")
    path.write_bytes(path.read_bytes()[:-path.stat().st_size // 3])
    assert 10 < len(list(camera(path))) < 60


def test_sound_alone_is_no_video(tmp_path):
    module = av()
    path = tmp_path / "song.mkv"
    with module.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = module.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        for packet in itertools.chain(stream.encode(frame), stream.encode(None)):
            container.mux(packet)
    with pytest.raises(CameraError, match="holds no video"):
        next(iter(camera(path)))


def test_a_name_with_a_colon_is_no_address(tmp_path, monkeypatch):
    write_video(tmp_path / "concat:a.mp4", 3)
    monkeypatch.chdir(tmp_path)
    assert len(list(camera("concat:a.mp4"))) == 3


def test_no_node_no_camera():
    av()
    with pytest.raises(CameraError, match="v4l2:/dev/video99: no such device"):
        next(iter(camera("v4l2:/dev/video99")))


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux")
def test_a_node_of_another_kind_is_no_camera():
    av()
    with pytest.raises(CameraError, match="v4l2:/dev/null: is no camera"):
        next(iter(camera("v4l2:/dev/null")))


def test_nobody_at_the_address():
    av()
    with pytest.raises(CameraError, match="rtsp://127.0.0.1:9/x: does not open: Connection refused"):
        next(iter(camera("rtsp://user:secret@127.0.0.1:9/x")))


def test_a_stream_that_is_not_there_says_so(stream):
    with Server(stream, "refuse") as server, pytest.raises(CameraError, match="does not open|Not Found"):
        next(iter(camera(server.address)))


def test_a_stream_that_ends_and_one_that_stalls_are_opened_again(stream):
    events = []
    with Server(stream, "send", "hang", "send") as server, Classifier(FakeSession()) as classifier:
        answers = classifier.watch(camera(server.address, stall_s=1.0), every_frame=True, stall_s=2.0,
                                   on_event=events.append)
        for _ in answers:
            if server.connections >= 3 and len(events) >= 4:
                break
        answers.close()
    assert [event.kind for event in events][:4] == ["lost", "back", "lost", "back"]
    assert events[0].message.startswith("camera http://127.0.0.1:")
    assert "gave nothing for 1 s" in events[2].message or "gave no picture for 2 s" in events[2].message


def test_without_pyav_the_next_step_depends_on_the_python(monkeypatch):
    def missing(name):
        raise ImportError("No module named 'av'", name="av")

    monkeypatch.setattr(decoding.importlib, "import_module", missing)
    for version, words in (((3, 7, 17), "no wheels for Python 3.7; use Python 3.8 or newer"),
                           ((3, 11, 2), r"pip install 'coral_classify\[camera\]'")):
        monkeypatch.setattr(decoding.sys, "version_info", version)
        with pytest.raises(CameraError, match=words):
            decoding.load("video.mp4")
