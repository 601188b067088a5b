"""Teaching from the page: while a class's button is held, the frames that come are shown to the Teacher as that class.

It works in a thread of its own, with a network of its own on the CPU: the camera's answers go on meanwhile.
"""
from __future__ import annotations

import queue
import re
import shlex
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from ..errors import CoralClassifyError, UsageError
from .film import pixels_of
from .scene import Scene, View

if TYPE_CHECKING:
    from ..learn import Teacher

__all__ = ["MOST_PICTURES", "Lessons"]

MOST_PICTURES = 60      # of one class: more frames of one film teach nothing new, and saving takes longer
_MOST_CLASSES = 50
_LONGEST_NAME = 60      # characters
_EVERY_S = 0.2          # between two frames that are shown, or answered
_GRACE_S = 1.0          # for what is being done when it ends
_HELD_S = 2.5           # a button of which nothing is heard for so long is let go: its page may be gone


class Lessons:
    """A Teacher for a page's viewers.

    :param model: whose network is built on if it can be; else the package's own
    :param folder: where models are saved
    """

    def __init__(self, scene: Scene, view: View, model: Optional[str], folder: Path) -> None:
        self._scene = scene
        self._view = view
        self._model = model
        self._folder = folder
        self._lock = threading.Lock()
        self._held: Dict[str, Tuple[str, float]] = {}       # of each page: the class, and until when
        self._orders: "queue.Queue[Callable[[Teacher], object]]" = queue.Queue()
        self._thread: Optional[threading.Thread] = None
        self._over = threading.Event()
        self._wake = threading.Event()
        self._state: Dict[str, Any] = {
            "at_work": "", "trouble": "", "base": "", "classes": {}, "answer": [], "saved": None}

    def state(self) -> Dict[str, Any]:
        """What viewers see of it, in plain types."""
        with self._lock:
            return dict(self._state, showing=self._name_held())

    @property
    def begun(self) -> bool:
        """Whether somebody has shown something: from then on each answer is asked of the Teacher, too."""
        return self._thread is not None

    # ---- what viewers do; from any thread, and none of it takes time

    def hold(self, page: str, name: str) -> None:
        """Show what the camera sees as *name*, for a short while, unless it is said again.

        :param page: whose button it is
        :raises UsageError: for a name that cannot be one
        """
        name = " ".join(name.split())
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise UsageError("a class has a name of 1 to %d letters" % _LONGEST_NAME)
        with self._lock:
            classes = self._state["classes"]
            if name not in classes and len(classes) >= _MOST_CLASSES:
                raise UsageError("%d classes are enough for a page; coral-classify teach takes more" % _MOST_CLASSES)
            self._held[page] = (name, time.monotonic() + _HELD_S)
            self._state["trouble"] = ""
        self._begin()

    def release(self, page: str) -> None:
        """The button is let go."""
        with self._lock:
            self._held.pop(page, None)

    def forget(self, name: str) -> None:
        """Forget a class.

        :raises UsageError: if there is none of that name
        """
        with self._lock:
            if name not in self._state["classes"]:
                raise UsageError("no class has that name; there may have been one before")
        self._order(lambda teacher: teacher.forget(name))

    def save(self, name: str) -> None:
        """Write the model of what was shown; :meth:`state` says where it is, or why not.

        :param name: of the file, without its ending
        :raises UsageError: if it cannot be one, or there is such a file already
        """
        name = " ".join(name.split())
        if not 0 < len(name.encode("utf-8")) <= 200 or not name.isprintable() or re.search(r"^[.-]|[/\\]", name):
            raise UsageError("a file has a name of letters, without / and not beginning with a dot or a dash")
        path = self._folder / (name if name.endswith(".tflite") else name + ".tflite")
        _check_free(path)
        with self._lock:
            if len(self._state["classes"]) < 2:
                raise UsageError("show at least two classes first")
        self._order(lambda teacher: self._write(teacher, path))

    def close(self) -> None:
        """May be called twice.  Saving that takes longer than a second is given up: the file comes whole or not."""
        self._over.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(_GRACE_S)

    # ---- the thread

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._over.is_set():
                self._thread = threading.Thread(target=self._work, name="coral-classify-lessons", daemon=True)
                self._thread.start()
        self._wake.set()

    def _order(self, order: "Callable[[Teacher], object]") -> None:
        self._orders.put(order)
        self._begin()

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self._state.update(changes)

    def _name_held(self) -> Optional[str]:
        """In the lock: the class of whoever pressed last."""
        now = time.monotonic()
        self._held = {page: held for page, held in self._held.items() if held[1] > now}
        return max(self._held.values(), key=lambda held: held[1])[0] if self._held else None

    def _work(self) -> None:
        try:
            self._set(at_work="opening the network that learns")
            with self._teacher() as teacher:
                self._set(at_work="", base=Path(teacher.base.name).name)
                while not self._over.is_set():
                    self._turn(teacher)
        except CoralClassifyError as exc:
            self._set(trouble=str(exc), at_work="")
        except Exception as exc:
            self._set(trouble="teaching ended: %s: %s" % (type(exc).__name__, exc), at_work="")
            raise
        finally:
            with self._lock:
                self._thread = None     # the next press tries again

    def _teacher(self) -> "Teacher":
        from ..learn import Teacher

        if self._model is not None:
            try:
                return Teacher(self._model, device="cpu")
            except CoralClassifyError:      # not every network has features to be found; the package's own has
                pass
        return Teacher(device="cpu")

    def _turn(self, teacher: "Teacher") -> None:
        """An order, if there is one; then one frame."""
        try:
            order = self._orders.get_nowait()
        except queue.Empty:
            pass
        else:
            try:
                order(teacher)
            except (CoralClassifyError, OSError) as exc:
                self._set(trouble=str(exc), at_work="")
            self._set(classes=teacher.classes)
        with self._lock:
            name = self._name_held()
        if name is not None:
            self._show(teacher, name)
        self._set(answer=self._answer(teacher) if teacher.classes else [])
        if name is None and not teacher.classes:
            self._wake.wait()       # until somebody presses again
        self._wake.clear()
        self._over.wait(_EVERY_S)

    def _frame(self) -> Any:
        _, frame = self._scene.frame()
        if frame is None:
            raise UsageError("there is no picture yet")
        return pixels_of(frame, self._view) if self._view != View() else frame

    def _show(self, teacher: "Teacher", name: str) -> None:
        if teacher.classes.get(name, 0) >= MOST_PICTURES:
            self._set(trouble="%d pictures of %s are enough" % (MOST_PICTURES, name))
            return
        try:
            lesson = teacher.show(name, self._frame())
        except CoralClassifyError as exc:
            self._set(trouble=str(exc))
            return
        if lesson.claimed:
            self._set(trouble="this picture was shown as %s already" % lesson.claimed[0][2])
        self._set(classes=teacher.classes)

    def _answer(self, teacher: "Teacher") -> List[List[Any]]:
        try:
            return [[each.label, round(each.score, 4)] for each in teacher.glance(self._frame())]
        except CoralClassifyError:
            return []

    def _write(self, teacher: "Teacher", path: Path) -> None:
        self._set(at_work="saving %s; with many pictures that takes a minute" % path.name, trouble="")
        self._folder.mkdir(parents=True, exist_ok=True)
        _check_free(path)       # it may have come while other orders were carried out
        teacher.save(path)
        self._set(at_work="", saved={
            "name": path.name, "expected": str(teacher.choice.expected) if teacher.choice.expected else "",
            "command": "coral-classify live --model %s" % shlex.quote(str(path))})


def _check_free(path: Path) -> None:
    """:raises UsageError: if there is such a file"""
    if path.exists():
        raise UsageError("%s is there already; choose another name" % path.name)
