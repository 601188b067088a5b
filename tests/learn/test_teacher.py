"""From pictures to a model of own classes, and on from there."""
from __future__ import annotations

import json
import os

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from tflite_writer import colours

from coral_classify import Classifier, ModelError, UsageError
from coral_classify.learn import Teacher
from coral_classify.learn.choice import NONE
from coral_classify.modelfiles import inspect, passports, read_model

# Mean colours are the features of the small model.
COLOURS = {"rose": (220, 30, 60), "leaf": (30, 200, 40), "sky": (40, 90, 230)}


def picture(colour, seed=0):
    turn = np.random.RandomState(seed)
    shade = np.clip(np.array(colour) + turn.randint(-25, 26, 3), 0, 255)
    return np.tile(shade.astype(np.uint8), (8, 8, 1))


@pytest.fixture
def base(tmp_path, any_engine):
    path = tmp_path / "net.tflite"
    path.write_bytes(colours(labels=["red", "green", "blue"]))
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for seed in range(6):
            Image.fromarray(picture(colour, seed)).save(str(folder / name / ("%d.png" % seed)))
    return folder


def taught(base, **options):
    teacher = Teacher(base, **options)
    teacher.show_many((name, picture(colour, seed)) for name, colour in COLOURS.items() for seed in range(6))
    return teacher


def test_it_knows_after_every_picture(base):
    with Teacher(base) as teacher:
        with pytest.raises(UsageError, match="no picture was shown"):
            teacher.classify(picture(COLOURS["rose"]))
        teacher.show("rose", picture(COLOURS["rose"]))
        teacher.show("leaf", picture(COLOURS["leaf"]))
        assert teacher.classify(picture(COLOURS["leaf"], 1))[0].label == "leaf"
        teacher.show("sky", picture(COLOURS["sky"]))
        assert teacher.classify(picture(COLOURS["sky"], 1))[0].label == "sky"


def test_the_file_answers_as_the_teacher_does(base, engine, tmp_path):
    with taught(base, engine=engine) as teacher:
        written = teacher.save(tmp_path / "own.tflite")
        assert written == [tmp_path / "own.tflite"]
        with Classifier(written[0], engine=engine) as classifier:
            assert classifier.labels == ("rose", "leaf", "sky", NONE)
            for name, colour in COLOURS.items():
                for seed in range(20, 26):
                    result = classifier.classify(picture(colour, seed))
                    known = {p.label: p.score for p in teacher.classify(picture(colour, seed))}
                    assert result.predictions[0].label == name and result.sure in (True, False)
                    assert abs(result.predictions[0].score - known[name]) < 0.12
            result = classifier.classify(np.full((8, 8, 3), 128, np.uint8))
            assert result.sure is False


def test_what_the_file_says_of_itself(base, tmp_path):
    with taught(base) as teacher:
        path = teacher.save(tmp_path / "own.tflite")[0]
    assert base.read_bytes().split(b"PK\3\4")[0] in path.read_bytes(), "the network stands in it byte for byte"
    assert list(inspect(path).operators) == ["AVERAGE_POOL_2D", "L2_NORMALIZATION", "FULLY_CONNECTED", "SOFTMAX"]
    assert read_model(path).normalization is not None
    passport = passports.inside(path)
    assert passport.classes == 4 and "18 pictures" in passport.notes and passport.sure.unsure_labels == (NONE,)
    assert passports.inside(base) is None


def test_a_saved_model_is_taught_further_without_its_pictures(base, tmp_path):
    with taught(base) as teacher:
        path = teacher.save(tmp_path / "own.tflite")[0]
    base.unlink()
    with Teacher.of(path) as teacher:
        teacher.show("coal", *[picture((20, 20, 20), seed) for seed in range(3)])
        assert teacher.classes == {"rose": 6, "leaf": 6, "sky": 6, "coal": 3}
        teacher.save(path)
    with Teacher.of(path) as teacher:
        assert teacher.forget("rose") == 6 and "rose" not in teacher.classes
        teacher.undo()
        assert teacher.classes["rose"] == 6
        teacher.undo()
        assert "coal" not in teacher.classes
        teacher.save(path)
    size = path.stat().st_size
    with Teacher.of(path) as teacher:
        teacher.save(path)
    assert path.stat().st_size == size, "saving again does not grow the file"


