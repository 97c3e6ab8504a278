"""22 December 2017: the end of that year's rally."""

from __future__ import annotations

from train.crash import Crash


class Crash20171222(Crash):
    """BTC, peak to trough 40 % in three days."""

    name = "2017-12-22"
    about = "BTC falls by 26 % in a day, 15 % within one hour"
    asset = "btc"
    worst = "2017-12-22T14:00"
