"""How the index in a view follows the experts in it.

A version with the intents of its predecessor changes nothing there. Other intents, an expert that comes or goes and an
operator's edits are made in closed form on the index that serves, in milliseconds, and the index is fitted whole in
the background soon after. What changes while it is being fitted is made again on the new one before that is shown, so
nothing is lost, and another fit follows that knows it. Knows no life cycle, and nothing of what an index is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Generic, Protocol

from .bundle import INTENTS, Bundle
from .view import Index, Slot, View

log = logging.getLogger(__name__)

Change = Callable[[Index], Index]


class Stage(Protocol[Index]):
    """Where the view stands: the writer."""

    view: View[Index]

    async def made(self, change: Callable[[], None]) -> None:
        """Returns when the writer has made the change."""


@dataclass(frozen=True, slots=True)
class Amendment(Generic[Index]):
    """A change of some of an expert's intents. change: from an index the one with it; called in a thread, and again on
    each index that was being fitted when it came: made twice, it is as if made once."""

    expert: str
    intents: frozenset[str]
    change: Change[Index]

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        return frozenset((self.expert, intent) for intent in self.intents)


class Routes(Generic[Index]):
    """reindex: bundles → an index fitted whole. adapt: an expert, and the bundle whose intents it is to have, None: it
    goes → the change of an index that does it. refit_after_s, refit_at_latest_s: as `writer.Limits`.

    replacing: held from the present index to the one that replaces it: two changes at once would lose one of them.
    """

    def __init__(
        self,
        stage: Stage[Index],
        *,
        reindex: Callable[[Sequence[Bundle]], Awaitable[Index]],
        adapt: Callable[[str, Bundle | None], Awaitable[Change[Index]]],
        refit_after_s: float,
        refit_at_latest_s: float,
    ) -> None:
        self.replacing = asyncio.Lock()
        self._stage = stage
        self._reindex = reindex
        self._adapt = adapt
        self._refit_after_s = refit_after_s
        self._refit_at_latest_s = refit_at_latest_s
        # Came since the fit that is under way began; None: none is.
        self._late: list[Amendment[Index]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fit: asyncio.Task[None] | None = None
        self._at_latest = 0.0

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._fit is not None:
            self._fit.cancel()

    def follow(self, slots: Mapping[str, Slot]) -> bool:
        """Whether the present index knows exactly these experts, by the intents that they have."""
        return _routed(slots) == self._stage.view.routed

    async def prepare(self, bundle: Bundle) -> None:
        """Does ahead of time what `following` would take long over."""
        if self._stage.view.routed.get(bundle.manifest.name) != _key(bundle):
            await self._adapt(bundle.manifest.name, bundle)

    async def following(self, slots: Mapping[str, Slot]) -> tuple[Index, Mapping[str, str], frozenset[tuple[str, str]]]:
        """The index for these slots, who is in it, and what of it is not fitted yet. Called with `replacing` held."""
        view, wanted = self._stage.view, _routed(slots)
        if not view.routed:
            index = await self._reindex([slots[name].bundle for name in sorted(wanted)])
            return index, MappingProxyType(wanted), frozenset()
        index, amended = view.index, {name for name in view.amended if name[0] in wanted}
        for name in sorted(wanted.keys() | view.routed.keys()):
            if wanted.get(name) == view.routed.get(name):
                continue
            stays = name in wanted
            change = await self._adapt(name, slots[name].bundle if stays else None)
            index = await asyncio.to_thread(change, index)
            amendment = Amendment(name, frozenset(slots[name].intents if stays else ()), change)
            amended |= amendment.names
            self._remember(amendment)
        return index, MappingProxyType(wanted), frozenset(amended)

    async def amend(self, amendment: Amendment[Index]) -> Index:
        """The present index with this change. Called with `replacing` held."""
        index = await asyncio.to_thread(amendment.change, self._stage.view.index)
        self._remember(amendment)
        return index

    def refit_soon(self) -> None:
        """One fit for all changes that come close after each other."""
        now = asyncio.get_running_loop().time()
        if self._timer is None:
            self._at_latest = now + self._refit_at_latest_s
        else:
            self._timer.cancel()
        when = min(now + self._refit_after_s, self._at_latest)
        self._timer = asyncio.get_running_loop().call_at(when, self._begin)

    def _remember(self, amendment: Amendment[Index]) -> None:
        if self._late is not None:
            self._late.append(amendment)

    def _begin(self) -> None:
        self._timer = None
        if self._late is None:
            self._late = []
            self._fit = asyncio.create_task(self._refit(self._late), name="refit")
        # Else the one under way looks, when it ends, whether another is to follow.

    async def _refit(self, late: list[Amendment[Index]]) -> None:
        """The same experts, all of them known by a fit."""
        slots = self._stage.view.slots
        bundles = [slots[name].bundle for name in sorted(_routed(slots))]
        try:
            index = await self._reindex(bundles)
            async with self.replacing:
                for amendment in late:
                    index = await asyncio.to_thread(amendment.change, index)
                amended = frozenset(
                    name for amendment in late for name in amendment.names if name[0] in self._stage.view.slots
                )

                def show() -> None:
                    view = self._stage.view
                    self._stage.view = replace(view, number=view.number + 1, index=index, amended=amended)

                await self._stage.made(show)
                self._late = None
            if amended:
                self.refit_soon()
        except Exception as error:
            log.error("the route index could not be fitted anew; the present one stays", exc_info=error)
        finally:
            self._late = None


def _routed(slots: Mapping[str, Slot]) -> dict[str, str]:
    return {name: _key(slot.bundle) for name, slot in slots.items() if not slot.failed}


def _key(bundle: Bundle) -> str:
    return bundle.manifest.files[INTENTS]
