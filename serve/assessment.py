"""The self-assessment as a page: what the journal says of each control, and the lines that people fill in and sign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from serve import breaker
from serve.assessing import Act, Facts
from serve.clock import SECOND, show

SIGNED = ("Head of risk", "Responsible for the algorithms", "Validated by (not who operates it)")


def page(facts: Facts, journal: str, head: str) -> str:
    """Markdown."""
    return "\n".join(_lines(facts, journal, head)) + "\n"


def gaps(facts: Facts) -> list[str]:
    """What was not exercised in the period, or not confirmed."""
    found = []
    if not any(act.seconds is not None for act in facts.halts):
        found.append("C11: no halt was confirmed; hold a drill: `rehedge halt`, then `resume` twice.")
    if not any(act.seconds is not None for act in facts.flattens):
        found.append("C11: no flatten was confirmed; hold a drill on paper: `rehedge flatten --close`.")
    if facts.starts < 2:
        found.append("C19: it was never restarted; stop it and take it up again.")
    if quiet := [name for name in breaker.names() if not facts.trips[name]]:
        found.append(f"Breakers that never tripped: {', '.join(quiet)}; see that their limits are not out of reach.")
    unconfirmed = sum(act.seconds is None for act in (*facts.halts, *facts.flattens))
    if unconfirmed:
        found.append(f"C11: {unconfirmed} halts and flattens were not confirmed by two sources; see why.")
    return found


def _lines(facts: Facts, journal: str, head: str) -> Iterator[str]:
    first = show(facts.first if facts.first is not None else facts.since)
    yield f"# Self-assessment, {first} to {show(facts.last)} UTC"
    yield ""
    yield f"Made from the journal {journal}, whose chain holds up to {head}: {facts.entries:,} entries but quotes,"
    yield f"{facts.starts} sessions. Facts alone; the judgement is for the persons below."
    yield from _section("What ran (C22, C23)", _ran(facts))
    yield from _section("Limits before an order (C1-C5, C7, C8, C10, C17)", _numbers(facts.denied, "cut or denied"))
    yield from _section("Breakers (C6, C7, C14, C15, C20)", _breakers(facts))
    yield from _section("Kill switch (C11)", _acts([*facts.halts, *facts.flattens]))
    yield from _section("Messages that were dropped (C9, C15)", _numbers(facts.dropped, "dropped"))
    yield from _section("What persons did (C9, C10)", facts.persons)
    yield from _section("Slowest and furthest", (f"{what}: {took} ms" for what, took in sorted(facts.worst.items())))
    yield from _section("Not exercised", gaps(facts))
    yield ""
    yield "## Judged by"
    yield ""
    yield "| role | name | date | finding | signature |"
    yield "|---|---|---|---|---|"
    yield from (f"| {role} | | | | |" for role in SIGNED)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from [f"- {line}" for line in lines] or ["- nothing"]


def _ran(facts: Facts) -> Iterator[str]:
    for name, found in facts.hashes.items():
        yield f"{name}: {', '.join(each[:12] for each in sorted(found)) or 'none'}"
    yield from (f"{count:,} {name}" for name, count in sorted(facts.counts.items()))
    yield from _numbers(facts.decisions, "decisions")
    total = sum(facts.states.values())
    for name, spent in facts.states.items():
        yield f"{name}: {spent / SECOND / 3600:,.1f} h, {spent / max(total, 1):.1%} of the time"


def _breakers(facts: Facts) -> Iterator[str]:
    for name in sorted(facts.trips):
        latched = f", {facts.latches[name]} of them latched" if facts.latches[name] else ""
        yield f"{name}: {facts.trips[name]} times{latched}"


def _acts(acts: Iterable[Act]) -> Iterator[str]:
    for act in sorted(acts, key=lambda each: each.time):
        took = "not confirmed" if act.seconds is None else f"confirmed after {act.seconds:,.1f} s"
        yield f"{show(act.time)} {act.what}: {took}"


def _numbers(counts: Mapping[str, int], what: str) -> Iterator[str]:
    yield from (f"{name}: {count:,} {what}" for name, count in sorted(counts.items()))
