"""Which class names belong to a model: the caller's, those in its file or its plain twin, or its passport's."""
from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

from ..errors import LabelsError
from ..locations import find, home
from .labels import fit_labels, read_labels
from .modelfile import ModelFile, read_model, twin_path
from .passports import Passport

__all__ = ["labels_for", "named_labels"]

_log = logging.getLogger("coral_classify")


def labels_for(model: ModelFile, passport: Optional[Passport],
                labels: Union[str, "os.PathLike[str]", Sequence[str], None]) -> Optional[Tuple[str, ...]]:
    """The names of the model's classes; None if nobody knows them.

    :param labels: path or bare name of a label file, or the names themselves; None: look where the model came from
    :raises LabelsError: if the labels that were named do not fit
    """
    classes = model.output.shape[1]
    offset = passport.label_offset if passport else 0
    if labels is not None:
        return named_labels(labels, classes, offset)
    if passport is not None and passport.own and passport.labels:
        # Given by the user, so they win; the copy that was kept, and not what is called so in the current folder.
        return named_labels(home() / "labels" / passport.labels, classes, offset)
    if model.labels is not None:
        try:
            return fit_labels(model.labels, classes, source="in %s" % model.path.name)[0]
        except LabelsError as exc:
            _log.warning("%s; classes are shown by id", exc)
            return None
    twin = twin_path(model.path)
    if model.compiled and twin != model.path and twin.is_file():
        plain = read_model(twin)
        if plain.labels is not None and len(plain.labels) == classes:
            return plain.labels
    if passport is not None and passport.labels:
        beside = model.path.with_name(passport.labels)
        path = beside if beside.is_file() else find("labels", passport.labels)
        if path is not None:
            return named_labels(path, classes, offset)
    return None


def named_labels(labels: Union[str, "os.PathLike[str]", Sequence[str]], classes: int,
                  offset: int) -> Tuple[str, ...]:
    """The names in a label file, or given, as many as the model has classes.

    :raises LabelsError: if there is no such file, or the names do not fit
    """
    if isinstance(labels, (str, os.PathLike)):
        path = Path(labels)
        if not os.path.exists(str(path)):
            path = find("labels", str(labels)) or path
        source, names = str(path), read_labels(path)
    else:
        source, names = "given", tuple(labels)
    names, notice = fit_labels(names, classes, offset=offset, source=source)
    if notice:
        _log.warning("%s", notice)
    return names
