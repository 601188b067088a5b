"""Three mugs, ten pictures each, from nothing to a classifier:

    python teach_mugs.py mugs/ mugs.tflite which_one.jpg

mugs/ holds a folder of pictures for each mug, named as the mug.
"""
import sys
from pathlib import Path

from coral_classify import Classifier
from coral_classify.learn import Teacher

folder, model, question = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

with Teacher() as teacher:      # on top of the package's own network; nothing is downloaded
    for mug in sorted(folder.iterdir()):
        lesson = teacher.show(mug.name, *sorted(mug.glob("*.jpg")))
        print("%s: %d pictures" % (mug.name, lesson.learned))
        for trouble in lesson.failed:
            print(trouble)
    print("expected to be right: %s" % str(teacher.choice.expected))
    teacher.save(model)

with Classifier(model) as classifier:       # the labels and the rule of when to be sure travel in the file
    result = classifier.classify(question)
    best = result.predictions[0]
    print("%s (%.2f)%s" % (best.label, best.score, "" if result.sure else ", not sure"))
