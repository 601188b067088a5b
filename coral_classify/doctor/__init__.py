"""Why does my Coral not work?  From Python to the chip: cause, evidence, and the one command that mends it.

Knows what the system shows and what every lower room can tell.  Changes nothing.
May use: errors, arguments, locations, modelfiles, edgetpu, engine, supervision, placement, classifier.
"""
from __future__ import annotations

from .checks import examine
from .finding import Check
from .trials import compare_with_twin

__all__ = ["Check", "compare_with_twin", "examine"]
