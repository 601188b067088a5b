"""``edgetpu.utils.dataset_utils``: the label files of the old API, by its names."""
from __future__ import annotations

from .dataset import read_label_file

__all__ = ["ReadLabelFile", "read_label_file"]

ReadLabelFile = read_label_file
