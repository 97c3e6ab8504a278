"""5 August 2024: carry trades unwind."""

from __future__ import annotations

from train.crash import Crash


class Crash20240805(Crash):
    """BTC, peak to trough 20 % in three days."""

    name = "2024-08-05"
    about = "BTC falls by 20 % in a day, with no hour worse than 7 %"
    asset = "btc"
    worst = "2024-08-05T06:00"
