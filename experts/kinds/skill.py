"""The kind `skill`: a bundle that names reviewed code of this project and brings the sentences for it.

The code is chosen from a fixed list, never imported by a name that a bundle brings.
"""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING

from ..errors import BundleError
from ..servable import Emit, Host
from ..skills.registry import SKILLS, Closes, Remembers, Skill
from ..values import Outcome, Query

if TYPE_CHECKING:
    from ..bundle import Bundle

# Code and small tables, shared by all versions: what one more version holds on to.
_RESIDENT_BYTES = 16_384


class SkillServable:
    """Answers in this process, on the event loop, in well under a millisecond."""

    def __init__(self, skill: Skill) -> None:
        self._skill = skill

    @property
    def needs_vector(self) -> bool:
        return False

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        return await self._skill.answer(query)

    def resident_bytes(self) -> int:
        held = self._skill.resident_bytes() if isinstance(self._skill, Remembers) else 0
        return _RESIDENT_BYTES + held

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        """What a skill remembers lies with the host; one that holds a file of it open has a method `close`."""
        if isinstance(self._skill, Closes):
            await asyncio.to_thread(self._skill.close)


async def load(bundle: Bundle, host: Host) -> SkillServable:
    """The loader of the kind.

    Raises: BundleError for a skill that is not in this version of expertd.
    """
    if bundle.manifest.skill is None:
        raise BundleError(f'{bundle}: expert.toml: kind "skill" needs a table [skill] with the name of the skill')
    name = bundle.manifest.skill.name
    make = SKILLS.get(name)
    if make is None:
        near = difflib.get_close_matches(name, SKILLS, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise BundleError(
            f'{bundle}: expert.toml: [skill] name = "{name}" is no skill of this expertd{hint}; '
            f"known are {', '.join(sorted(SKILLS))}"
        )
    # Building a skill's tables may take a third of a second.
    return SkillServable(await asyncio.to_thread(make, host))
