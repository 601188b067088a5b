"""Files whose content is pinned are not looked through again; any other is."""
from __future__ import annotations

from conftest import REPOSITORY

from coral_classify.modelfiles import read_model, structure
from coral_classify.modelfiles.pins import blob_id, is_pinned

MODEL = REPOSITORY / "models" / "everyday_objects.tflite"


def test_the_package_s_own_model_is_pinned_and_one_bit_more_is_not():
    content = bytearray(MODEL.read_bytes())
    assert is_pinned(blob_id(len(content), [content]))
    content[-1] ^= 1
    assert not is_pinned(blob_id(len(content), [content]))


def test_only_what_is_not_pinned_is_looked_through(tmp_path, monkeypatch, model):
    seen = []
    monkeypatch.setattr(structure, "check", lambda table, buffer: seen.append(len(buffer)))
    read_model(MODEL)
    assert seen == []
    read_model(model)
    assert len(seen) == 1
