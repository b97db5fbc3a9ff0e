"""A request understood by what was spoken of before: "the second one", "yes", "undo that".

Knows neither notes nor lists: who keeps them brings what was spoken of and how a sentence is read.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from ..values import Query
from .choosing import is_choice
from .ledger import Session

_Request_co = TypeVar("_Request_co", covariant=True)


class Reads(Protocol[_Request_co]):
    """Reads a sentence. known: it is about what the skill keeps, whether it says so or not."""

    def __call__(self, text: str, intent: str = "", *, known: bool = False) -> _Request_co | None: ...


async def read_in_context(
    query: Query, session: Callable[[], Awaitable[Session]], follows_up: Callable[[str], bool], read: Reads[_Request_co]
) -> tuple[_Request_co | None, Query]:
    """What is asked for, None: something else; and the query, completed where it answers what was asked back about.

    session: what the conversation was last about, asked for only where it matters. follows_up: whether a sentence in
    lower case can go on with that.
    """
    plain = " ".join(query.text[:100].lower().split()).strip(" .?!,")
    answers = is_choice(plain) or _YES.match(plain) is not None
    spoken = Session()
    if answers or (not query.intent and follows_up(plain)):
        spoken = await session()
    if answers and spoken.pending:
        query = replace(query, text=spoken.pending.replace("{}", plain), intent="")
    request = read(query.text, query.intent)
    if request is None and spoken != Session():
        request = read(query.text, known=True)
    return request, query


_YES = re.compile(
    r"^(?:yes|yeah|yep|sure|ok(?:ay)?|do it|go ahead|confirm(?:ed)?|please do|right|exactly)(?: please| do it| do|"
    r" go ahead)?$"
)
