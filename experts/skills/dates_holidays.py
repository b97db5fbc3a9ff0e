"""Public holidays: of which country, when the next one is, whether a day is one, and all of a month or a year."""

from __future__ import annotations

import re
from datetime import date, timedelta

from ..values import Abstention, Answer, Json, Outcome, Structured
from .countries import Place, find_place, place_of
from .dates_reading import Asked, Stretch, stretch
from .holiday_calendar import Holiday, between, regions_of, year_of
from .wording import MONTHS, spell_date

_HOLIDAY = re.compile(
    r"\b(?:(?:public|bank|national|federal|legal|statutory) holidays?|holidays?|days? off|off work|have to work|"
    r"work on)\b"
)
_WORKING = re.compile(r"\b(?:working|business|work)[ -]?days?\b|\bworkdays?\b")
# Feasts that fall on other days in other countries; without a country the answer says whose it is.
_BY_COUNTRY = re.compile(
    r"\b(?:thanksgiving|labou?r day|independence day|national day|mother'?s day|father'?s day|"
    r"constitution day|liberation day)\b"
)
_NOT_MINE = re.compile(
    r"\b(?:book|plan|planning|trip|vacation|cheap|hotel|package|destination|ideas?|on holiday|"
    r"my holiday|school holidays?)\b"
)
_NEXT = re.compile(
    r"\bnext\b|\bcoming up\b|\bupcoming\b|\bhow long\b|\bhow many (?:days|weeks) (?:until|till|to)\b|\bsoon\b"
)
_IS_IT = re.compile(r"\b(?:is|was|will|does|do|are|did)\b")
_MANY = re.compile(r"\bhow many\b")
_FILLER = re.compile(
    r"\b(?:public|bank|national|federal|legal|statutory|holidays?|days? off|off work|have to work|"
    r"work on|work|people|they|there|is|are|was|"
    r"were|be|will|does|do|did|have|has|a|an|any|the|all|list|show|give|tell|me|us|what|which|when|"
    r"whats|what's|when's|how many|it|i|"
    r"we|in|on|for|of|at|please|calendar|coming up|upcoming|day|dates?|to|not|off|that|get|observed|celebrated)\b"
)


def is_meant(asked: Asked) -> bool:
    """Whether the tables of a country may be needed to answer."""
    named = any(pattern.search(asked.lower) for pattern in (_HOLIDAY, _BY_COUNTRY, _WORKING))
    return named or find_place(asked.text) is not None


def place(asked: Asked) -> Place | None:
    """The country or region that the text names, else the locale's; None where neither says."""
    found = find_place(asked.text)
    return found[0] if found else place_of(asked.query.locale)


def holidays(asked: Asked) -> Outcome | None:
    """What is asked of holidays, by name or of all of them. Raises: UnknownCalendarError, TimeError."""
    if _WORKING.search(asked.lower) or _NOT_MINE.search(asked.lower):
        return None
    found = find_place(asked.text)
    bare = asked.text[: found[1][0]] + " " + asked.text[found[1][1] :] if found else asked.text
    words = " ".join(bare.lower().rstrip(" ?.!").split())
    if _HOLIDAY.search(asked.lower) is None:
        return (
            _by_name(asked, words, found[0])
            if found and re.search(r"\b(?:when|what|which|date|day)\b", words)
            else None
        )
    where = found[0] if found else place_of(asked.query.locale)
    if where is None:
        return (
            Abstention("Holidays differ from country to country: in which one?", "needs_input")
            if _is_whole(asked, words)
            else None
        )
    if re.search(r"\bnext (?:\w+ )?(?:holiday|day off)\b", words) or (
        _NEXT.search(words) and not re.search(r"\bnext (?:week|month|year|\w+day)\b", words)
    ):
        return _next(asked, where)
    phrase = " ".join(_FILLER.sub(" ", words).split())
    named = stretch(asked, phrase, alone=True) if phrase else None
    if named is None and phrase:
        return _of_name(asked, words, where) if _IS_IT.search(words) else None
    if named is None:
        # "which public holidays does Norway have": this year's.
        named = stretch(asked, "this year")
        return (
            _all(asked, where, named)
            if named and (found or re.search(r"\b(?:list|which|all|how many|holidays)\b", words))
            else _next(asked, where)
        )
    return _is_one(asked, where, named.first) if named.is_day else _all(asked, where, named)


