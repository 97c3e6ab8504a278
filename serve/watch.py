"""Running the breakers on what an event made of the world."""

from __future__ import annotations

from collections.abc import Mapping

from serve.breaker import Breaker, Recollection, View
from serve.commands import Alert, Output, Transition
from serve.errors import in_words
from serve.events import Event
from serve.frozen import replace
from serve.state import State
from serve.states import BreakerClass, Monitor, judged, tripped

CALM = Monitor()


def watched(state: State, breakers: Mapping[str, Breaker], view: View) -> State:
    """The state after every breaker has judged `view`; one that raises takes its class's state at once."""
    monitors, recollections = dict(state.monitors), dict(state.recollections)
    for name, breaker in breakers.items():
        if name not in monitors or isinstance(view.event, getattr(breaker, "hears", Event)):
            monitors[name], recollections[name] = _judged(
                monitors.get(name, CALM), recollections.get(name, ()), breaker, view
            )
    return replace(state, monitors=monitors, recollections=recollections)


def doubt(state: State, breakers: Mapping[str, Breaker]) -> str | None:
    """Which breaker of the market's data has seen a breach that it cannot confirm yet."""
    for name, breaker in breakers.items():
        if breaker.kind is BreakerClass.DATA and state.monitors.get(name, CALM).suspicious:
            return name
    return None


def rose(before: State, after: State) -> bool:
    """Whether a breaker became stricter, be another as strict already: what it saw is to be hedged at once."""
    return any(now.level > before.monitors.get(name, CALM).level for name, now in after.monitors.items())


def transitions(before: State, after: State) -> list[Output]:
    """A record of every monitor that moved, and an alert for each that became stricter or latched, warm-up apart."""
    outputs: list[Output] = []
    for name, now in after.monitors.items():
        then = before.monitors.get(name, CALM)
        if now is then or (then.level, then.latched) == (now.level, now.latched):
            continue
        rose = now.level > then.level or (now.latched and not then.latched)
        words = (
            now.reason + ("; latched until a person acknowledges it" if now.latched else "") if rose else "recovered"
        )
        outputs.append(Transition(after.time, name, then.level.name, now.level.name, after.risk.name, words))
        if rose and name != "warm_up":
            outputs.append(Alert(after.time, f"{name} takes {now.level.name}: {words}"))
    return outputs


def _judged(monitor: Monitor, memory: Recollection, breaker: Breaker, view: View) -> tuple[Monitor, Recollection]:
    now, takes, rules = view.event.time, breaker.kind.takes, breaker.settings
    try:
        finding, memory = breaker.judge(view, memory)
    except Exception as error:  # whatever a breaker raises, it fails closed
        if monitor.level >= takes:
            return replace(monitor, clear_since=None), memory
        return tripped(monitor, f"raised {in_words(error)}", takes, rules.latch_trips, now), memory
    return (monitor if finding is None else judged(monitor, finding, takes, rules, now)), memory
