"""The models that an owner has loaded: one session for each content and accelerator, however many clients use it."""
from __future__ import annotations

import functools
import logging
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from .. import arguments, edgetpu
from ..engine import describe
from ..errors import CoralClassifyError, DeadlineExceeded, DeviceError, DeviceLost
from ..supervision import DeviceHealth, Limits, SupervisedSession
from .copies import Copy
from .places import Place, Places
from .strikes import Strikes

__all__ = ["CLASSIFIER", "INTERPRETER", "NETWORK", "Loaded", "Stock"]

_log = logging.getLogger("coral_classify.sharing")
# What may be opened: a session with a classifier or any network in it, or an interpreter for programs of other APIs.
CLASSIFIER, NETWORK, INTERPRETER = "classifier", "network", "interpreter"
_INTERPRETER_FACTORY = "coral_classify.compat.housed:open_housed"
# Causes for which a model does not open anywhere.
_OF_THE_MODEL = {"no-compiled", "no-owner", "refused", "runtime-version", "pairing", "no-library"}
_LIMITS = Limits(run_s=8.0, first_s=12.0, prove=False)  # a client gives up after 10 s, unless it was told otherwise


class Loaded:
    """A model with its session, on an accelerator."""

    def __init__(self, copy: Copy, kind: str, place: Place) -> None:
        self.copy, self.kind, self.place = copy, kind, place
        self.key = (copy.digest, kind)
        self.name = ""  # of the file, as its latest client calls it
        self.users = 0
        self.used_at = time.monotonic()
        self.opening = threading.Lock()
        self.session: Any = None
        self.closed = False  # nobody is to be housed in it any more


