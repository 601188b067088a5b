"""A classifier in the actors of Ray Data: first without Ray, then on a real cluster of this machine."""
from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from board_server import Server
from conftest import REPOSITORY, heavy
from PIL import Image
from worker_tools import MARK, marked, new_mark

from coral_classify import CoralClassifyError, ModelError, UsageError
from coral_classify.engine.runtime import open_session
from coral_classify.modelfiles.modelfile import read_model
from coral_classify.ray import RayClassifier

COLOURS = {"red": (200, 10, 30), "green": (10, 200, 30), "blue": (10, 30, 200)}


@pytest.fixture
def folder(tmp_path):
    """Sixty pictures of three colours, and three files that are none."""
    made = tmp_path / "pictures"
    made.mkdir()
    for number in range(60):
        name, colour = list(COLOURS.items())[number % 3]
        Image.new("RGB", (32, 24), colour).save(str(made / ("%02d-%s.png" % (number, name))))
    (made / "torn.png").write_bytes((made / "00-red.png").read_bytes()[:40])
    (made / "empty.jpg").write_bytes(b"")
    (made / "zeros.jpg").write_bytes(bytes(1000))
    return made


# ---- an actor alone

@pytest.fixture
def actor(model, any_engine):
    heavy("pyarrow")
    return RayClassifier(str(model), device="cpu", top_k=2)


def test_a_row_for_each_picture_in_the_order_of_the_batch(actor, folder):
    paths = sorted(str(path) for path in folder.iterdir())
    for batch in ({"bytes": np.array([Path(path).read_bytes() for path in paths], object),
                   "path": np.array(paths)}, {"path": np.array(paths)}):
        rows = actor(batch).to_pylist()
        assert [row["path"] for row in rows] == paths
        for row in rows:
            name = Path(row["path"]).stem.partition("-")[2]
            if name:
                assert row["label"] == name and row["error"] is None and row["device"] == "cpu"
                assert row["labels"][0] == name and len(row["scores"]) == len(row["class_ids"]) == 2
                assert row["score"] == row["scores"][0] and row["class_id"] == row["class_ids"][0]
            else:
                assert row["error"] and row["label"] is None and row["labels"] == []


def test_pixels_are_pictures_too(actor):
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    pixels[:] = np.array(list(COLOURS.values()), np.uint8)[:, None, None, :]
    rows = actor({"image": pixels}).to_pylist()
    assert [row["label"] for row in rows] == list(COLOURS) and rows[0]["path"] is None


def test_what_is_missing_or_no_picture_is_a_row_with_an_error(actor):
    cells = np.empty(5, object)
    cells[:] = [None, float("nan"), b"", 7, b"no picture"]
    rows = actor({"bytes": cells}).to_pylist()
    assert len(rows) == 5 and all(row["error"] for row in rows)
    assert actor({"path": np.array(["/does/not/exist.jpg", "a\0b"])}).to_pylist()[1]["error"]
    assert actor({"bytes": np.array([], object)}).num_rows == 0


def test_every_batch_has_the_same_columns_of_the_same_types(actor, folder):
    good, bad = [(folder / name).read_bytes() for name in ("00-red.png", "torn.png")]
    schemas = [actor({"bytes": [cell]}).schema for cell in (good, bad)] + [actor({"bytes": []}).schema]
    assert schemas[0] == schemas[1] == schemas[2]
    assert schemas[0].names == ["path", "label", "class_id", "score", "sure", "labels", "class_ids", "scores", "device",
                                "error"]


def test_columns_may_be_kept(model, any_engine):
    heavy("pyarrow")
    keeping = RayClassifier(str(model), device="cpu", keep=["id"])
    assert keeping({"bytes": [b"", b""], "id": np.array([3, 4])}).to_pylist()[1]["id"] == 4
    with pytest.raises(UsageError, match="no column id"):
        keeping({"bytes": [b""]})


def test_mistakes_are_told_at_once(model, any_engine, actor):
    with pytest.raises(UsageError, match="image, bytes or path, got picture"):
        actor({"picture": [b""]})
    with pytest.raises(UsageError, match="top_k"):
        RayClassifier(str(model), device="cpu", top_k=0)
    with pytest.raises(UsageError, match="allow"):
        RayClassifier(str(model), device="cpu", allow="red")
    with pytest.raises(ModelError):
        RayClassifier("no-such-model")


