"""Hedging for real: a deterministic core, breakers around it, a journal under it."""
