"""What a protocol of the rehearsal exchange is: one venue's spelling of the exchange, and nothing else.

A protocol has no socket, no clock and no fault: the server carries its messages, `Floor` tells it the time, and what
goes wrong goes wrong around it. Each is a module of this folder with one public class, made with the keys it accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from envs.types import BadInput
from serve.rehearsal.types import Command, Happening
from serve.rehearsal.views import Candle

if TYPE_CHECKING:
    from serve.rehearsal.exchange import Exchange


@dataclass(frozen=True)
class Key:
    """An account's key. None of them is a secret: a rehearsal never sees a key of a real venue."""

    key: str
    secret: str
    account: str
    passphrase: str = ""
    permissions: frozenset[str] = frozenset({"read", "trade", "account"})  # "withdraw"; of its settings: "account"

    @property
    def wallet(self) -> str:
        """The account's address, where a venue's accounts are addresses."""
        return "0x" + sha256(self.account.encode()).hexdigest()[:40]

    @property
    def private_key(self) -> str:
        return "0x" + sha256(self.secret.encode()).hexdigest()


TRADER = Key("rehearsal-trade", "rehearsal-secret", "trader", "rehearsal-pass")
READER = Key("rehearsal-read", "rehearsal-secret-read", "trader", "rehearsal-pass", frozenset({"read"}))
RIGHTS = frozenset({"read", "trade", "account", "withdraw"})
OWNER = Key("rehearsal-owner", "rehearsal-secret-owner", "trader", "rehearsal-pass", RIGHTS)
DESK = Key("rehearsal-desk", "rehearsal-secret-desk", "desk", "rehearsal-pass")  # whose positions may be the book
KEYS = (TRADER, READER, OWNER, DESK)


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # as asked for, such as /api/v2/private/buy
    query: str  # as sent, for signatures
    headers: Mapping[str, str]  # names in lower case
    body: str  # as sent
    params: Mapping[str, str] = field(default_factory=dict)  # of the query, decoded
    received: int = 0  # milliseconds on the wall: what signatures and nonces are dated by


@dataclass(frozen=True)
class Reply:
    body: Any  # goes out as JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Session:
    """One websocket."""

    path: str  # with its query, as asked for
    account: str = ""  # once it has logged in
    channels: set[str] = field(default_factory=set)
    connection: str = ""  # its name, where what is placed by it ends with it
    probe: str = ""  # what asks it for a sign of life
    silence: int = 0  # milliseconds after which it is asked; 0: never
    heard: int = 0  # when it said something last
    notes: dict[str, Any] = field(default_factory=dict)  # the protocol's own


class Floor(Protocol):
    """The exchange as a protocol sees it. What a command makes happen is pushed to every session by the server."""

    @property
    def exchange(self) -> Exchange:
        """To look at; it changes by `apply` alone."""
        ...

    @property
    def now(self) -> int:
        """The exchange's time, for commands."""
        ...

    @property
    def shown(self) -> int:
        """The time that the venue tells, for messages: skewed while that fault lasts."""
        ...

    def apply(self, command: Command) -> tuple[Happening, ...]: ...

    def candles(self, instrument: str, since: int, interval: int) -> Sequence[Candle]:
        """The exchange's own, and before its first day those of the record that it goes on from. `interval`: ms."""
        ...


class Spoken(Protocol):
    """A venue's protocol."""

    roots: tuple[str, ...]  # what its REST paths begin with
    sockets: tuple[str, ...]  # what the paths of its websockets begin with
    unique_ids: bool  # whether the venue refuses a client id that it has seen
    funding: Literal["deadband", "clamped"]  # its formula, as `types.Rules` has them

    def __init__(self, keys: Sequence[Key]) -> None: ...

    def rest(self, request: Request, floor: Floor) -> Reply:
        """Never raises: what is wrong is the venue's own error."""
        ...

    def busy(self, request: Request) -> Reply:
        """The venue's answer to one request too many."""
        ...

    def cost(self, request: Request) -> int:
        """Of a request, where a read costs 1; the account's budget is `server.BURST`, refilled with time."""
        ...

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        """Answers to a message, in order, snapshots of what was subscribed to among them. Not every message is JSON."""
        ...

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        """What this session hears of it."""
        ...


def names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))


def load(name: str, keys: Sequence[Key] = KEYS) -> Spoken:
    """The protocol by its module's name. Raises BadInput where there is none."""
    if name not in names():
        raise BadInput(f"no protocol {name!r}; have {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    public = (
        found for found in vars(module).values() if isinstance(found, type) and found.__module__ == module.__name__
    )
    return cast(Spoken, next(kind for kind in public if hasattr(kind, "sockets"))(keys))