def test_without_ray_one_line_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CoralClassifyError, match=r"pip install 'coral_classify\[ray\]'"):
        RayClassifier(str(model), device="cpu")


# ---- a cluster

@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, and the mark of all its processes.

    It is told of four CPUs, whatever there are: of two, two actors leave none for reading, and all wait for ever.
    """
    ray = heavy("ray")
    heavy("ray.data")
    mark, folder = new_mark(), tempfile.mkdtemp(prefix="cc-")       # the path of a socket has 107 bytes at most
    before = dict(os.environ)
    os.environ.update({MARK: mark, "PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"})
    try:
        ray.init(num_cpus=4, resources={"edgetpu": 1}, include_dashboard=False, log_to_driver=False, _temp_dir=folder,
                 object_store_memory=100 << 20, configure_logging=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield mark
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def actors_of(mark):
    """Processes that hold an actor which maps batches."""
    found = []
    for pid in marked(mark):
        try:
            if b"MapWorker" in Path("/proc", str(pid), "cmdline").read_bytes():
                found.append(pid)
        except OSError:
            pass
    return found


def check(rows, folder):
    """Exactly one row for each file."""
    assert sorted(Path(row["path"]).name for row in rows) == sorted(path.name for path in folder.iterdir())
    for row in rows:
        name = Path(row["path"]).stem.partition("-")[2]
        assert row["label"] == (name or None) and bool(row["error"]) == (not name)


def test_contents_of_files_through_two_actors(cluster, folder, model, any_engine):
    import ray

    pictures = ray.data.read_binary_files(str(folder), include_paths=True)
    answers = pictures.map_batches(RayClassifier, fn_constructor_args=[str(model)], fn_constructor_kwargs={
        "device": "cpu"}, batch_size=8, concurrency=2)
    check(answers.take_all(), folder)


def test_paths_alone_by_a_resource_of_the_board(cluster, folder, model, any_engine, tmp_path):
    import ray

    pictures = ray.data.from_items([{"path": str(path)} for path in folder.iterdir()])
    answers = pictures.map_batches(RayClassifier, fn_constructor_args=[str(model)], fn_constructor_kwargs={
        "device": "cpu"}, batch_size=8, concurrency=1, resources={"edgetpu": 1})
    answers.write_parquet(str(tmp_path / "answers"))
    check(ray.data.read_parquet(str(tmp_path / "answers")).take_all(), folder)


def test_an_actor_uses_as_many_cpus_as_it_was_given(cluster, model, any_engine):
    import ray

    @ray.remote(num_cpus=1)
    class Holder:
        def __init__(self, path):
            self.decoders = RayClassifier(path, device="cpu")._decoders

        def told(self):
            return self.decoders
    assert ray.get(Holder.remote(str(model)).told.remote()) == 1


def test_killed_workers_cost_no_row_and_add_none(cluster, folder, model, any_engine):
    import ray

    reached, killed = threading.Event(), threading.Event()
    with open_session(read_model(model)) as session, Server(session) as board:
        right = board.inferred

        def held(handler, body):        # from the network's twentieth run on, until its worker has been shot
            if len(board.requests) >= 22 and not killed.is_set():
                reached.set()
                killed.wait(120)
            right(handler, body)
        board.inferred = held
        pictures = ray.data.read_binary_files(str(folder), include_paths=True)
        answers = pictures.map_batches(RayClassifier, fn_constructor_args=[str(model)], fn_constructor_kwargs={
            "device": board.url, "deadline_ms": 120000.0}, batch_size=8, concurrency=2)
        rows = []
        taking = threading.Thread(target=lambda: rows.extend(answers.take_all()))
        taking.start()
        assert reached.wait(120)
        victims = actors_of(cluster)
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        killed.set()
        taking.join(240)
        assert not taking.is_alive()
        runs = sum(method == "POST" for method, _ in board.requests)
    check(rows, folder)
    assert runs > 60        # what the killed one had in hand was done again
