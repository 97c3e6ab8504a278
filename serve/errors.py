"""What can go wrong while serving. Bad input by a person is `envs.types.BadInput`."""

from __future__ import annotations

import re

ADDRESS = re.compile(r"0x[0-9a-f]+")


class ServeError(Exception):
    """Root of everything below."""


class JournalError(ServeError):
    """The journal could not be written or read: nothing may leave until it can."""


class JournalBroken(JournalError):
    """The stored bytes do not fit the hash chain."""


class OrderError(ServeError):
    """An order event that the order's state does not allow."""


class Refused(ServeError):
    """A message from outside that is journalled, counted and not acted on."""


class ReplayMismatch(ServeError):
    """A journal's recorded outputs differ from what the core makes of the same events."""


class FeedError(ServeError):
    """The feed sent something that is no quote."""


class StartRefused(ServeError):
    """Our records and the venue's do not agree, so the session does not begin."""


class InboxError(ServeError):
    """What persons tell cannot be read or recorded."""


class IdUsed(InboxError):
    """The id of what is told was another instruction's."""


def in_words(error: Exception) -> str:
    """Its kind and what it says, without places in memory: a replay says the same."""
    return f"{type(error).__name__}: {ADDRESS.sub('0x…', str(error))}"
