"""What a policy must not be used for, in words that are true of its task."""

from __future__ import annotations

from envs.contract import Contract
from envs.task import Task
from train import history


def of(task: Task) -> tuple[str, ...]:
    """For the card."""
    return (
        f"Trained and judged on one book only: {task.about}.",
        *_market(task),
        _margin(task.contract),
        _orders(task.contract),
        *_measure(task),
        "Valid inside the trained range of each feature; outside it the live hedger falls back to the analytic band.",
    )


def _market(task: Task) -> list[str]:
    if not history.calibrated(task):
        return [f"Trained on the {task.market.kind} market of the literature: nothing was learned from real prices."]
    return [
        "No history of implied volatility was at hand: the marks of options are a modelled premium on the filtered "
        "forecast, with a modelled smile, on real returns too; a history by strike and expiry would replace it.",
        "Trained on the simulated market alone: read what the evaluation says of later history before any use.",
    ]


def _margin(contract: Contract) -> str:
    if contract.margin.mode == "none":
        return "No margin call or liquidation of the hedger is modelled."
    posted = sum(each.amount for each in contract.margin.collateral)
    return (
        f"Liquidation of the hedger is modelled for {contract.margin.mode} margin with {posted:g} × notional posted at "
        "the start and nothing added later; a desk that tops up, or another venue's rules, will differ."
    )


def _orders(contract: Contract) -> str:
    every = [hedge.execution for hedge in contract.hedges]
    told = {
        "rejected": any(each.rejection > 0 for each in every),
        "delayed": any(each.delay > 0 or each.latency_bars for each in every),
        "filled in part": any(each.participation is not None for each in every),
    }
    if not any(told.values()):
        return "Orders fill at once and whole, at the modelled spread and impact."
    named = " or ".join(name for name, modelled in told.items() if modelled)
    return f"Orders may be {named} as the contract's settings say, and pay the modelled spread and impact."


def _measure(task: Task) -> list[str]:
    said = []
    if not task.objective.monotone:
        said.append(f"The measure, {task.objective.words}, is not monotone: the policy may give up large gains.")
    if task.contract.numeraire == "coin":
        said.append("Losses are counted in the coin: in quote currency the policy minimises nothing.")
    return said