class Stock:
    """
    :param device: "auto": every Edge TPU; or the name of one, or "cpu"
    :param most: how many models stay loaded on each; the one that was not used for longest makes room
    """

    def __init__(self, device: str = "auto", most: int = 8) -> None:
        arguments.text("device", device)
        arguments.whole("most", most, least=1)
        self.places = Places(device)
        self.strikes = Strikes()
        self.faults = 0  # of the accelerators, that were survived
        self._most = most
        self._lock = threading.Lock()
        self._loaded: List[Loaded] = []
        self._closing: List[threading.Thread] = []

    def take(self, copy: Copy, kind: str, wish: str, leaving: Optional[Loaded] = None) -> Loaded:
        """A model that is ready to be asked, where the fewest clients are; :meth:`give_back` it.

        :param wish: the client's own name for the accelerator that it wants
        :param leaving: where the client is housed at present
        :raises CoralClassifyError: if it does not open, or there is no room
        """
        while True:
            loaded = self._placed(copy, kind, wish, leaving)
            try:
                with loaded.opening:
                    if loaded.session is None:
                        self._open(loaded)
                return loaded
            except BaseException as exc:
                self.give_back(loaded)
                if not isinstance(exc, DeviceError) or exc.cause in _OF_THE_MODEL:
                    raise
                loaded.place.avoid()
                if isinstance(exc, DeviceLost) or loaded.place in self.places.choice(wish):
                    raise  # it may be the model's fault; or there is no other place

    def _placed(self, copy: Copy, kind: str, wish: str, leaving: Optional[Loaded]) -> Loaded:
        places = self.places.choice(wish)
        if not places:
            raise edgetpu.reasons.absent("auto" if wish == "shared" else wish, [], edgetpu.System())
        with self._lock:
            self._refuse_banned(copy.digest)
            place = min(places, key=lambda one: (self._users(one, leaving), leaving is None or one is not leaving.place,
                                                 not self._find(copy, kind, one)))
            loaded = self._find(copy, kind, place)
            if loaded is None:
                self._make_room(place)
                loaded = Loaded(copy, kind, place)
                self._loaded.append(loaded)
            loaded.users += 1
            return loaded

    def give_back(self, loaded: Loaded) -> None:
        with self._lock:
            loaded.users -= 1
            loaded.used_at = time.monotonic()
            if loaded.session is None and loaded.users == 0:
                self._drop(loaded)

    def is_best(self, loaded: Loaded, wish: str) -> bool:
        """Whether a client with this wish need not move to another accelerator."""
        if loaded.closed or loaded.place.gone:
            return False
        places = self.places.choice(wish)
        if loaded.place not in places and places and not loaded.session.is_there():
            return False
        if len(places) == 1 or loaded.place not in places:
            return True
        with self._lock:
            here = self._users(loaded.place)
            return all(here <= self._users(one) + 1 for one in places)

    def crashed(self, loaded: Loaded) -> None:
        """The driver's process went with a picture of this model.

        :raises DeviceError: if the model is not run any more for that
        """
        with self._lock:
            if self.strikes.crashed(loaded.copy.digest, time.monotonic()):
                _log.warning("model %s took the process of %s along twice in a row and is not run for a while",
                             loaded.copy.digest[:12], loaded.place.name)
                for one in [one for one in self._loaded if one.copy.digest == loaded.copy.digest]:
                    self._drop(one)
            self._refuse_banned(loaded.copy.digest)

    def answered(self, loaded: Loaded) -> None:
        loaded.place.faulty = False
        with self._lock:
            self.strikes.answered(loaded.copy.digest)

    def look(self) -> None:
        """Leave what was pulled out."""
        self.places.look()
        with self._lock:
            for loaded in [one for one in self._loaded if one.place.gone]:
                self._drop(loaded)
            self._closing = [thread for thread in self._closing if thread.is_alive()]

    def models(self) -> List[Loaded]:
        with self._lock:
            return list(self._loaded)

    def close(self, within_s: float = 5.0) -> None:
        with self._lock:
            for loaded in list(self._loaded):
                self._drop(loaded)
            closing = list(self._closing)
        until = time.monotonic() + within_s
        for thread in closing:
            thread.join(max(0.0, until - time.monotonic()))

    # ---- with the lock held

    def _refuse_banned(self, digest: str) -> None:
        left_s = self.strikes.left_s(digest, time.monotonic())
        if left_s:
            raise DeviceError("this model took the process that holds the Edge TPU along, and is not tried again for "
                              "%.0f s" % left_s, cause="refused")

    def _find(self, copy: Copy, kind: str, place: Place) -> Optional[Loaded]:
        return next((one for one in self._loaded if one.key == (copy.digest, kind) and one.place is place), None)

    def _users(self, place: Place, but: Optional[Loaded] = None) -> int:
        return sum(one.users - (one is but) for one in self._loaded if one.place is place)

    def _make_room(self, place: Place) -> None:
        here = [one for one in self._loaded if one.place is place]
        if len(here) < self._most:
            return
        idle = [one for one in here if one.users == 0]
        if not idle:
            raise DeviceError("%d models are in use on %s, and there is no room for another" % (len(here), place.name),
                              cause="busy")
        out = min(idle, key=lambda one: one.used_at)
        _log.warning("model %s makes room on %s", out.copy.digest[:12], place.name)
        self._drop(out)

    def _drop(self, loaded: Loaded) -> None:
        """Nobody comes to it any more; its session closes by itself."""
        loaded.closed = True
        if loaded in self._loaded:
            self._loaded.remove(loaded)
        if loaded.session is not None:
            thread = threading.Thread(target=loaded.session.close, name="coral-closing", daemon=True)
            thread.start()
            self._closing.append(thread)

    # ---- without

    def _open(self, loaded: Loaded) -> None:
        """In a turn of its own: what goes down meanwhile went down by it."""
        place, digest = loaded.place, loaded.copy.digest
        if place.name != "cpu" and not loaded.copy.compiled:
            raise DeviceError("the model is not compiled for the Edge TPU", cause="no-compiled")
        with place.turns.turn(object(), loaded.key):
            try:
                session = self._session(loaded)
            except CoralClassifyError as exc:
                if isinstance(exc, (DeviceLost, DeadlineExceeded)):
                    with self._lock:
                        self.strikes.crashed(digest, time.monotonic())
                raise
        with self._lock:
            loaded.session = session
            if loaded.closed:
                self._drop(loaded)

    def _session(self, loaded: Loaded) -> SupervisedSession:
        place, path = loaded.place, loaded.copy.path
        # The visit gives a lost picture again, and a crash is charged to its model: no rest for all.
        more: Dict[str, Any] = {
            "device": place.name, "on_device_loss": "raise", "limits": _LIMITS,
            "health": DeviceHealth(first_pause_s=0.25, longest_pause_s=10.0, rest_s=0.0),
            "is_listed": None if place.name == "cpu" else functools.partial(edgetpu.is_listed, place.name),
            "on_event": lambda event: self._heard(place, event)}
        if loaded.kind != INTERPRETER:
            return SupervisedSession(describe(path, place.name, any_network=loaded.kind == NETWORK), **more)
        session = SupervisedSession({"model": path, "device": place.name, "threads": None, "options": {}, "shapes": {}},
                                    factory=_INTERPRETER_FACTORY, **more)
        if session.call("layout")["stateful"]:
            session.close()
            raise DeviceError("the model keeps variables from one picture to the next, which cannot be shared; it "
                              "needs an accelerator of its own", cause="no-owner")
        return session

    def _heard(self, place: Place, event: Any) -> None:
        with self._lock:
            # The sessions on a device share its process: it is lost for all of them at once.
            if event.kind == "lost" and not place.faulty:
                place.faulty = True
                self.faults += 1

    def told(self) -> Tuple[List[Dict[str, Any]], Dict[str, int]]:
        """In plain types: the accelerators with their models; and which models are not run, for how many seconds."""
        chips = {chip.path: chip.temperature for chip in edgetpu.System().pci_chips()}
        models = self.models()
        devices = []
        for place in self.places.all():
            devices.append({
                "name": place.name, "type": place.device.type, "path": place.device.path,
                "present": place.missing_since is None, "temperature": chips.get(place.device.path),
                "models": [{"id": one.copy.digest[:12], "name": one.name, "users": one.users, "kind": one.kind,
                            "open": one.session is not None and one.session.is_there()}
                           for one in models if one.place is place]})
        with self._lock:
            banned = self.strikes.banned(time.monotonic())
        return devices, {digest[:12]: round(left_s) for digest, left_s in banned.items()}
