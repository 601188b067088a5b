"""``python -m coral_classify``: the same as the command ``coral-classify``."""
import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
