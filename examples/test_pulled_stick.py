"""An application's own test: what happens when somebody pulls the stick in the middle of the work?

Run it with pytest.  It needs no board: the driver is simulated, and dies of a pulled stick as the real one does.
"""
import numpy as np

from coral_classify import Classifier
from coral_classify.testing import SimulatedDriver, write_pair


def test_no_picture_is_lost_when_the_stick_is_pulled(tmp_path):
    model = write_pair(tmp_path)        # a compiled classifier of mean colour, and its CPU twin
    green = np.zeros((8, 8, 3), np.uint8) + np.uint8([0, 200, 100])
    results = []
    with SimulatedDriver("usb") as driver, Classifier(model, device="usb:0") as classifier:
        for number in range(10):
            if number == 5:
                driver.pull()
            results.append(classifier.classify(green))
    assert [result.predictions[0].label for result in results] == ["green"] * 10
    assert [result.device for result in results] == ["usb:0"] * 5 + ["cpu"] * 5
    assert [result.recovered for result in results].index(True) == 5
