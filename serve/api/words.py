"""What the hedger did, in plain words: a line a person reads at three in the morning."""

from __future__ import annotations

from decimal import Decimal

from serve.commands import Alert, Decision, Denied, Intent, Proposal, Transition
from serve.events import Filled
from serve.mirror import Record

SOURCES = {
    "policy": "The policy",
    "last_good": "The last good policy",
    "fallback": "The analytic hedge",
    "protect": "The margin's protection",
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
        return f"Denied: {_side(record.units)} {abs(record.units):f} {record.symbol}: {record.reason}."
    if isinstance(record, Proposal):
        return f"Proposed: move {record.amount:,.2f} from {record.source} to {record.account}: {record.reason}."
    assert isinstance(record, Alert), "no other kind is recorded"
    return f"Alert: {record.text}."


def _decided(made: Decision) -> str:
    reason = f" ({made.reason})" if made.reason else ""
    return f"{SOURCES[made.source]}{reason} {'; '.join(map(_leg, made.legs))}."


def _leg(leg: Intent) -> str:
    band = f"its band of {leg.lower:.1%} to {leg.upper:.1%} of the book"
    if leg.wanted == 0:
        return f"leaves {leg.symbol} at {leg.position:f}, in {band}"
    part = "" if leg.sent == leg.wanted else f", {abs(leg.sent):f} of it now"
    return f"{_side(leg.wanted)}s {abs(leg.wanted):f} {leg.symbol}{part}: {leg.position:f} is outside {band}"


def _side(units: Decimal) -> str:
    return "buy" if units > 0 else "sell"