def test_the_same_pictures_give_the_same_file(base, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with taught(base) as teacher:
            teacher.save(tmp_path / name / "own.tflite")
    assert (tmp_path / "one" / "own.tflite").read_bytes() == (tmp_path / "two" / "own.tflite").read_bytes()


def test_trouble_with_pictures_is_told(base, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with Teacher(base) as teacher:
        lesson = teacher.show("rose", picture(COLOURS["rose"]), str(broken), picture(COLOURS["rose"]))
        assert lesson.learned == 1 and lesson.twice == 1 and str(broken) in lesson.failed[0]
        lesson = teacher.show("leaf", picture(COLOURS["rose"]))
        assert lesson.learned == 0 and lesson.claimed[0][1:] == ("leaf", "rose")
        with pytest.raises(UsageError, match="nobody"):
            teacher.forget("nobody")
        with pytest.raises(UsageError, match="cannot be called"):
            teacher.show(NONE, picture(COLOURS["leaf"]))


def test_a_file_that_cannot_be_written_leaves_the_old_one(base, tmp_path, monkeypatch):
    with taught(base) as teacher:
        path = teacher.save(tmp_path / "own.tflite")[0]
        old = path.read_bytes()
        teacher.show("coal", picture((20, 20, 20)))
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(Exception, match="own.tflite: cannot be written: No space left"):
            teacher.save(path)
    assert path.read_bytes() == old and [p for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def test_the_edge_tpu_learns_and_gets_its_own_file(pair, simulated, tmp_path, any_engine):
    with taught(pair, device="usb:0") as teacher:
        assert teacher.classifier.device == "usb:0"
        written = teacher.save(tmp_path / "own.tflite")
        assert [path.name for path in written] == ["own.tflite", "own_edgetpu.tflite"]
    assert read_model(written[1]).compiled and pair.read_bytes().split(b"PK\3\4")[0] in written[1].read_bytes()
    with Classifier(tmp_path / "own.tflite", device="usb:0") as classifier:
        for name, colour in COLOURS.items():
            result = classifier.classify(picture(colour, 30))
            assert (result.device, result.predictions[0].label) == ("usb:0", name)
    with Teacher.of(written[1], device="usb:0") as teacher:
        assert teacher.show("coal", picture((20, 20, 20))).learned == 1
        assert len(teacher.save(written[1])) == 2


def test_a_classifier_gives_its_features(model, engine):
    with Classifier(model, engine=engine) as classifier:
        features = classifier.embed(np.tile(np.array([30, 60, 90], np.uint8), (8, 8, 1)))
        assert features == pytest.approx(np.array([30, 60, 90]) / np.linalg.norm([30, 60, 90]), abs=0.01)
        assert classifier.embed(np.zeros((8, 8, 3), np.uint8)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name, message", [("none.tflite", "No such file"), ("colours.tflite", "was not made by")])
def test_only_a_model_that_was_taught_is_taught_further(model, name, message):
    with pytest.raises(ModelError, match=message):
        Teacher.of(model.with_name(name))


def test_the_package_s_own_network_learns_offline(photos, any_engine, tmp_path):
    if not (REPOSITORY / "models" / "everyday_objects.tflite").is_file():
        pytest.skip("the package's own model was left out")
    with Teacher() as teacher:
        for name in COLOURS:
            teacher.show(name, *sorted((photos / name).iterdir()))
        path = teacher.save(tmp_path / "own.tflite")[0]
    with Classifier(path) as classifier:
        assert classifier.classify(photos / "leaf" / "0.png").predictions[0].label == "leaf"
        assert classifier.embed(photos / "leaf" / "0.png").shape == (1024,)


def test_imprinting_meets_the_published_expectations(testdata, any_engine, tmp_path):
    folder = testdata / "images" / "imprinting"
    for base in ("mobilenet_v1_1.0_224_quant_embedding_extractor.tflite", "mobilenet_v2_1.0_224_quant.tflite"):
        with Teacher(testdata / "models" / base) as teacher:
            for name in ("cat", "dog", "hotdog"):
                teacher.show(name, folder / ("%s_train_0.bmp" % name))
            path = teacher.save(tmp_path / "own.tflite")[0]
        with Classifier(path) as classifier:
            for name in ("cat", "dog", "hotdog"):
                best = classifier.classify(folder / ("%s_test_0.bmp" % name)).predictions[0]
                assert best.label == name
                assert best.score > 0.99, (base, name)


def test_a_compiled_classifier_names_what_it_needs(testdata):
    lone = testdata / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    with pytest.raises(ModelError, match="compiled as a whole"):
        Teacher(_alone(lone))


def _alone(path):
    import tempfile

    target = os.path.join(tempfile.mkdtemp(), path.name)
    with open(target, "wb") as file:
        file.write(path.read_bytes())
    return target


def test_the_passport_is_json(base, tmp_path):
    import zipfile

    with taught(base) as teacher:
        path = teacher.save(tmp_path / "own.tflite")[0]
    with zipfile.ZipFile(str(path)) as archive:
        entry = json.loads(archive.read("coral_classify.json").decode("ascii"))
    assert entry["pictures"] == {"rose": 6, "leaf": 6, "sky": 6} and entry["expected"]["of"] > 2
