"""Several ComfyUI servers as one: who gets the next picture, and who rests because it fails."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ...comfy.server import Server

__all__ = ["EACH", "Member", "Servers"]

EACH = 2
"""Graphs of ours in a server's queue, so that none waits for us. All share one queue: a fast server takes more."""
RESTS_AFTER = 3
"""Failures one after another."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 120.0
"""Seconds of a rest; each that ends in a failure doubles the next one."""
PATIENCE = 1.0
"""Seconds for which one server is waited for before another one is asked."""

_log = logging.getLogger(__name__)


class Member:
    """A server, and how it does."""

    def __init__(self, server: Server):
        """Nothing is known of it yet."""
        self.server = server
        self.proven = False
        """Whether it has drawn a picture."""
        self.connected = False
        self.busy = self.failures = 0
        self.seconds = 0.0
        """Of a picture, as a moving mean."""
        self.rests_until = 0.0
        self.pause = 0.0

    @property
    def room(self) -> int:
        """How many graphs more it takes; one at a time until it has drawn and after it has failed."""
        return (EACH if self.proven and not self.failures else 1) - self.busy


class Servers:
    """The servers of an expert. Threads that draw take one each and wait where none is free."""

    def __init__(self, servers: Sequence[Server], clock: Callable[[], float] = time.monotonic):
        """Take servers; none is asked yet."""
        self.members = [Member(server) for server in servers]
        self._clock = clock
        self._changed = threading.Condition()
        self._waits = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[Member]:
        """Wait for a server that is free and does not rest, and hold it."""
        member = self._take()
        began = self._clock()
        try:
            yield member
        finally:
            with self._changed:
                member.busy -= 1
                if not member.failures:
                    took = self._clock() - began
                    member.seconds = took if not member.seconds else 0.8 * member.seconds + 0.2 * took
                self._changed.notify_all()

    def _take(self) -> Member:
        with self._changed:
            while True:
                now = self._clock()
                awake = [member for member in self.members if member.rests_until <= now]
                free = [member for member in awake if member.room > 0]
                if free:
                    # The emptier one, and of equals the faster one.
                    best = min(free, key=lambda member: (member.busy, member.failures, member.seconds))
                    best.busy += 1
                    return best
                if not awake and not self._waits:
                    self._waits = True
                    names = ", ".join(member.server.address for member in self.members)
                    _log.warning("no ComfyUI server can draw (%s rest); the run waits and asks them again", names)
                wakes = [member.rests_until - now for member in self.members if member.rests_until > now]
                self._changed.wait(min(wakes, default=None))

    def works(self, member: Member) -> None:
        """Say that a server has drawn a picture."""
        with self._changed:
            if member.pause or self._waits:
                _log.info("%s draws again", member.server.name)
            member.proven, member.failures, member.pause, self._waits = True, 0, 0.0, False
            self._changed.notify_all()

    def fails(self, member: Member, error: Exception, at_once: bool = False) -> None:
        """Say that a server has failed; at the third time, or at once, it rests."""
        with self._changed:
            member.failures += 1
            member.connected = False
            if member.failures < RESTS_AFTER and not at_once:
                return
            if member.rests_until > self._clock():
                return  # another thread's graph on a server that rests already
            if not member.pause:
                _log.warning("%s rests: %s", member.server.name, error)
            member.pause = min(max(FIRST_PAUSE, 2 * member.pause), LONGEST_PAUSE)
            member.rests_until = self._clock() + member.pause
            self._changed.notify_all()
