"""A hedging world whose step is one graph, traced once from `HedgingWorld.step` and compiled by TorchInductor.

What the step draws at random is drawn outside the graph, by the same calls of the same generator and in the same order;
what it carries from one decision to the next goes in and comes out as tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import is_dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from envs import rows
from envs.erfc import erfc
from envs.hedging import Episode, HedgingWorld, Step
from envs.observation import Observation
from envs.rewards import Outlook
from envs.scene import Scene

DRAWS = (torch.rand, torch.randn, torch.randint)
SCENE = (
    "views",
    "book",
    "traded",
    "exposures",
    "hedge",
    "kept",
)  # of a `Scene`: the rest follows from it, or never changes
DECOMPOSED = {torch.ops.aten.erfc.default: erfc}
OPTIONS: dict[str, Any] = {  # one loop over the paths, where the defaults would make many
    "max_fusion_size": 1 << 20,
    "cpp.max_horizontal_fusion_size": 1 << 20,
    "assert_indirect_indexing": False,
    "cpp.enable_floating_point_contract_flag": "fast",
}

Draw = Callable[[], Tensor]


class Where(NamedTuple):
    """All that a step changes."""

    state: Any
    episode: Episode
    observation: Observation


class CompiledWorld(HedgingWorld):
    """A `HedgingWorld` whose `step` is one graph: the same results to rounding, after a first step that takes minutes.

    A step leaves tensors behind; state, episode and observation are put together again when they are asked for.
    """

    @classmethod
    def of(cls, world: HedgingWorld) -> CompiledWorld:
        """Goes on from where `world` stands, which is not to be used any further."""
        made = cls.__new__(cls)
        made._graphs, made._graph, made._left = {}, None, None
        for name, value in vars(world).items():
            setattr(made, name, value)
        return made

    def step(self, action: Tensor) -> Step:
        with torch.no_grad():
            graph = self._fitting(action)
            carried = graph.split(self._where()) if self._left is None else self._left
            self.last, self._left = graph(action, self.outlook, carried)
        self._ending.popleft()
        self._ending.append(self.paths - sum(self._ending))
        return self.last

    def _fitting(self, action: Tensor) -> _Graph:
        """The graph of a step in which some episode ends, or of one in which none does."""
        ends = self._ending[0] > 0
        if self._graph is None or self._graph.ends is not ends:
            self._joined()
            self._graph = self._graphs[ends] = self._graphs.get(ends) or _Graph(self, action, ends)
        return self._graph

    def _where(self) -> Where:
        return Where(self.state, self.episode, self.observation)

    def _joined(self) -> None:
        """What the last step left behind, put together."""
        if self._left is not None:
            assert self._graph is not None
            where = self._graph.joined(self._left)
            self._left = None
            self.state, self.episode = where.state, where.episode
            self._observe()

    _graphs: dict[bool, _Graph]
    _graph: _Graph | None  # of the last step
    _left: list[Tensor] | None


def _lazy(name: str) -> property:
    def get(world: CompiledWorld) -> Any:
        world._joined()
        return vars(world)[name]

    def put(world: CompiledWorld, value: Any) -> None:
        world._joined()
        vars(world)[name] = value

    return property(get, put)


for _name in Where._fields:
    setattr(CompiledWorld, _name, _lazy(_name))


class _Graph:
    """The step of a world from where it stands, on tensors alone."""

    def __init__(self, world: CompiledWorld, action: Tensor, ends: bool) -> None:
        self.like, self.ends = world._where(), ends
        self.draws = _draws(world, action)
        self.fixed = len(_tensors(self.like[:2]))
        plain = _plain(world)

        def traced(action: Tensor, dual: Tensor, drift: Tensor, spread: Tensor, *rest: Tensor) -> list[Tensor]:
            then = copy(plain)
            then._ending = copy(plain._ending)
            then.outlook = Outlook(dual, drift, spread)  # type: ignore[arg-type]
            carried = rest[: len(rest) - len(self.draws)]
            then.state, then.episode, then.observation = _rebuilt(self.like, iter(carried))
            with _Drawing(list(rest[len(carried) :])):
                result = then.step(action)
            return [*result, *_tensors((then.state, then.episode, then.observation))]

        carried = [tensor.clone() for tensor in _tensors(self.like)]  # a tracer takes one tensor for one input
        before = world.generator.get_state()
        graph = make_fx(traced, DECOMPOSED)(
            action, *_numbers(world.outlook, world), *carried, *(draw() for draw in self.draws)
        )
        world.generator.set_state(before)
        rows.split(graph, world.paths)
        self.kept = _pruned(graph, 4, self.fixed, len(carried))
        self.call = torch.compile(graph, dynamic=False, fullgraph=True, options=OPTIONS)
        self.world = plain

    def __call__(self, action: Tensor, outlook: Outlook, carried: list[Tensor]) -> tuple[Step, list[Tensor]]:
        numbers = _numbers(outlook, self.world)
        found = self.call(action, *numbers, *carried, *(draw() for draw in self.draws))
        return Step(*found[:4]), list(found[4:])

    def split(self, where: Where) -> list[Tensor]:
        every = _tensors(where)
        return [every[place].clone() for place in self.kept]

    def joined(self, carried: list[Tensor]) -> Where:
        """The observation is not to be used: of it the graph keeps no more than a step reads."""
        state, episode = _rebuilt(self.like[:2], iter(carried))
        return Where(state, episode, self.like.observation)


class _Drawing(TorchFunctionMode):
    """Notes every random draw; hands out those `given` in their place, if any are."""

    def __init__(self, given: list[Tensor] | None = None) -> None:
        super().__init__()
        self.given = None if given is None else iter(given)
        self.calls: list[Draw] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in DRAWS:
            return func(*args, **(kwargs or {}))
        self.calls.append(partial(func, *args, **kwargs))
        return self.calls[-1]() if self.given is None else next(self.given)


def _plain(world: HedgingWorld) -> HedgingWorld:
    plain = HedgingWorld.__new__(HedgingWorld)
    vars(plain).update(vars(world) | {"_ending": copy(world._ending)})
    return plain


def _draws(world: HedgingWorld, action: Tensor) -> list[Draw]:
    """The random draws of a step, in their order; the generator stays as it was."""
    trial, before = _plain(world), world.generator.get_state()
    with _Drawing() as drawing:
        trial.step(action)
    world.generator.set_state(before)
    calls: list[Draw] = drawing.calls
    return calls


def _numbers(outlook: Outlook, world: HedgingWorld) -> tuple[Tensor, Tensor, Tensor]:
    drift, spread = (torch.tensor(x, dtype=world.dtype, device=world.device) for x in (outlook.drift, outlook.spread))
    return outlook.dual, drift, spread


def _tensors(bundle: Any) -> list[Tensor]:
    """Every tensor in tuples, dataclasses and scenes, in order."""
    if isinstance(bundle, Tensor):
        return [bundle]
    return [tensor for part in _parts(bundle).values() for tensor in _tensors(part)]


def _rebuilt(like: Any, tensors: Iterator[Tensor]) -> Any:
    """A bundle like another one with `tensors` for its own."""
    if isinstance(like, Tensor):
        return next(tensors)
    parts = {name: _rebuilt(part, tensors) for name, part in _parts(like).items()}
    if isinstance(like, tuple):
        return type(like)(*parts.values()) if hasattr(like, "_fields") else tuple(parts.values())
    if is_dataclass(like) and parts:
        made: Any = type(like)
        return made(**parts)
    if isinstance(like, Scene):
        made = copy(like)
        vars(made).clear()
        vars(made).update({n: vars(like)[n] for n in ("contract", "assets")} | parts)
        return made
    return like


def _parts(bundle: Any) -> dict[Any, Any]:
    if isinstance(bundle, tuple):
        return dict(enumerate(bundle))
    if is_dataclass(bundle):
        return vars(bundle)
    return {name: vars(bundle)[name] for name in SCENE} if isinstance(bundle, Scene) else {}


def _pruned(graph: GraphModule, first: int, fixed: int, count: int) -> list[int]:
    """Drops what is carried, after the first `fixed` of `count`, and no step reads; returns the places that stay."""
    inputs = graph.graph.find_nodes(op="placeholder")
    carried, (output,) = inputs[first : first + count], graph.graph.find_nodes(op="output")
    kept, unread = list(range(count)), [count]
    while unread:
        unread = [place for place in kept if place >= fixed and not carried[place].users]
        results = output.args[0]
        rows = zip(kept, results[4:], strict=True)
        output.args = ([*results[:4], *(result for place, result in rows if place not in unread)],)
        kept = [place for place in kept if place not in unread]
        graph.graph.eliminate_dead_code()
    for place in set(range(count)) - set(kept):
        graph.graph.erase_node(carried[place])
    graph.recompile()
    return kept
