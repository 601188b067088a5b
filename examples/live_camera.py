"""Say what a camera sees, whenever it changes:  python live_camera.py [CAMERA [SECONDS [MODEL]]]

CAMERA: v4l2:/dev/video0, picamera2, rtsp://..., video.mp4, or test (the default), a moving picture that is drawn.
"""
import sys
import time

from coral_classify import CameraError, Classifier
from coral_classify.cameras import camera

name, seconds, model = (sys.argv[1:] + ["test", "5", None][len(sys.argv) - 1:])[:3]
until = time.monotonic() + float(seconds)

with Classifier(model) as classifier:
    answers = classifier.watch(camera(name), top_k=1, on_event=lambda event: print(event.message))
    try:
        for result in answers:
            if result.changed and result.predictions:
                best = result.predictions[0]
                print("%s (%.2f), %.0f ms old" % (best.label, best.score, result.frame_age_ms))
            if time.monotonic() > until:
                break
    except CameraError as exc:
        sys.exit(str(exc))
    finally:
        answers.close()
