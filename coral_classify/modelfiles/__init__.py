"""What a ``.tflite`` file says of itself, and what is known about it, without an engine.

Knows the format (FlatBuffers, TFLite's schema and metadata), label files, and the passports of published models.  Knows
nothing of downloads, engines, devices or pictures.
May use: errors, types, locations, doors, reading.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from . import passports
from .labels import fit_labels, parse_labels, read_labels
from .modelfile import (
    EDGETPU_OP,
    ModelFile,
    NetworkFile,
    compiled_path,
    is_compiled,
    read_model,
    read_network,
    twin_path,
)
from .modellabels import labels_for, named_labels
from .passports import Passport, Sure

if TYPE_CHECKING:
    from .archive import attach, split
    from .backbone import extractor, features_tensor
    from .graph import Graph, Operator, Tensor, constant, description_of, read_graph
    from .inspector import Report, inspect
    from .metadata import LABEL_FILE, METADATA, classifier_metadata, label_file
    from .writer import Constant, Layer, rewrite

__all__ = ["EDGETPU_OP", "LABEL_FILE", "METADATA", "Constant", "Graph", "Layer", "ModelFile", "NetworkFile", "Operator",
           "Passport", "Report", "Sure", "Tensor", "attach", "classifier_metadata", "compiled_path", "constant",
           "description_of", "extractor", "features_tensor", "fit_labels", "inspect", "is_compiled", "label_file",
           "labels_for", "named_labels", "parse_labels", "passports", "read_graph", "read_labels", "read_model",
           "read_network", "rewrite", "split", "twin_path"]

# Whoever classifies neither inspects nor writes.
__getattr__ = on_first_use(__name__, {
    "Report": "inspector", "inspect": "inspector", "Graph": "graph", "Operator": "graph", "Tensor": "graph",
    "constant": "graph", "description_of": "graph", "read_graph": "graph", "Constant": "writer", "Layer": "writer",
    "rewrite": "writer", "attach": "archive", "split": "archive", "extractor": "backbone",
    "features_tensor": "backbone", "LABEL_FILE": "metadata", "METADATA": "metadata",
    "classifier_metadata": "metadata", "label_file": "metadata"})
