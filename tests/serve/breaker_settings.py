"""Settings of every breaker for tests: loose where these worlds are wild, tight where a test drives them over."""

from __future__ import annotations

from typing import Any


def limit(entry: float, exit: float) -> dict[str, float]:
    return {"entry": entry, "exit": exit}


DISCIPLINE = {"confirmations": 2, "dwell_seconds": 3600, "latch_trips": 3}
REPORT = limit(1e6, 8e5)
QUOTE = limit(2700, 1500)
SETTINGS: dict[str, dict[str, Any]] = {
    "auto_deleveraging": {"quiet_seconds": 1200},
    "clock_step": limit(500, 100),
    "funding_extreme": limit(20, 10),
    "greek_limit": {
        "delta": limit(300_000, 240_000),
        "gamma": limit(400_000, 320_000),
        "vega": limit(1e6, 8e5),
        "stress_loss": limit(1e7, 8e6),
    },
    "journal_stall": limit(2000, 500),
    "latency": limit(1000, 300),
    "liquidation_cascade": limit(1000, 100),
    "liquidity_collapse": {"half_spread": limit(0.01, 0.005), "depth": limit(10_000, 50_000)},
    "loss": {"loss": limit(50_000, 40_000), "drawdown": limit(50_000, 40_000), "half_life_seconds": 1},
    "margin_distance": limit(0.02, 0.05),
    "oracle_deviation": {**limit(0.02, 0.005), "silent_seconds": 60},
    "order_rate": {**limit(40, 20), "window_seconds": 60},
    "own_patterns": {
        "window_seconds": 3600,
        "pulled": limit(200, 100),
        "turned": limit(200, 100),
        "crossed": limit(20, 10),
    },
    "policy_disagreement": limit(20, 10),
    "policy_invalid": limit(0.25, 0.1),
    "price_jump": {"fraction": limit(0.06, 0.03), "sigmas": limit(12, 8), "shortest_seconds": 900},
    "reconciliation_mismatch": {},
    "reject_rate": {**limit(0.9, 0.2), "window_seconds": 600, "fewest_orders": 10},
    "repeated_execution": {**limit(200, 100), "window_seconds": 3600, "latch_trips": 1},
    "slippage": {**limit(200, 100), "window_seconds": 600, "fewest_fills": 3},
    "stale_input": dict.fromkeys(("spot", "mark", "funding", "surface"), QUOTE)
    | dict.fromkeys(("orders", "positions", "balance"), REPORT),
    "volatility_spike": limit(50, 20),
}
BREAKERS = {name: {**DISCIPLINE, **own} for name, own in SETTINGS.items()}
