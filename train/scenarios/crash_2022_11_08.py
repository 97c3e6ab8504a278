"""8 November 2022: an exchange fails."""

from __future__ import annotations

from train.crash import Crash


class Crash20221108(Crash):
    """BTC, peak to trough 26 % in three days."""

    name = "2022-11-08"
    about = "BTC falls by a quarter in two days, while shorts are paid to wait"
    asset = "btc"
    worst = "2022-11-08T19:00"
