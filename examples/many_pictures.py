"""Classify many pictures on every device there is, and count:  python many_pictures.py MODEL PICTURE ..."""
import sys
from collections import Counter

from coral_classify import Pool

with Pool(sys.argv[1], devices="all") as pool:      # every Edge TPU, else the CPU
    seen = Counter()
    for result in pool.stream(sys.argv[2:]):
        if result.error:
            print(result.error)
        else:
            seen[result.predictions[0].label] += 1
for label, count in seen.most_common():
    print("%d x %s" % (count, label))
