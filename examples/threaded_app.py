"""One classifier in a threaded application:  python threaded_app.py MODEL PICTURE [PICTURE ...]"""
import sys
from concurrent.futures import ThreadPoolExecutor

from coral_classify import Classifier, CoralClassifyError

with Classifier(sys.argv[1]) as classifier, ThreadPoolExecutor(4) as pool:

    def describe(path):
        """Called in many threads: pictures are decoded side by side, the device takes one at a time."""
        try:
            best = classifier.classify(path, top_k=1).predictions[0]
            return "%s: %s (%.2f)" % (path, best.label, best.score)
        except CoralClassifyError as exc:       # one bad picture costs one line
            return str(exc)

    for line in pool.map(describe, sys.argv[2:]):
        print(line)
