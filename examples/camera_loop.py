"""Classify frames as a camera gives them, (height, width, 3) uint8 arrays:  python camera_loop.py MODEL"""
import sys

import numpy as np

from coral_classify import Classifier


def frames(count=10):
    """Stands for your camera; OpenCV gives BGR, so pass frame[..., ::-1] from there."""
    generator = np.random.RandomState(0)
    for _ in range(count):
        yield generator.randint(0, 256, (480, 640, 3)).astype(np.uint8)


with Classifier(sys.argv[1]) as classifier:
    shown = None
    for number, frame in enumerate(frames()):
        result = classifier.classify(frame, top_k=1, threshold=0.1)
        best = result.predictions[0].label if result.predictions else "nothing sure"
        if best != shown:
            print("frame %d: %s (%.1f ms)" % (number, best, result.preprocess_ms + result.inference_ms))
            shown = best
