"""The program: ``python -m coral_classify``, and the command ``coral-classify``.

Loading takes a while, on a board a second, and Ctrl-C in that time gets one line, too, and no traceback.  So this comes
before anything else is imported; and only the program imports this module.
"""
import _signal as signal  # type: ignore[import-not-found]   # the public one takes as long to load as what follows
import os


def _interrupted(number: int, frame: object) -> None:
    os.write(2, b"coral-classify: interrupted\n")
    os._exit(130)       # nothing has begun that would have to be ended


_interrupted.while_loading = True       # type: ignore[attr-defined]    # which is how the commands know it
_IS_OURS = signal.getsignal(signal.SIGINT) is signal.default_int_handler      # a shell's background job ignores it
if _IS_OURS:
    signal.signal(signal.SIGINT, _interrupted)

import sys  # noqa: E402

from .cli import main as _main  # noqa: E402


def main() -> int:
    """:returns: the exit code"""
    try:
        return _main()
    except KeyboardInterrupt:       # outside of what the commands do
        sys.stderr.write("coral-classify: interrupted\n")
        return 130
    finally:
        if _IS_OURS:
            signal.signal(signal.SIGINT, _interrupted)


if __name__ == "__main__":
    sys.exit(main())
