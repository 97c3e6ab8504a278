"""Before a request is answered: is the token right, may it do this, and does its holder ask too often or guess?"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from serve.api.tokens import Scope, Tokens
from serve.clock import SECOND, Clock

GUESSES = 6  # wrong tokens within the spell after which an address is locked out
SPELL = 15 * 60 * SECOND
READS, COMMANDS = 50, 10  # requests within the window, per holder
WINDOW = 10 * SECOND
ADDRESSES = 10_000  # remembered; the longest silent are forgotten


class Denial(Exception):
    """Why a request is not answered, and when to come again."""

    def __init__(self, status: int, words: str, after: int | None = None) -> None:
        """`after`: milliseconds."""
        super().__init__(words)
        self.status, self.after = status, after


@dataclass
class Guard:
    tokens: Tokens
    clock: Clock
    _wrong: dict[str, deque[int]] = field(default_factory=dict)  # times, by address
    _right: dict[tuple[str, str], None] = field(default_factory=dict)  # address and name of tokens that were
    _asked: dict[tuple[str, bool], deque[int]] = field(default_factory=dict)
    _one: Lock = field(default_factory=Lock)

    def admitted(self, header: str | None, address: str, needs: Scope) -> str:
        """The name of whoever asks. Raises Denial.

        Where no tokens are set up everyone who reaches the port may read, and nobody may command.
        """
        if not self.tokens:
            if needs is not Scope.READ:
                raise Denial(403, "no tokens are set up, so nothing can be told here; start with --tokens")
            return "anyone"
        with self._one:  # requests are answered side by side
            return self._checked(header, address, needs)

    def _checked(self, header: str | None, address: str, needs: Scope) -> str:
        kind, _, rest = (header or "").partition(" ")
        token = rest.strip() if kind.lower() == "bearer" else ""
        locked = self._locked(address, token)
        if header is None:
            raise Denial(401, "send a token as `Authorization: Bearer NAME.SECRET`")
        name, scope = self._known(token, address)
        if not locked:  # whoever guesses from where another works gains nothing by the other's token
            self._wrong.pop(address, None)
        if scope < needs:
            raise Denial(403, f"{name} may {scope.name.lower()}; this takes the scope {needs.name.lower()}")
        self._paced(name, needs is not Scope.READ)
        return name

    def _known(self, token: str, address: str) -> tuple[str, Scope]:
        if (found := self.tokens.scope(token)) is None:
            self._guessed(address)
            raise Denial(401, "the token is wrong")
        self._right[address, found[0]] = None
        if len(self._right) > ADDRESSES:
            self._right.pop(next(iter(self._right)))
        return found

    def _locked(self, address: str, token: str) -> bool:
        """Whether the address is; a token that was right there before it was passes all the same, and no other is even
        looked at.
        """
        now, wrong = self.clock.now(), self._wrong.get(address, deque())
        if len(wrong) < GUESSES or (left := wrong[-1] + SPELL - now) <= 0:
            return False
        if (address, self.tokens.known(token)) not in self._right:
            raise Denial(429, f"{GUESSES} wrong tokens came from {address}; it is locked out for a while", left)
        return True

    def _guessed(self, address: str) -> None:
        wrong = self._wrong.pop(address, deque(maxlen=GUESSES))
        now = self.clock.now()
        self._wrong[address] = deque((at for at in wrong if now - at < SPELL), maxlen=GUESSES)
        self._wrong[address].append(now)
        if len(self._wrong) > ADDRESSES:
            self._wrong.pop(next(iter(self._wrong)))

    def _paced(self, name: str, commands: bool) -> None:
        most = COMMANDS if commands else READS
        asked = self._asked.setdefault((name, commands), deque(maxlen=most))
        now = self.clock.now()
        if len(asked) == most and (left := asked[0] + WINDOW - now) > 0:
            raise Denial(429, f"{name} asks more than {most} times in {WINDOW // SECOND} s", left)
        asked.append(now)
