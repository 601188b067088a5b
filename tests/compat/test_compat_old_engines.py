"""The engines of the edgetpu package, before PyCoral."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from test_compat_learning import with_tail
from tflite_writer import colours, several

from coral_classify.compat import detection_engine, old_utils
from coral_classify.compat.basic_engine import BasicEngine
from coral_classify.compat.classification_engine import ClassificationEngine
from coral_classify.compat.detection_engine import DetectionEngine
from coral_classify.compat.old_dataset import read_label_file
from coral_classify.compat.old_imprinting import ImprintingEngine


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch, any_engine):
    monkeypatch.setenv("CORAL_CLASSIFY_COMPAT", "cpu")


def test_the_basic_engine_takes_flat_tensors_and_gives_real_numbers(model):
    engine = BasicEngine(str(model))
    assert engine.get_input_tensor_shape().tolist() == [1, 8, 8, 3]
    assert (engine.required_input_array_size(), engine.total_output_array_size()) == (192, 3)
    assert (engine.get_num_of_output_tensors(), engine.get_output_tensor_size(0)) == (1, 3)
    assert engine.get_all_output_tensors_sizes().tolist() == [3]
    latency, result = engine.run_inference(np.full(192, 51, np.uint8))
    assert latency == engine.get_inference_time() > 0
    assert result.dtype == np.float32 and result.tolist() == pytest.approx([0.2] * 3)
    assert engine.get_raw_output() is result and engine.model_path() == str(model)
    assert engine.RunInference(bytes([255]) * 192)[1].tolist() == pytest.approx([1.0] * 3)
    with pytest.raises(ValueError, match="input size=5, expected=192"):
        engine.run_inference(np.zeros(5, np.uint8))


def test_several_outputs_come_one_after_the_other(tmp_path):
    path = tmp_path / "several.tflite"
    path.write_bytes(several(rows=1))
    engine = BasicEngine(str(path))
    assert engine.get_all_output_tensors_sizes().tolist() == [3, 25, 5]
    assert engine.run_inference(np.full(192, 255, np.uint8))[1].tolist() == pytest.approx([1.0] * 3 + [0.0] * 30)


def test_the_classification_engine_ranks_pictures(model):
    engine = ClassificationEngine(str(model))
    picture = Image.new("RGBA", (20, 30), (51, 204, 102, 255))
    best = engine.classify_with_image(picture, threshold=0.3, top_k=3)
    assert [(int(i), round(float(score), 3)) for i, score in best] == [(1, 0.8), (2, 0.4)]
    assert engine.ClassifyWithImage(picture, top_k=1)[0][0] == 1
    with pytest.raises(ValueError, match="top_k must be positive!"):
        engine.classify_with_image(picture, top_k=0)


def test_models_of_another_kind_are_refused(tmp_path, model):
    path = tmp_path / "several.tflite"
    path.write_bytes(several())
    with pytest.raises(ValueError, match="should have 1 output tensor only!This model has 3."):
        ClassificationEngine(str(path))
    with pytest.raises(ValueError, match="should have 4 output tensors!This model has 1."):
        DetectionEngine(str(model))
    with pytest.raises(RuntimeError, match="Could not open 'nowhere.tflite'."):
        BasicEngine("nowhere.tflite")
    path.write_bytes(colours(channels=2))
    with pytest.raises(ValueError, match="Expected: 1 or 3. Actual: 2"):
        ClassificationEngine(str(path)).classify_with_image(Image.new("RGB", (8, 8)))


def test_the_detection_engine_gives_boxes(monkeypatch):
    engine = DetectionEngine.__new__(DetectionEngine)
    raw = np.array([0.5, 0.25, 1.1, 0.75, -0.1, 0, 0.2, 0.2, 16, 3, 0.6, 0.9, 2], np.float32)
    engine._starts = np.cumsum([8, 2, 2])
    monkeypatch.setattr(engine, "run_inference", lambda tensor: (1.0, raw))
    monkeypatch.setattr(engine, "get_input_tensor_shape", lambda: np.array([1, 10, 10, 3]))
    first, second = engine.detect_with_image(Image.new("RGB", (100, 50)), relative_coord=False)
    assert (first.label_id, second.label_id) == (3, 16) and first.score > second.score
    assert first.bounding_box == pytest.approx(np.array([[0, 0], [20, 10]]), abs=1e-4)
    assert second.bounding_box.tolist() == [[25, 25], [75, 50]]
    fitted = engine.detect_with_image(Image.new("RGB", (100, 50)), keep_aspect_ratio=True, top_k=1)[0]
    assert fitted.bounding_box == pytest.approx(np.array([[0, 0], [0.2, 0.4]]), abs=1e-6)
    assert detection_engine.DetectionCandidate.__slots__ == ["label_id", "score", "bounding_box"]


def test_the_imprinting_engine_runs_the_pictures_itself(tmp_path):
    path, saved = tmp_path / "small.tflite", tmp_path / "saved.tflite"
    path.write_bytes(with_tail(colours(), 4))
    engine = ImprintingEngine(str(path))
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    engine.train_all([[np.asarray(picture).flatten()] for picture in pictures])
    assert [engine.classify_with_resized_image(picture)[0][0] for picture in pictures] == [0, 1]
    engine.save_model(str(saved))
    classifier = ClassificationEngine(str(saved))
    assert [classifier.classify_with_image(picture, top_k=1)[0][0] for picture in pictures] == [0, 1]
    with pytest.raises(RuntimeError, match="must have an L2Norm layer"):
        path.write_bytes(colours())
        ImprintingEngine(str(path))


def test_labels_and_paths_have_their_old_names(tmp_path, simulated, pair, monkeypatch):
    path = tmp_path / "labels.txt"
    path.write_text("0 red\n1 green\n")
    assert read_label_file(str(path)) == {0: "red", 1: "green"}
    (place,) = old_utils.ListEdgeTpuPaths(old_utils.EDGE_TPU_STATE_UNASSIGNED)
    assert old_utils.ListEdgeTpuPaths(old_utils.EDGE_TPU_STATE_ASSIGNED) == []
    assert "RuntimeVersion" in old_utils.GetRuntimeVersion()
    monkeypatch.delenv("CORAL_CLASSIFY_COMPAT")
    engine = ClassificationEngine(str(pair), device_path=place)
    assert engine.classify_with_image(Image.new("RGB", (8, 8), "lime"), top_k=1)[0][0] == 1
    assert engine.device_path() == place == ClassificationEngine(str(pair)).device_path()
    with pytest.raises(RuntimeError, match="does not map to an Edge TPU device"):
        ClassificationEngine(str(pair), device_path="/nowhere")
