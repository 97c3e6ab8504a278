"""What the hedger did, in plain words: a line a person reads at three in the morning."""

from __future__ import annotations

from serve.commands import Alert, Decision, Denied, Intent, Transition
from serve.events import Filled
from serve.mirror import Record

SOURCES = {
    "policy": "The policy",
    "last_good": "The last good policy",
    "fallback": "The analytic hedge",
    "close": "The close",
    "flatten": "The flatten",
}


def told(record: Record) -> str:
    if isinstance(record, Decision):
        return _decided(record)
    if isinstance(record, Filled):
        side = "bought" if record.units > 0 else "sold"
        return f"Order {record.order} {side} {abs(record.units):f} at {record.price:,.2f}, fee {record.fee:,.2f}."
    if isinstance(record, Transition):
        return f"{record.breaker}: {record.before} → {record.after}, the hedger is {record.state}: {record.reason}."
    if isinstance(record, Denied):
        return f"Denied: {_side(float(record.units))} {abs(record.units):f} {record.symbol}: {record.reason}."
    assert isinstance(record, Alert), "no other kind is recorded"
    return f"Alert: {record.text}."


def _decided(made: Decision) -> str:
    legs = "; ".join(f"{leg.symbol} {_held(leg)}, {_wanted(float(leg.wanted), float(leg.sent))}" for leg in made.legs)
    reason = f" ({made.reason})" if made.reason else ""
    return f"{SOURCES[made.source]}{reason}: {legs}."


def _held(leg: Intent) -> str:
    return f"position {leg.position:f}, band {leg.lower:.1%} to {leg.upper:.1%} of the book's base units"


def _wanted(wanted: float, sent: float) -> str:
    if wanted == 0:
        return "no trade"
    if sent == wanted:
        return f"{_side(wanted)} {abs(wanted):g}"
    return f"to {_side(wanted)} {abs(wanted):g}, of which {abs(sent):g} left"


def _side(units: float) -> str:
    return "buy" if units > 0 else "sell"