def _is_whole(asked: Asked, words: str) -> bool:
    """Whether a question about holidays lacks nothing but the country."""
    phrase = " ".join(_FILLER.sub(" ", words.replace("next", " ")).split())
    return not phrase or stretch(asked, phrase, alone=True) is not None


def _next(asked: Asked, where: Place) -> Outcome:
    days = between(where, asked.today + timedelta(days=1), asked.today + timedelta(days=400))
    if not days:
        return Abstention(f"no coming public holiday of {where.name} is known here", "unsure")
    coming = days[0]
    ahead = (coming.day - asked.today).days
    today = year_of(where, asked.today.year).on(asked.today)
    data: dict[str, Json] = {**_data("holiday", where), **_one(coming), "days": ahead}
    also = f" (Today is {today.name}.)" if today else ""
    text = (
        f"The next public holiday in {where.name} is {coming.name}, {spell_date(coming.day)}, in {ahead} "
        f"day{'s' * (ahead != 1)}."
    )
    return Answer(text + also + _regional(where, asked), Structured(data))


def _is_one(asked: Asked, where: Place, day: date) -> Outcome:
    holiday = year_of(where, day.year).on(day)
    data: dict[str, Json] = {
        **_data("holiday", where),
        "date": day.isoformat(),
        "holiday": holiday is not None,
        "name": holiday.name if holiday else None,
    }
    if holiday is not None:
        return Answer(f"Yes, {spell_date(day)} is a public holiday in {where.name}: {holiday.name}.", Structured(data))
    return Answer(
        f"No, {spell_date(day)} is no public holiday in {where.name}.{_regional(where, asked)}", Structured(data)
    )


def _all(asked: Asked, where: Place, period: Stretch) -> Outcome:
    days = between(where, period.first, period.last)
    data: dict[str, Json] = {
        **_data("holidays", where), "from": period.first.isoformat(), "to": period.last.isoformat(), "count": len(days),
        "holidays": [_one(day) for day in days],
    }  # fmt: skip
    month = f"{MONTHS[period.first.month - 1]} {period.first.year}"
    whole_month = (
        period.first.day == 1 and (period.last + timedelta(days=1)).day == 1 and (period.last - period.first).days < 31
    )
    when = month if whole_month else str(period.first.year)
    if not whole_month and (period.last - period.first).days < 360:
        when = f"the time from {spell_date(period.first)} to {spell_date(period.last)}"
    if not days:
        return Answer(
            f"There is no public holiday in {where.name} in {when}.{_regional(where, asked)}", Structured(data)
        )
    listed = "; ".join(f"{spell_date(day.day, period.first)} {day.name}" for day in days)
    count = f"{len(days)} public holiday{'s' * (len(days) != 1)}"
    return Answer(
        f"{where.name[:1].upper()}{where.name[1:]} has {count} in {when}: {listed}.{_regional(where, asked)}",
        Structured(data),
    )


# --- By name ----------------------------------------------------------------------------------------------------------


def _by_name(asked: Asked, words: str, where: Place) -> Outcome | None:
    """ "when is Thanksgiving in Canada": the day of that name in the country's own table, or its regions'."""
    phrase = " ".join(_FILLER.sub(" ", words).split())
    year = re.search(r"\b(\d{4}|this year|next year|last year)\b", phrase)
    name = re.sub(r"\b(\d{4}|this year|next year|last year|year|this|last|did|fall|falls)\b", "", phrase).strip()
    if len(name) < 4:
        return None
    period = stretch(asked, year[1]) if year else None
    first, last = (period.first, period.last) if period else (asked.today, asked.today + timedelta(days=400))
    national, regional = _of_that_name(name, where, first, last)
    for holiday in national[:1]:
        data: dict[str, Json] = {**_data("holiday", where), **_one(holiday), "days": (holiday.day - asked.today).days}
        verb = "is" if holiday.day >= asked.today else "was"
        return Answer(f"{holiday.name} in {where.name} {verb} {spell_date(holiday.day)}.", Structured(data))
    if regional:
        return _in_regions(asked, where, regional)
    if _BY_COUNTRY.search(name):
        return Abstention(f"{name} is not among the public holidays of {where.name} that are known here", "unsure")
    return None


