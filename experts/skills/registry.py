"""Which skills there are. A bundle chooses from this list by name; nothing else is ever loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from ..servable import Host
from ..values import Outcome, Query
from .calculator import Calculator
from .clock import Clock
from .system import System
from .timers import Timers


class Skill(Protocol):
    """Reviewed code that answers queries. It keeps no state of its own: two versions may be loaded at once."""

    async def answer(self, query: Query) -> Outcome:
        """Answers, or abstains.

        Raises: QueryError when the request breaks a rule, StoreError when the disk does not take it.
        """


SKILLS: Mapping[str, Callable[[Host], Skill]] = MappingProxyType(
    {
        "calculator": lambda host: Calculator(),
        "clock": lambda host: Clock(),
        "system": lambda host: System(),
        "timers": lambda host: Timers(host.scheduler),
    }
)
