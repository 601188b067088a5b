"""Classify one picture:  python one_picture.py MODEL PICTURE"""
import sys

from coral_classify import Classifier

with Classifier(sys.argv[1]) as classifier:
    result = classifier.classify(sys.argv[2], top_k=3)

for prediction in result.predictions:
    print("%-30s %.3f" % (prediction.label, prediction.score))
print("on", result.device, "because", result.device_reason)
