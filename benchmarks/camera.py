"""A camera through the package: glass to answer, and what everything but inference costs.

    python benchmarks/camera.py [--seconds 10] [--model MODEL]

The camera gives drawn frames, each with the moment at which it was handed over; "age" is the time from there to the
answer.  The goal for it: at most one frame interval plus the inference.  With PyAV at hand, a 1080p video is also read
by ``Classifier.watch`` and by the barest loop (PyAV, Pillow's resize, the same session), and their processor time is
compared; the session costs nothing there, so that only the rest counts.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from coral_classify import Classifier
from coral_classify.cameras import Camera, Frame
from coral_classify.cameras.synthetic import drawn
from coral_classify.testing import FakeSession

RATE = 30.0


class Drawn(Camera):
    """Frames that were drawn beforehand, at the camera's rate: drawing one is no part of what is measured."""

    def __init__(self, size: "tuple[int, int]") -> None:
        super().__init__("drawn")
        self._pictures = [drawn(size, number / 3, number) for number in range(12)]

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        began, number = time.monotonic(), 0
        while not over.wait(max(0.0, began + number / RATE - time.monotonic())):
            now, picture = time.monotonic(), self._pictures[number % len(self._pictures)]
            yield Frame(self.name, now, now, lambda picture=picture: picture)
            number += 1


def glass_to_answer(classifier: Classifier, size: "tuple[int, int]", seconds: float) -> None:
    ages, inferences, prepares, skipped = [], [], [], 0
    until = time.monotonic() + seconds
    answers = classifier.watch(Drawn(size), top_k=1)
    for result in answers:
        ages.append(result.frame_age_ms)
        inferences.append(result.inference_ms)
        prepares.append(result.preprocess_ms)
        skipped += result.skipped or 0
        if time.monotonic() > until:
            break
    answers.close()
    ages, inferences = ages[3:], inferences[3:]     # the first ones load code
    goal = 1e3 / RATE + float(np.median(inferences))
    print("| %d x %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f %% | %d of %d |" % (
        size + (np.median(ages), np.percentile(ages, 95), np.median(inferences), np.median(prepares[3:]), goal,
                100 * np.mean([age <= goal for age in ages]), skipped, skipped + len(ages) + 3)))


def write(path: str, size: "tuple[int, int]", frames: int) -> None:
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=int(RATE))
        stream.width, stream.height = size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8000000
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn(size, number / RATE, number), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def barest(path: str, session: FakeSession) -> float:
    import av

    began = time.process_time()
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            picture = Image.fromarray(frame.to_ndarray(format="rgb24")).resize((224, 224), Image.BILINEAR)
            session.run(np.asarray(picture)[None]).argmax()
    return time.process_time() - began


def watched(path: str, session: FakeSession) -> float:
    classifier = Classifier(session, mean=128, std=128)
    began = time.process_time()
    for _ in classifier.watch(path, top_k=1):
        pass
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--model")
    args = parser.parse_args()
    print("load of this machine: %.1f on %d cores\n" % (os.getloadavg()[0], os.cpu_count() or 1))
    print("| picture | age, median ms | age, 95 % ms | inference ms | preparing ms | goal ms | within the goal "
          "| skipped |")
    print("|---|---|---|---|---|---|---|---|")
    with Classifier(args.model, device="cpu") as classifier:
        for size in ((640, 480), (1920, 1080)):
            glass_to_answer(classifier, size, args.seconds)
    try:
        import av  # noqa: F401
    except ImportError:
        print("\nwithout PyAV, no comparison with the barest loop")
        return
    frames, session = 150, FakeSession()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "video.mp4")
        write(path, (1920, 1080), frames)
        rounds = [(barest(path, session), watched(path, session)) for _ in range(5)]
    bare, ours = (min(each) / frames for each in zip(*rounds))
    print("\n1080p, every frame, best of %d: barest loop %.1f ms of processor time a frame, this package %.1f: %.2f "
          "times; at %g frames/s %.0f %% of a core"
          % (len(rounds), bare * 1e3, ours * 1e3, ours / bare, RATE, 100 * ours * RATE))


if __name__ == "__main__":
    main()
