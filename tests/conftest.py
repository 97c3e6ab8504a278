"""Settings that every test shares."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # on shared cores two threads spend their time waiting for each other
settings.register_profile("shared", deadline=None)  # there, one example may take long for nobody's fault
settings.load_profile("shared")


class Beyond(RuntimeError):
    """A test reached for another machine."""


def _here(self: socket.socket, address: Any) -> bool:
    if self.family not in (socket.AF_INET, socket.AF_INET6):
        return self.family == socket.AF_UNIX
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


def _guarded(name: str, place: int) -> None:
    """`place`: of the address among the arguments."""
    reach = getattr(socket.socket, name)

    def only_here(self: socket.socket, *arguments: Any) -> Any:
        if not _here(self, arguments[place]):
            raise Beyond(f"{name} to {arguments[place]}: tests talk to this machine alone")
        return reach(self, *arguments)

    setattr(socket.socket, name, only_here)


for _name, _place in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):  # in every test, and in what it imports
    _guarded(_name, _place)


@pytest.fixture(autouse=True)
def _numerical_errors() -> Iterator[None]:
    """NumPy's divisions by zero, overflows and invalid results are errors; underflow in the tails is not."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture(scope="module")
def small_market() -> Iterator[None]:
    """For tests that are not about the start of a simulated market."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs.markets.garch.BURN_IN", 50)
        patch.setattr("envs.markets.bootstrap.BURN_IN", 50)
        yield
