"""The supervised session over real interpreters: a thousand pictures, and four faults on the way."""

from __future__ import annotations

import importlib
import os
import random

import numpy as np
import pytest
import worker_factories
from worker_tools import MODEL, never_resting, quick, supervised, wait_until

from coral_classify.supervision.supervised import SupervisedSession

MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes"),
    pytest.mark.skipif(not MODEL.is_file(), reason="needs %s (CORAL_CLASSIFY_TESTDATA)" % MODEL.name),
]


@pytest.fixture(scope="module", params=sorted(MODULES))
def reference(request):
    """Engine, pictures, and the answers of a session in this process."""
    try:
        importlib.import_module(MODULES[request.param])
    except Exception as exc:  # tflite-runtime under NumPy 2 fails in more ways than ImportError
        pytest.skip("%s does not work here: %s" % (request.param, str(exc) or type(exc).__name__))
    session = worker_factories.interpreted(describe(request.param, "cpu"))
    generator = np.random.RandomState(3)
    pictures = [generator.randint(0, 256, session.input.shape).astype(np.uint8) for _ in range(20)]
    answers = [session.run(picture).tobytes() for picture in pictures]
    assert len(set(answers)) > 10
    session.close()
    return request.param, pictures, answers


def describe(engine, device, **more):
    return dict(model=str(MODEL), engine=engine, threads=1, device=device, **more)


def test_the_engine_of_the_package_runs_in_the_worker(reference):
    engine, pictures, answers = reference
    with SupervisedSession.open(str(MODEL), "cpu", engine=engine, threads=1) as session:
        assert [session.run(picture).tobytes() for picture in pictures] == answers
        assert session.answer == ("cpu", False, None)


@pytest.mark.parametrize("policy", ["cpu", "retry"])
@pytest.mark.parametrize("way", ["abort", "segfault", "hang"])
def test_a_thousand_pictures_survive_four_faults(way, policy, reference, tmp_path):
    engine, pictures, answers = reference
    # Counted over all lives of the worker; a repeated picture and a trial inference count as well.
    faults = {str(run): way for run in (1, 4, 14, random.randint(40, 900))}
    events = []
    with supervised(
        describe(engine, "usb:0", count=str(tmp_path / "count"), faults=faults),
        twin=describe(engine, "cpu"),
        on_device_loss=policy,
        factory="worker_factories:interpreted",
        limits=quick(run_s=1.0, first_s=1.5),
        health=never_resting(),
        on_event=events.append,
    ) as session:
        notes = []
        for value in range(1000):
            assert session.run(pictures[value % 20]).tobytes() == answers[value % 20], (value, faults)
            notes.append(session.answer)
            if notes[-1].recovered and value < 30:  # the next fault is to find the device at work again
                assert wait_until(lambda: session.trouble is None)
    lost = sum(event.kind == "lost" for event in events)
    assert lost == 4, (faults, events)
    assert sum(note.recovered for note in notes) == lost
    if policy == "retry":
        assert {note.device for note in notes} == {"usb:0"}
