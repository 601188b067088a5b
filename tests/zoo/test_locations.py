"""Where things lie, on machines where the user's folder is of no use."""
from __future__ import annotations

import os

import pytest

from coral_classify import Classifier, LabelsError, ModelError, ZooError
from coral_classify.locations import home
from coral_classify.zoo import catalogue as zoo

TOO_LONG = "x" * 300        # no file system has such a name; the system refuses it, also to root


def test_a_user_without_a_home_has_a_folder_that_is_not_there(monkeypatch):
    pwd = pytest.importorskip("pwd")

    def nobody(uid):
        raise KeyError("getpwuid(): uid not found: %d" % uid)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("CORAL_CLASSIFY_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert home().is_absolute() and not home().exists()


def test_a_home_that_may_not_be_entered_hinders_no_classification(monkeypatch, tmp_path, model, green, any_engine):
    monkeypatch.setenv("CORAL_CLASSIFY_HOME", str(tmp_path / TOO_LONG))
    with Classifier(model) as classifier:
        assert classifier.classify(green).predictions[0].label == "green"
    with pytest.raises(ModelError, match="models pull mobilenet-v2"):
        Classifier("mobilenet-v2")
    assert zoo.damaged("mobilenet-v2") == []
    with pytest.raises(ZooError, match="cannot be deleted"):
        zoo.remove("mobilenet-v2")
    with pytest.raises(ZooError, match="CORAL_CLASSIFY_HOME"):
        zoo.pull("mobilenet-v2", str(tmp_path))


def test_a_home_of_a_user_that_does_not_exist_is_taken_as_it_stands(monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_HOME", os.path.join("~no-such-user-here", "x"))
    assert home().name == "x"


def test_a_name_that_is_too_long_is_one_that_is_not_there(model):
    with pytest.raises(ModelError, match="no such file"):
        Classifier(TOO_LONG)
    with pytest.raises(LabelsError, match="cannot be read"):
        Classifier(model, labels=TOO_LONG)
    with pytest.raises(ZooError, match="no such folder"):
        zoo.pull("mobilenet-v2", TOO_LONG)
