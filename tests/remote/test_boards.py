"""``device="http://board"``: a classifier whose network runs elsewhere, and boards that go and come."""
from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from board_server import Server
from tflite_writer import colours
from worker_tools import wait_until

from coral_classify import Classifier, Pool
from coral_classify.cli import main
from coral_classify.engine.runtime import open_session
from coral_classify.errors import DeviceError, DeviceLost, ModelError, UsageError
from coral_classify.modelfiles.modelfile import read_model
from coral_classify.testing import write_pair

GREEN = np.zeros((8, 8, 3), np.uint8) + np.array([10, 200, 30], np.uint8)


class Board:
    """Serves a model file; may be switched off and on again on the same port."""

    def __init__(self, path, **more):
        self._session, self._more = open_session(read_model(path)), more
        self.server = Server(self._session, **more).__enter__()
        self.url = self.server.url

    def off(self):
        self.server.stop()

    def on(self):
        self.server = Server(self._session, port=self.server.port, **self._more).__enter__()

    def inferences(self):
        return sum(method == "POST" for method, _ in self.server.requests)


@pytest.fixture
def board(model, any_engine):
    made = Board(model)
    yield made
    made.off()


def is_green(result):
    return result.error is None and result.predictions[0].class_id == 1


def board_threads():
    return [thread for thread in threading.enumerate() if thread.name == "coral-session"]


def test_pictures_are_decoded_here_and_inferred_there(model, board):
    with Classifier(model, device=board.url) as classifier:
        result = classifier.classify(GREEN)
        assert is_green(result) and result.device == board.url and result.predictions[0].label == "green"
        assert result.device_reason == "asked for %s" % board.url
        assert board.inferences() == 1
    assert wait_until(lambda: not board_threads())


def test_streams_and_pools_go_there(model, board):
    another = Board(model)
    with Classifier(model, device=board.url) as classifier:
        assert all(is_green(result) for result in classifier.stream([GREEN] * 40))
    assert board.inferences() == 40
    with Pool(model, devices=[board.url, another.url]) as pool:
        results = list(pool.stream([GREEN] * 40))
        assert len(results) == 40 and all(is_green(result) for result in results)
        another.off()       # the others are the way on
        assert all(is_green(result) for result in pool.stream([GREEN] * 40))
        another.on()
    another.off()


def test_a_lost_board_is_stood_in_for_by_the_twin_until_it_is_back(model, board):
    events = []
    with Classifier(model, device=board.url, on_event=events.append) as classifier:
        assert classifier.classify(GREEN).device == board.url
        board.off()
        result = classifier.classify(GREEN)
        assert is_green(result) and result.device == "cpu" and board.url in result.device_reason
        board.on()
        assert wait_until(lambda: classifier.classify(GREEN).device == board.url)
    kinds = [event.kind for event in events]
    assert kinds[0] == "lost" and "failed_over" in kinds and kinds[-1] == "back"
    assert all(board.url in event.message for event in events)


def test_with_retry_a_picture_waits_for_the_board(model, board):
    with Classifier(model, device=board.url, on_device_loss="retry") as classifier:
        classifier.classify(GREEN)
        board.off()
        results = []
        waiting = threading.Thread(target=lambda: results.append(classifier.classify(GREEN)))
        waiting.start()
        assert wait_until(lambda: classifier.trouble is not None)
        board.on()
        waiting.join(60)
        assert is_green(results[0]) and results[0].device == board.url and results[0].recovered


def test_with_raise_the_picture_in_flight_fails(model, board):
    with Classifier(model, device=board.url, on_device_loss="raise") as classifier:
        classifier.classify(GREEN)
        board.off()
        with pytest.raises(DeviceLost, match=board.url):
            classifier.classify(GREEN)


def test_the_next_try_does_not_overtake_what_a_fault_was(model, board):
    with Classifier(model, device=board.url, on_device_loss="raise") as classifier:
        keeper = classifier._session._keeper
        child = keeper.child
        board.off()
        child.kill()
        assert wait_until(lambda: type(keeper.trouble) is DeviceError)      # tried again, and refused
        assert type(keeper.fault(child, None)) is DeviceLost


def test_unsupervised_it_is_the_plain_session(model, board):
    with Classifier(model, device=board.url, supervised=False) as classifier:
        assert is_green(classifier.classify(GREEN)) and not board_threads()
        board.off()
        with pytest.raises(DeviceLost, match="is not reached"):
            classifier.classify(GREEN)


def test_a_board_that_hangs_is_left_at_the_deadline(model, board):
    over = threading.Event()
    with Classifier(model, device=board.url, deadline_ms=200.0) as classifier:
        classifier.classify(GREEN)
        board.server.answer = lambda handler: over.wait(60)
        result = classifier.classify(GREEN)
        assert is_green(result) and result.device == "cpu" and "200 ms" in result.device_reason
        over.set()
        board.server.answer = None
        assert wait_until(lambda: classifier.classify(GREEN).device == board.url)


def test_wrong_answers_never_become_predictions(model, board):
    with Classifier(model, device=board.url) as classifier:
        classifier.classify(GREEN)
        board.server.answer = lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        result = classifier.classify(GREEN)
        assert is_green(result) and result.device == "cpu"


def test_a_board_that_is_not_there_at_first_is_an_error_at_once(model, board):
    board.off()
    with pytest.raises(DeviceError, match="%s: is not reached" % board.url):
        Classifier(model, device=board.url)
    board.on()
    with pytest.raises(UsageError, match="device must be http://"):
        Classifier(model, device="http://")
    with pytest.raises(UsageError, match="device must be http://"):
        Pool(model, devices=["cpu", "http://"])


def test_another_network_on_the_board_is_refused(tmp_path, board):
    other = tmp_path / "other.tflite"
    other.write_bytes(colours(size=(16, 16)))
    with pytest.raises(ModelError, match="runs another network than .*other.tflite"):
        Classifier(other, device=board.url)


def test_a_board_with_the_compiled_file_serves_whoever_has_only_its_twin(tmp_path, any_engine):
    compiled = write_pair(tmp_path)
    plain = tmp_path / compiled.name.replace("_edgetpu", "")
    board = Board(plain, name=compiled.stem)
    with Classifier(plain, device=board.url) as classifier:
        assert is_green(classifier.classify(GREEN))
    board.off()


def test_features_are_made_here(model, board):
    with Classifier(model, device=board.url) as classifier:
        with Classifier(model, device="cpu") as local:
            try:
                expected = local.embed(GREEN)
            except ModelError:      # this network has none; of the board that is no fault
                with pytest.raises(ModelError):
                    classifier.embed(GREEN)
            else:
                assert (classifier.embed(GREEN) == expected).all()
    assert board.inferences() == 0


# ---- the program

def test_the_command_line_takes_it(model, board, green, capsys):
    assert main([str(green), "--model", str(model), "--device", board.url, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["device"] == board.url and record["predictions"][0]["label"] == "green"


def test_a_token_comes_from_a_file(model, any_engine, green, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_TOKEN", "another-one")
    board = Board(model, token="a-long-secret")
    assert main([str(green), "--model", str(model), "--device", board.url]) == 1
    err = capsys.readouterr().err
    assert "401: a token is needed" in err and "another-one" not in err and "Traceback" not in err
    (tmp_path / "token").write_text("a-long-secret\n")
    assert main([str(green), "--model", str(model), "--device", board.url, "--board-token-file",
                 str(tmp_path / "token")]) == 0
    assert main([str(green), "--model", str(model), "--device", board.url, "--board-token-file",
                 str(tmp_path / "none")]) == 2
    board.off()
