"""What time it is: here, in another place, or there when it is some time here; the present date, weekday and week.

Knows zones and places, and reads times with `timex`. Of dates it knows today, tomorrow and yesterday alone: any other
day, holidays, weeks by number and counting with dates are the dates' expert's. Sunrise and events are not for it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from ..errors import QueryError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .clock_request import IS_IT, names_another_day, topic_of, without
from .places import Place, find_places, find_unlisted, spell_offset
from .timex import Resolution, TimeError, resolve
from .wording import MONTHS, WEEKDAYS, spell_clock, spell_date

MAX_TEXT = 1_000
_WHAT_PLACE = re.compile(
    r"\b(?:in|at|on|for|of)\s+(?P<name>[A-Za-zÀ-ÿ' -]{3,40}?)\s*(?:right now|now|today|currently|"
    r"please)?\W*$"
)
_HERE = re.compile(
    r"\b(?:here|local(?:ly)?|my (?:time|time ?zone|place)|our time|for me|home|"
    r"(?:my|this|the) (?:computer|machine|laptop|pc|system|phone|watch|clock|server))\b"
)


class Clock:
    """Answers `Structured`: {"topic": "time" | "date" | "zone" | "convert" | "difference", …}, times as ISO 8601."""

    def __init__(self) -> None:
        # The grammar of times and the zones' index are built on first use, which takes a while: now, not in a request.
        resolve("tomorrow at 7", datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")), ZoneInfo("UTC"))
        find_unlisted("nowhere")

    async def answer(self, query: Query) -> Outcome:
        text = " ".join(query.text.replace("’", "'").split())
        if len(text) > MAX_TEXT:
            return _not_mine()
        lower = text.lower()
        places = find_places(text)
        topic = topic_of(lower, query.intent, places)
        if topic is None:
            return _not_mine()
        try:
            if topic in ("time", "date") and names_another_day(text, lower, places, query, topic):
                return Abstention("this asks for another date than the present one", "not_mine")
            if topic == "date":
                return _date(text, lower, query, places)
            moment = _clock_time(text, places, query)
        except TimeError as error:
            raise QueryError(str(error), reason=error.reason) from None
        if topic == "difference":
            return _difference(places, query, lower)
        if topic == "zone" and moment is None:
            return _zone(text, places, query)
        if moment is not None and moment.exact is None and (places or topic == "convert"):
            return _convert(text, places, moment, query)
        if moment is not None and moment.exact is not None:
            return _time(text, places, replace(query, now=moment.exact), offset=True)
        return _time(text, places, query)


def _not_mine() -> Abstention:
    return Abstention("this asks for no time, date or time zone", "not_mine")


# --- Now --------------------------------------------------------------------------------------------------------------


def _time(text: str, places: list[Place], query: Query, *, offset: bool = False) -> Outcome:
    """The present, or with `offset` a moment so far from it."""
    if not places and not offset:
        match = _WHAT_PLACE.search(text)
        name = match["name"].strip() if match else ""
        if match and not _HERE.search(name.lower()) and name.lower() not in _NO_PLACE:
            place = find_unlisted(name.removeprefix("the "))
            if place is None:
                return Abstention(f'"{name}" is no place whose clock is known here', "unsure")
            places = [place]
    now = query.now.astimezone(query.zone)
    if not places:
        return Answer(
            f"{'That is' if offset else 'It is'} {now:%H:%M} on {spell_date(now.date())}.",
            Structured(_moment_data("time", now, query.zone.key)),
        )
    told, data = [], []
    for place in places:
        there = query.now.astimezone(place.zone)
        told.append(f"{there:%H:%M}{_day_apart(there, now)} in {place.name}")
        data.append({**_moment_data("time", there, _key(place.zone)), "place": place.name})
    note = "".join(f" {place.note}." for place in places if place.note)
    rest: dict[str, Json] = {"places": data} if len(data) > 1 else {}
    return Answer(f"{'That is' if offset else 'It is'} {', '.join(told)}.{note}", Structured({**data[0], **rest}))


_NO_PLACE = frozenset(
    {"the moment", "this moment", "the day", "the morning", "my area", "my location", "this place", "words"}
)


def _zone(text: str, places: list[Place], query: Query) -> Outcome:
    now = query.now.astimezone(query.zone)
    places = [place for place in places if place.name not in ("UTC", "GMT")] or places
    if not places:
        match = _WHAT_PLACE.search(text)
        name = match["name"].strip() if match else ""
        if match and not _HERE.search(name.lower()) and name.lower() not in _NO_PLACE:
            found = find_unlisted(name)
            if found is None:
                return Abstention(f'"{name}" is no place whose time zone is known here', "unsure")
            places = [found]
    place = places[0] if places else Place("this machine", query.zone, (0, 0))
    there = query.now.astimezone(place.zone)
    offset = there.utcoffset() or timedelta()
    key = _key(place.zone)
    saving = bool(there.dst())
    data: dict[str, Json] = {
        "topic": "zone",
        "place": place.name,
        "zone": key,
        "abbreviation": there.tzname(),
        "offset_minutes": round(offset.total_seconds() / 60),
        "daylight_saving": saving,
    }
    abbreviation = f", {there.tzname()}" if re.fullmatch(r"[A-Z]{2,5}", there.tzname() or "") else ""
    asked = re.search(r"\b(?:saving|savings|dst|summer)\b", text.lower())
    season = ", with daylight saving now" if saving else ", without daylight saving now" if asked else ""
    note = f" {place.note}." if place.note else ""
    subject = f"{place.name} is in" if places else "This machine keeps"
    return Answer(
        f"{subject} the time zone {key} ({spell_offset(offset)}{abbreviation}{season}); it is {there:%H:%M}"
        f"{_day_apart(there, now)} there.{note}"
        if places
        else f"{subject} the time zone {key} ({spell_offset(offset)}{abbreviation}{season}).",
        Structured(data),
    )


def _difference(places: list[Place], query: Query, lower: str) -> Outcome:
    here = Place("here", query.zone, (0, 0))
    one, other = (places[0], places[1]) if len(places) > 1 else (places[0], here)
    there, base = query.now.astimezone(one.zone), query.now.astimezone(other.zone)
    ahead = (there.utcoffset() or timedelta()) - (base.utcoffset() or timedelta())
    minutes = round(ahead.total_seconds() / 60)
    data: dict[str, Json] = {
        "topic": "difference",
        "place": one.name,
        "other": other.name if other is not here else query.zone.key,
        "minutes": minutes,
        "time": there.isoformat(timespec="minutes"),
        "other_time": base.isoformat(timespec="minutes"),
    }
    hours, rest = divmod(abs(minutes), 60)
    length = " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)
    of_here = "here" if other is here else other.name
    if minutes == 0:
        said = f"{one.name} and {of_here} have the same time now"
    elif minutes > 0:
        said = f"{one.name} is {length} ahead of {of_here}"
    else:
        said = f"{one.name} is {length} behind {of_here}"
    text = f"{said}: {there:%H:%M} {'there' if other is here else _in(one)}, {base:%H:%M} {_in(other)}."
    notes = "".join(f" {place.note}." for place in (one, other) if place.note)
    return Answer(text + notes, Structured(data))


# --- Another time -----------------------------------------------------------------------------------------------------


def _clock_time(text: str, places: list[Place], query: Query) -> Resolution | None:
    """A time of day that the text names, read without the places around it; its span holds in `text` too."""
    plain = without(text, places)
    if not re.search(
        r"\d|\bnoon\b|\bmidnight\b|\bmidday\b|o'?clock|\b(?:at|past|half|quarter|"
        r"is it) \w+|\b(?:hours?|minutes?)\b",
        plain.lower(),
    ):
        return None
    for reading in resolve(plain, query.now, query.zone, query.locale):
        named = re.sub(
            r"\b(?:right|just)?\s*(?:now|today)\b|\bat the moment\b", "", plain[slice(*reading.span)]
        ).strip()
        if (
            reading.grain in ("hour", "minute", "second")
            and reading.start is not None
            and named
            and not reading.is_interval
        ):
            return reading
    return None


def _convert(text: str, places: list[Place], moment: Resolution, query: Query) -> Outcome:
    """The place beside the time is where it is that time; the other place, or here, is where it is asked for."""
    here = Place("here", query.zone, (0, 0))
    source = _beside(text, places, moment.span)
    targets = [place for place in places if place is not source]
    if source is None:
        source = here
    if not targets:
        if source is here:
            return _time(text, places, query)
        targets = [here]
    assert moment.start is not None  # noqa: S101 - the caller looked
    wall = moment.start.astimezone(query.zone)
    if moment.exact is not None and moment.duration is None and moment.recurrence is None:
        start = moment.exact.astimezone(source.zone)
    else:
        start = wall.replace(tzinfo=source.zone)
        # Read against the calendar of here; over there it may be another day already.
        if not _names_day(text):
            today = query.now.astimezone(source.zone).date()
            start = start.replace(year=today.year, month=today.month, day=today.day)
    told, data = [], []
    for target in targets:
        there = start.astimezone(target.zone)
        told.append(f"{spell_clock(there)}{_day_apart(there, start)} {_in(target)}")
        data.append(
            {
                "topic": "convert",
                "time": there.isoformat(timespec="minutes"),
                "place": target.name,
                "zone": _key(target.zone),
                "from_time": start.isoformat(timespec="minutes"),
                "from_place": source.name,
                "from_zone": _key(source.zone),
            }
        )
    notes = "".join(f" {place.note}." for place in (source, *targets) if place.note)
    said = f"{spell_clock(start)} {_in(source)} is {', '.join(told)}.{notes}"
    return Answer(said, Structured({**data[0], **({"places": data} if len(data) > 1 else {})}))


def _beside(text: str, places: list[Place], span: tuple[int, int]) -> Place | None:
    """ "5pm in London", "5pm London time", "London 5pm"."""
    after = [place for place in places if place.span[0] >= span[1]]
    if after and re.fullmatch(
        r"\W*(?:in|at|on|o'?clock(?: in)?|for|"
        r"the)?\W*(?:the)?\W*",
        text[span[1] : after[0].span[0]].lower(),
    ):
        return after[0]
    before = [place for place in places if place.span[1] <= span[0]]
    between = text[before[-1].span[1] : span[0]].lower() if before else "?"
    return before[-1] if re.fullmatch(r"[\s,]*(?:time)?[\s,]*(?:at|it's|it is|is)?[\s,]*", between) else None


def _date(text: str, lower: str, query: Query, places: list[Place]) -> Outcome:
    zone: tzinfo = places[0].zone if places else query.zone
    now = query.now.astimezone(zone)
    day = now
    asked = IS_IT.match(lower)
    rest = f"{asked['day']} {asked['rest']}" if asked else text
    there = zone if isinstance(zone, ZoneInfo) else query.zone
    readings = resolve(rest if asked else without(text, places), query.now, there, query.locale)
    if asked and not places and not readings and asked["day"].split()[:1] not in (["it"], ["today"]):
        return _not_mine()
    for reading in readings[:1]:
        if reading.start is not None and reading.recurrence is None:
            day = (reading.exact or reading.start).astimezone(zone)
    week = day.isocalendar()
    data: dict[str, Json] = {
        "topic": "date",
        "date": day.date().isoformat(),
        "weekday": WEEKDAYS[day.weekday()],
        "week": week.week,
        "week_year": week.year,
        "day_of_year": day.timetuple().tm_yday,
    }
    if places:
        data["place"] = places[0].name
    where = f" in {places[0].name}" if places else ""
    ahead = (day.date() - now.date()).days
    name = {0: "Today", 1: "Tomorrow", -1: "Yesterday"}.get(ahead)
    verb = "is" if ahead >= 0 else "was"
    if asked:
        weekday = WEEKDAYS[day.weekday()]
        is_so = weekday.lower() == asked["name"]
        said = f"{name or 'That'}{where} {verb} {spell_date(day.date())}."
        return Answer(f"{'Yes' if is_so else 'No'}. {said}", Structured({**data, "holds": is_so}))
    if re.search(r"\bweek(?: number)?\b(?! ?day)", lower) and not re.search(
        r"day of the week|week ?day|next week|"
        r"last week",
        lower,
    ):
        return Answer(f"It {verb} week {week.week} of {week.year} (ISO).", Structured(data))
    if ahead == 0 and re.search(r"\bwhat (?:month|year)\b|\bwhich (?:month|year)\b", lower):
        return Answer(f"It is {MONTHS[day.month - 1]} {day.year}{where}.", Structured(data))
    shown = spell_date(day.date())
    said = f"{name}{where} {verb} {shown}." if name else f"That {verb} {shown}."
    return Answer(said, Structured(data))


# --- In words ---------------------------------------------------------------------------------------------------------


def _moment_data(topic: str, moment: datetime, zone: str) -> dict[str, Json]:
    offset = moment.utcoffset() or timedelta()
    return {
        "topic": topic,
        "time": moment.isoformat(timespec="seconds"),
        "zone": zone,
        "weekday": WEEKDAYS[moment.weekday()],
        "offset_minutes": round(offset.total_seconds() / 60),
    }


def _day_apart(there: datetime, here: datetime) -> str:
    days = (there.date() - here.date()).days
    return {0: "", 1: " the next day", -1: " the day before"}.get(days, f" on {spell_date(there.date())}")


def _in(place: Place) -> str:
    return "here" if place.name == "here" else f"in {place.name}"


def _names_day(text: str) -> bool:
    return re.search(r"\b(?:tomorrow|yesterday|\w+day|next|\d+(?:st|nd|rd|th)|\d{4})\b", text.lower()) is not None


def _key(zone: tzinfo) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else spell_offset(zone.utcoffset(None) or timedelta())
