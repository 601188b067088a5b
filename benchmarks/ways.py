"""One way to classify pictures, in a process of its own: ``python ways.py WAY MODEL THREADS``, with its Python.

Says in a line of JSON which versions it runs on, then answers each line of JSON that it reads with one:

    {"do": "one", "picture": PATH or null, "count": N}     N times in ms (null: an array of the model's size)
    {"do": "folder", "folder": PATH}                       the time for all files in it, one after the other
    {"do": "stream", "folder": PATH}                       the same as a stream, where the way has one
    {"do": "best", "picture": PATH}                        the id of the best class
    {"do": "memory"}                                       peak resident memory in MB
"""
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np

MEAN, STD = 128.0, 128.0    # PyCoral's defaults


class CoralClassify:
    """This package."""

    names = ("pillow", "numpy", "ai-edge-litert", "tflite-runtime")

    def __init__(self, model, threads):
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        from coral_classify import Classifier

        self.classifier = Classifier(model, device="cpu", threads=threads)
        self.size = self.classifier.input.shape[1:3]

    def classify(self, picture):
        return self.classifier.classify(picture, top_k=5)

    def stream(self, pictures):
        for result in self.classifier.stream(pictures, top_k=5):
            assert result.error is None, result.error

    def best(self, answer):
        return answer.predictions[0].class_id


class Barest:
    """Engine, Pillow and NumPy, written out; benchmarks/barest.py."""

    names = CoralClassify.names

    def __init__(self, model, threads):
        import barest

        self.loaded = barest.load(model, threads)
        self.run = barest.classify
        self.size = self.loaded[1]["shape"][1:3]

    def classify(self, picture):
        return self.run(self.loaded, picture)

    def best(self, answer):
        return answer[0][0]


class PyCoral(Barest):
    """PyCoral's way, written out: full decoding, LANCZOS, float normalization, ``classify.get_classes``.

    PyCoral's example leaves the normalization out where it would change nothing, as with MobileNet v2; it weighs less
    than half a millisecond (the row of the sized array has it too).
    """

    def classify(self, picture):
        from PIL import Image

        interpreter, given, wanted = self.loaded
        height, width = self.size
        if isinstance(picture, str):
            picture = Image.open(picture).convert("RGB").resize((width, height), Image.LANCZOS)
        scale, zero_point = given["quantization"]
        normalized = (np.asarray(picture) - MEAN) / (STD * scale) + zero_point
        np.clip(normalized, 0, 255, out=normalized)
        interpreter.set_tensor(given["index"], normalized.astype(np.uint8)[None])
        interpreter.invoke()
        scale, zero_point = wanted["quantization"]
        scores = scale * (interpreter.get_tensor(wanted["index"]).flatten().astype(np.int64) - zero_point)
        count = min(5, len(scores))
        classes = [(int(i), scores[i]) for i in np.argpartition(scores, -count)[-count:] if scores[i] >= 0.0]
        return sorted(classes, key=lambda pair: pair[1], reverse=True)


class Tasks:
    """TF Task Library."""

    names = ("tflite-support", "numpy")
    size = (224, 224)

    def __init__(self, model, threads):
        try:
            import ctypes

            import libusb_package  # its extension wants the system's libusb, which not every machine has

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError):
            pass
        from tflite_support.task import core, processor, vision

        self.image = vision.TensorImage
        self.classifier = vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(
            core.BaseOptions(file_name=model, num_threads=threads), processor.ClassificationOptions(max_results=5)))

    def classify(self, picture):
        make = self.image.create_from_file if isinstance(picture, str) else self.image.create_from_array
        return self.classifier.classify(make(picture))

    def best(self, answer):
        return answer.classifications[0].categories[0].index


class MediaPipe:
    """MediaPipe Tasks; its number of threads cannot be set from Python."""

    names = ("mediapipe", "numpy")
    size = (224, 224)

    def __init__(self, model, threads):
        import mediapipe as mp

        self.mp = mp
        self.classifier = mp.tasks.vision.ImageClassifier.create_from_options(mp.tasks.vision.ImageClassifierOptions(
            base_options=mp.tasks.BaseOptions(model_asset_path=model), max_results=5))

    def classify(self, picture):
        image = self.mp.Image.create_from_file(picture) if isinstance(picture, str) else \
            self.mp.Image(image_format=self.mp.ImageFormat.SRGB, data=picture)
        return self.classifier.classify(image)

    def best(self, answer):
        return answer.classifications[0].categories[0].index


WAYS = {"coral_classify": CoralClassify, "barest": Barest, "pycoral": PyCoral, "tasks": Tasks, "mediapipe": MediaPipe}


def version(name):
    """Of an installed distribution; None if it is not here."""
    try:
        from importlib import metadata
    except ImportError:     # Python 3.7
        try:
            return __import__({"pillow": "PIL"}.get(name, name.replace("-", "_"))).__version__
        except ImportError:
            return None
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def peak_mb():
    """The mark of this program alone: getrusage's begins at what the parent had when it started this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024.0
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0)


def timed(function):
    began = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - began)


def answer(way, array, do, picture=None, count=1, folder=None):
    if do == "memory":
        return peak_mb()
    if do == "best":
        return way.best(way.classify(picture))
    if do == "one":
        return [timed(lambda: way.classify(array if picture is None else picture)) for _ in range(count)]
    pictures = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    return timed(lambda: way.stream(pictures) if do == "stream" else [way.classify(path) for path in pictures])


def main():
    way = WAYS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    array = np.random.RandomState(0).randint(0, 256, tuple(way.size) + (3,)).astype(np.uint8)
    way.classify(array)
    versions = {name: version(name) for name in way.names}
    print(json.dumps({"versions": dict({"Python": platform.python_version()}, **versions)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(way, array, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
