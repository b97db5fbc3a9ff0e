"""The calendar: how long until, which day that is, which weekday it was, weeks, holidays, ages, leap years.

`dates_reading` makes out the days that are named (with `timex`), `dates_finding` tells which they are, `dates_counting`
reckons between and from them, `dates_calendar` knows weeks and lengths, `dates_holidays` the free days. Here is who of
them is asked. The time of day, today's date
and other time zones are the clock's; setting anything is the timers'.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from ..errors import QueryError
from ..values import Abstention, Outcome, Query
from . import dates_calendar, dates_counting, dates_finding, dates_holidays
from .countries import find_place
from .dates_reading import Asked
from .holiday_calendar import UnknownCalendarError
from .timex import TimeError, resolve

INTENTS = ("count", "add", "find", "week", "holiday", "age", "calendar")
MAX_TEXT = 300
_NOT_MINE = re.compile(
    r"\b(?:timers?|alarms?|remind\w*|wake me|snooze|set|schedule|meeting|appointment|delete|cancel|note|todo|"
    r"weather|forecast|rain|temperature|flights?|trains?|buses|movie|film|match|tickets?|buy|order|"
    r"recipe|convert|time zone|"
    r"timezone|o'?clock|what time|the time|sunrise|sunset|battery|uptime|pick|random|translate|summari[sz]e|capital|"
    r"population|president|history|song|lyrics|list(?: of|s)?(?! the (?:bank|public|leap|federal|"
    r"holidays))|story|joke)\b"
)
# Each looks at the request in this order, and says None where it is not asked.
_ANSWERERS: tuple[tuple[str, Callable[[Asked], Outcome | None]], ...] = (
    ("calendar", dates_calendar.leap_years),
    ("age", dates_counting.age),
    ("holiday", dates_holidays.holidays),
    ("add", dates_counting.add),
    ("count", dates_counting.count),
    ("calendar", dates_calendar.lengths),
    ("week", dates_calendar.weeks),
    ("week", dates_calendar.quarters),
    ("find", dates_calendar.seasons),
    ("find", dates_finding.find),
)


class Dates:
    """Answers `Structured`: {"topic": "count" | "date" | "week" | "quarter" | "day_of_year" | "holiday" | "holidays" |
    "age" | "leap_year" | "length" | "season", …}, days as ISO 8601."""

    def __init__(self) -> None:
        # The grammar of times and the tables are built on first use, which takes a while: now, not in a request.
        resolve("tomorrow at 7 in germany", datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")), ZoneInfo("UTC"))
        find_place("germany")

    async def answer(self, query: Query) -> Outcome:
        text = " ".join((query.text if query.payload is None else f"{query.text} {query.payload}").split())
        if len(text) > MAX_TEXT:
            return _not_mine()
        text = text.replace("’", "'")
        asked = Asked(text, text.lower(), query, query.now.astimezone(query.zone))
        if dates_holidays.is_meant(asked):
            # The tables of a country take longer to read than the event loop may wait.
            return await asyncio.to_thread(_answer, asked)
        return _answer(asked)


def _answer(asked: Asked) -> Outcome:
    if _NOT_MINE.search(asked.lower):
        return _not_mine()
    try:
        for _, answerer in _ANSWERERS:
            outcome = answerer(asked)
            if outcome is not None:
                return outcome
    except TimeError as error:
        raise QueryError(str(error), reason=error.reason) from None
    except UnknownCalendarError as error:
        return Abstention(f"{error} are not known here", "unsure")
    except OverflowError as error:
        raise QueryError(
            str(error) or "that is off the calendar, which runs from year 1 to 9999", reason="OUT_OF_RANGE"
        ) from None
    return _not_mine()


def _not_mine() -> Abstention:
    return Abstention("this asks for no date, and nothing of the calendar", "not_mine")
