"""The world: what it shows, how a book changes in it, simulated versions of it."""

import gymnasium

gymnasium.register(
    id="Rehedge/ShortCall-v0",
    entry_point="envs.gym:HedgingEnv",
    vector_entry_point="envs.gym:HedgingVectorEnv",
)
