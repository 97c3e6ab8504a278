"""19 May 2021: a cascade of liquidations."""

from __future__ import annotations

from train.crash import Crash


class Crash20210519(Crash):
    """BTC, peak to trough 34 % in three days."""

    name = "2021-05-19"
    about = "BTC falls by a third, 18 % within one hour, half of which comes back"
    asset = "btc"
    worst = "2021-05-19T12:00"
