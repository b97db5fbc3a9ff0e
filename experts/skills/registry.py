"""Which skills there are. A bundle chooses from this list by name; nothing else is ever loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from ..servable import Host
from ..values import Outcome, Query
from .calculator import Calculator
from .chance import Chance
from .clock import Clock
from .dates import Dates
from .extract_summary import ExtractSummary
from .keywords import Keywords
from .lists import Lists
from .notes import Notes
from .search import Search
from .system import System
from .timers import Timers
from .units import Units


class Skill(Protocol):
    """Reviewed code that answers queries. It keeps no state of its own: two versions may be loaded at once."""

    async def answer(self, query: Query) -> Outcome:
        """Answers, or abstains.

        Raises: QueryError when the request breaks a rule, StoreError when the disk does not take it.
        """


@runtime_checkable
class Closes(Protocol):
    """A skill that holds files open."""

    def close(self) -> None:
        """Lets go of them; called from a thread, after the last answer."""


@runtime_checkable
class Remembers(Protocol):
    """A skill that keeps more in memory than its code: what it worked out of texts that it was given before."""

    def resident_bytes(self) -> int:
        """What it holds now."""


SKILLS: Mapping[str, Callable[[Host], Skill]] = MappingProxyType(
    {
        "calculator": lambda host: Calculator(),
        "clock": lambda host: Clock(),
        "dates": lambda host: Dates(),
        "extract-summary": lambda host: ExtractSummary(host.encode),
        "keywords": lambda host: Keywords(host.encode),
        "lists": Lists,
        "notes": Notes,
        "random": lambda host: Chance(),
        "search": lambda host: Search(host.encode),
        "system": lambda host: System(),
        "timers": lambda host: Timers(host.scheduler),
        "units": lambda host: Units(),
    }
)
