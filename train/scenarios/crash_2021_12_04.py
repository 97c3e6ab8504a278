"""4 December 2021: a cascade in a thin night."""

from __future__ import annotations

from train.crash import Crash


class Crash20211204(Crash):
    """BTC, peak to trough 27 % in three days."""

    name = "2021-12-04"
    about = "BTC falls by 18 % within one hour and closes it 5 % down"
    asset = "btc"
    worst = "2021-12-04T05:00"
