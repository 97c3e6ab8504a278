"""12 March 2020: the pandemic's first crash."""

from __future__ import annotations

from train.crash import Crash


class Crash20200312(Crash):
    """BTC, peak to trough 52 % in three days."""

    name = "2020-03-12"
    about = "BTC falls by half in two days, 21 % within one hour"
    asset = "btc"
    worst = "2020-03-12T10:00"
