"""3 February 2025: ETH falls further than BTC."""

from __future__ import annotations

from train.crash import Crash


class Crash20250203(Crash):
    """ETH, peak to trough 33 % in three days."""

    name = "2025-02-03"
    about = "ETH falls by 24 % in a day, 16 % in each of two hours at their worst"
    asset = "eth"
    worst = "2025-02-03T01:00"