def _of_that_name(name: str, where: Place, first: date, last: date) -> tuple[list[Holiday], list[tuple[str, Holiday]]]:
    """The holidays of that name in the whole country; where there is none, in its regions."""
    national = [holiday for holiday in between(where, first, last) if _same(name, holiday.name)]
    regions = () if national else regions_of(where)
    regional = [
        (region, holiday)
        for region in regions
        for holiday in between(Place(where.code, region, region), first, last)
        if _same(name, holiday.name)
    ]
    return national, regional


def feast_day(asked: Asked, phrase: str) -> date | None:
    """The next day of a feast that differs by country, in the country that is meant; None where that is not known, or
    its regions differ. Raises: LookupError where the phrase names no such feast, or it is America's that is meant."""
    where = place(asked)
    found = _BY_COUNTRY.search(phrase)
    if found is None or where is None or where.code == "US":
        raise LookupError(phrase)
    national, regional = _of_that_name(found.group(), where, asked.today, asked.today + timedelta(days=400))
    firsts = {holiday.day for holiday in national[:1]} or {
        min(holiday.day for region, holiday in regional if region == each)
        for each in {region for region, _ in regional}
    }
    return firsts.pop() if len(firsts) == 1 else None


def _in_regions(asked: Asked, where: Place, found: list[tuple[str, Holiday]]) -> Answer:
    """The first of a name in each region; where they differ, which has which."""
    days: dict[date, list[str]] = {}
    seen: set[str] = set()
    for region, holiday in found:
        if region not in seen:
            seen.add(region)
            days.setdefault(holiday.day, []).append(region)
    name = found[0][1].name
    told = "; ".join(f"{spell_date(day)} ({', '.join(regions)})" for day, regions in sorted(days.items()))
    data: dict[str, Json] = {
        **_data("holiday", where), "name": name, "date": min(days).isoformat(), "days": (min(days) - asked.today).days,
        "regions": {region: day.isoformat() for day, regions in sorted(days.items()) for region in regions},
    }  # fmt: skip
    return Answer(f"{name} in {where.name} is a holiday of its regions: {told}.", Structured(data))


def named(asked: Asked, phrase: str, found: Stretch) -> Outcome:
    """A feast whose day depends on the country: the locale's, else America's, and the answer says so."""
    where = place(asked)
    if where is not None and where.code != "US":
        own = _by_name(asked, phrase, where)
        return own or Abstention(f"which day that is in {where.name} is not known here", "unsure")
    verb = "is" if found.first >= asked.today else "was"
    data: dict[str, Json] = {
        "topic": "holiday", "country": "US", "date": found.first.isoformat(), "weekday": f"{found.first:%A}",
        "days": (found.first - asked.today).days,
    }  # fmt: skip
    return Answer(
        f"That {verb} {spell_date(found.first)} in the United States; other countries have other days.",
        Structured(data),
    )


def _of_name(asked: Asked, words: str, where: Place) -> Outcome | None:
    """ "is Boxing Day a holiday in Ireland": the day that bears the name, in the country's table or in any."""
    phrase = " ".join(_FILLER.sub(lambda match: match[0] if match[0] == "day" else " ", words).split())
    named_day = stretch(asked, phrase)
    if named_day is not None and named_day.is_day:
        return _is_one(asked, where, named_day.first)
    days = [
        holiday
        for holiday in between(where, asked.today, asked.today + timedelta(days=365))
        if _same(phrase, holiday.name)
    ]
    return _is_one(asked, where, days[0].day) if days else None


def _same(asked: str, name: str) -> bool:
    one, other = (
        set(re.findall(r"[a-z]+", text.lower().replace("labour", "labor").replace("'", ""))) - {"day", "the", "of", "s"}
        for text in (asked, name)
    )
    return bool(one) and one <= other


def _data(topic: str, where: Place) -> dict[str, Json]:
    return {"topic": topic, "country": where.code, "region": where.region}


def _one(holiday: Holiday) -> dict[str, Json]:
    return {"date": holiday.day.isoformat(), "weekday": f"{holiday.day:%A}", "name": holiday.name}


def _regional(where: Place, asked: Asked) -> str:
    return " Its regions have holidays of their own besides." if year_of(where, asked.today.year).regional else ""
