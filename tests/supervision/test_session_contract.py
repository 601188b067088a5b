"""One contract for every session: the fake, the CPU, the supervised child, the (simulated) Edge TPU in both modes."""
from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from tflite_writer import colours

from coral_classify.engine.runtime import open_session
from coral_classify.errors import SessionClosed
from coral_classify.modelfiles.modelfile import read_model
from coral_classify.supervision.supervised import SupervisedSession
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, Session, TensorSpec

COLOURS = TensorSpec((1, 8, 8, 3), np.dtype(np.uint8), Quantization(float(np.float32(1 / 255)), 0))


def means(tensor):
    return np.rint(tensor.reshape(-1, 3).mean(axis=0)).astype(np.uint8)[None]


@pytest.fixture(params=["fake", "cpu", "supervised cpu", "edgetpu", "supervised edgetpu"])
def session(request, tmp_path, monkeypatch):
    plain, compiled = tmp_path / "m.tflite", tmp_path / "m_edgetpu.tflite"
    plain.write_bytes(colours())
    compiled.write_bytes(colours(compiled=True))
    if request.param != "fake":
        request.getfixturevalue("any_engine")
    if "edgetpu" in request.param:
        monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(request.getfixturevalue("simulated_library")))
        monkeypatch.setenv("SIM_ABI", "old")
    made: Session
    if request.param == "fake":
        made = FakeSession(means, input=COLOURS)
    elif request.param == "cpu":
        made = open_session(read_model(plain))
    elif request.param == "edgetpu":
        made = open_session(read_model(compiled), device="usb:0")
    elif request.param == "supervised cpu":
        made = SupervisedSession.open(str(plain), "cpu")
    else:
        made = SupervisedSession.open(str(compiled), "usb:0", twin=str(plain))
    yield made
    made.close()


def picture(seed=0):
    return np.random.RandomState(seed).randint(0, 256, (1, 8, 8, 3)).astype(np.uint8)


def test_it_says_what_it_takes_gives_and_is(session):
    assert session.input.shape == (1, 8, 8, 3) and session.input.dtype == np.uint8
    assert session.output.shape == (1, 3) and session.output.dtype == np.uint8
    assert session.device in ("cpu", "usb:0")
    assert session.answer.device == session.device and not session.answer.recovered


def test_it_answers_right(session):
    for seed in range(5):
        output = session.run(picture(seed))
        assert output.shape == (1, 3) and output.dtype == np.uint8
        assert np.abs(output.astype(int) - means(picture(seed))).max() <= 1


def test_an_answer_is_a_copy_that_stays(session):
    first = session.run(picture(0))
    kept = first.copy()
    session.run(np.full((1, 8, 8, 3), 255, np.uint8))
    assert (first == kept).all()


def test_a_tensor_of_another_shape_or_dtype_is_refused(session):
    for wrong in (np.zeros((1, 8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.int8)):
        with pytest.raises(ValueError, match="the model takes uint8"):
            session.run(wrong)


def test_a_tensor_that_is_not_contiguous_is_no_matter(session):
    wide = np.repeat(picture(1), 2, axis=2)
    assert np.abs(session.run(wide[:, :, ::2]).astype(int) - means(picture(1))).max() <= 1


def test_threads_may_share_it(session):
    expected = {seed: session.run(picture(seed)) for seed in range(8)}
    wrong = []

    def work(seed):
        for _ in range(20):
            if (session.run(picture(seed)) != expected[seed]).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_after_close_it_says_so(session):
    session.close()
    session.close()
    assert session.closed
    with pytest.raises(SessionClosed, match="closed"):
        session.run(picture())


def test_its_own_tensors_are_taken_as_any_other(session):
    tensors = session.input_tensors(3)
    assert len(tensors) == 3
    for seed, tensor in enumerate(tensors):
        assert tensor.shape == session.input.shape and tensor.dtype == session.input.dtype
        tensor[...] = picture(seed)
    for seed in (2, 0, 1, 0):
        assert (session.run(tensors[seed]) == session.run(picture(seed))).all()


def test_the_next_tensor_may_be_told_and_left_out_and_told_again(session):
    expected = [session.run(picture(seed)) for seed in range(4)]
    tensors = session.input_tensors(4)
    for seed, tensor in enumerate(tensors):
        tensor[...] = picture(seed)
    told = [(0, 1), (1, 2), (3, None), (2, 0), (3, 2), (2, 2), (2, None)]     # 2 and 0 are told in vain
    for number, then in told:
        output = session.run(tensors[number], None if then is None else tensors[then])
        assert (output == expected[number]).all(), (number, then)
    assert (session.run(tensors[0], picture(1)) == expected[0]).all()   # one from elsewhere
    assert (session.run(picture(1), tensors[2]) == expected[1]).all()
    del tensors[2]
    assert (session.run(picture(3)) == expected[3]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_is_told_and_the_parent_goes_on(session):
    before = session.run(picture())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            session.run(picture())
        except SessionClosed as exc:
            code = 0 if "fork" in str(exc) else 2
        session.close()     # must not take the device from the parent
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert (session.run(picture()) == before).all()


def test_with_closes_it(session):
    with session as same:
        assert same is session
    assert session.closed
