"""How a hedger stands, as Prometheus reads it. Every series is named and explained here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serve.api.stream import Broadcast
from serve.api.views import Snapshot
from serve.clock import SECOND

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("ACTIVE", "FALLBACK", "REDUCING", "HALTED")
LABELS: dict[str, tuple[str, ...]] = {
    "asset": ("spot", "volatility", "intensity", "delta", "gamma", "vega", "stress_loss", "funding_rate"),
    "symbol": ("units", "worth", "fees", "funding", "traded"),
}
ABOUT = {
    "spot": "Of the asset, quote currency.",
    "volatility": "Filtered, per square root of a year.",
    "intensity": "Of liquidation shocks, over the calm level.",
    "delta": "Of book and hedges, base units.",
    "gamma": "Of book and hedges, base units per 1 % of spot.",
    "vega": "Of book and hedges, quote currency per volatility point.",
    "stress_loss": "Of book and hedges in the worst case of the settings, quote currency.",
    "funding_rate": "Per year.",
    "units": "Position of the hedging instrument, base units.",
    "worth": "Of the hedging instrument, cash and position, quote currency.",
    "fees": "Paid so far, quote currency.",
    "funding": "Received so far, quote currency; paid is negative.",
    "traded": "Notional so far, quote currency.",
}


def exposed(broadcast: Broadcast) -> bytes:
    """The text format. Before the journal was read once, `rehedge_up` 0 alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshots(broadcast))
    return generate_latest(registry)


class _Snapshots(Collector):
    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def collect(self) -> Iterator[Metric]:
        frame = self._broadcast.frame
        readable = frame is not None and not frame.picture.fault
        yield GaugeMetricFamily("rehedge_up", "1 while the journal can be read.", float(readable))
        if frame is None:
            return
        now, silent = frame.picture.snapshot, self._broadcast.clock.now() - frame.picture.grew_at
        yield GaugeMetricFamily("rehedge_silent_seconds", "Since the journal last grew.", silent / SECOND)
        yield GaugeMetricFamily("rehedge_watchers", "Streams that are open.", self._broadcast.watchers)
        yield CounterMetricFamily("rehedge_entries", "Of the journal.", now.entries)
        yield from _state(now)
        yield from _amounts(now)
        yield from _breakers(now)
        yield from _venue(now)
        yield from self._latencies()

    def _latencies(self) -> Iterator[Metric]:
        for name, about, spell in (
            (
                "rehedge_answer_seconds",
                "From a question to the policy until its answer.",
                self._broadcast.mirror.answers,
            ),
            ("rehedge_fill_seconds", "From an order's sending to its first fill.", self._broadcast.mirror.fills),
        ):
            family = HistogramMetricFamily(name, about)
            family.add_metric([], spell.buckets(), spell.total)
            yield family


def _state(now: Snapshot) -> Iterator[Metric]:
    state = GaugeMetricFamily("rehedge_state", "1 for the state that the hedger is in.", labels=["state"])
    for name in STATES:
        state.add_metric([name], float(now.state == name))
    yield state
    yield GaugeMetricFamily("rehedge_event_time_seconds", "Of the last event, by the hedger.", now.time / SECOND)
    yield GaugeMetricFamily("rehedge_waiting_commands", "Instructions that nobody has taken.", len(now.waiting))
    yield GaugeMetricFamily("rehedge_orders_in_flight", "Orders that may still fill.", len(now.orders))
    if now.profit.total is not None and now.profit.delta_hedge is not None:
        yield GaugeMetricFamily("rehedge_profit", "Since the start, quote currency.", now.profit.total)
        about = "What the delta hedge would have made of the same book, quote currency."
        yield GaugeMetricFamily("rehedge_delta_hedge_profit", about, now.profit.delta_hedge)
    parts = GaugeMetricFamily("rehedge_profit_part", "Of the profit, by where it came from.", labels=["part"])
    for name, made in now.profit.parts.items():
        parts.add_metric([name], made)
    yield parts


def _amounts(now: Snapshot) -> Iterator[Metric]:
    rows: dict[str, list[tuple[str, object]]] = {
        "asset": [(each.name, each) for each in now.assets],
        "symbol": [(each.symbol, each) for each in now.positions],
    }
    for label, names in LABELS.items():
        for name in names:
            family = GaugeMetricFamily(f"rehedge_{name}", ABOUT[name], labels=[label])
            for own, row in rows[label]:
                family.add_metric([own], float(getattr(row, name)))
            yield family
    chance = GaugeMetricFamily(
        "rehedge_regime_probability", "Of each regime in the next bar, by the filter.", labels=["asset", "regime"]
    )
    for asset in now.assets:
        for regime in asset.regimes:
            chance.add_metric([asset.name, regime.name], regime.probability)
    yield chance
    used = GaugeMetricFamily("rehedge_limit_used_ratio", "Share of the soft limit.", labels=["limit"])
    for each in now.limits:
        used.add_metric([each.name], each.used)
    yield used


def _breakers(now: Snapshot) -> Iterator[Metric]:
    level = GaugeMetricFamily(
        "rehedge_breaker_level", "0 active, 1 fallback, 2 reducing, 3 halted.", labels=["breaker"]
    )
    latched = GaugeMetricFamily("rehedge_breaker_latched", "1 while it waits for a person.", labels=["breaker"])
    for each in now.breakers:
        level.add_metric([each.name], STATES.index(each.level))
        latched.add_metric([each.name], float(each.latched))
    yield from (level, latched)


def _venue(now: Snapshot) -> Iterator[Metric]:
    dropped = CounterMetricFamily("rehedge_dropped", "Messages that were not acted on.", labels=["kind"])
    for kind, count in now.venue.dropped.items():
        dropped.add_metric([kind], count)
    yield dropped
    mismatched = GaugeMetricFamily("rehedge_mismatch", "1: the venue's report disagrees with us.", labels=["report"])
    for report in now.venue.reports:
        mismatched.add_metric([report], float(report in now.venue.mismatches))
    yield mismatched
    if now.venue.round_trip_ms is not None:
        yield GaugeMetricFamily("rehedge_round_trip_seconds", "To the venue.", now.venue.round_trip_ms / SECOND)
