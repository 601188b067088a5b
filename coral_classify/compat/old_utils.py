"""``edgetpu.basic.edgetpu_utils``: paths of accelerators, by the names of the old API."""
from __future__ import annotations

import operator
from typing import List

from .edgetpu_utils import get_runtime_version, list_edge_tpus

__all__ = ["EDGE_TPU_STATE_ASSIGNED", "EDGE_TPU_STATE_NONE", "EDGE_TPU_STATE_UNASSIGNED", "SUPPORTED_RUNTIME_VERSION",
           "GetRuntimeVersion", "ListEdgeTpuPaths"]

EDGE_TPU_STATE_NONE, EDGE_TPU_STATE_ASSIGNED, EDGE_TPU_STATE_UNASSIGNED = range(3)
SUPPORTED_RUNTIME_VERSION = "14"

GetRuntimeVersion = get_runtime_version


def ListEdgeTpuPaths(state: int) -> List[str]:  # noqa: N802  the old API's name
    """Paths of the accelerators; which are assigned is not known here, so all are unassigned.

    :param state: one of the three above
    """
    if operator.index(state) not in (EDGE_TPU_STATE_NONE, EDGE_TPU_STATE_ASSIGNED, EDGE_TPU_STATE_UNASSIGNED):
        raise ValueError("state must be one of EDGE_TPU_STATE_NONE, _ASSIGNED, _UNASSIGNED, got %d" % state)
    return [] if state == EDGE_TPU_STATE_ASSIGNED else [one["path"] for one in list_edge_tpus()]
