"""What the calendar itself is asked: leap years, lengths, ISO weeks, days of the year, quarters, seasons."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta

from ..errors import QueryError
from ..values import Answer, Json, Outcome, Structured
from . import dates_holidays
from .countries import SOUTHERN, place_of
from .dates_finding import told_day
from .dates_reading import WEEKDAY, Asked, Stretch, stretch
from .dates_seasons import NORTHERN, season_days, solstice
from .holiday_calendar import working_days
from .timex.numbers import ordinal
from .wording import MONTHS, WEEKDAYS, spell_date

_YEAR = r"(?P<year>\d{4}|this year|next year|last year)"
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"


def leap_years(asked: Asked) -> Outcome | None:
    """ "is 2028 a leap year", "when is the next leap year", "leap years between 2020 and 2040"."""
    if not re.search(r"\bleap[ -]?(?:years?|days?)\b", asked.lower):
        return None
    many = re.search(r"\b(\d{4})\b.*?\b(?:and|to|until|-|–)\s*(\d{4})\b", asked.lower, re.ASCII)
    if many:
        first, last = sorted((int(many[1]), int(many[2])))
        years = [year for year in range(max(first, 1), last + 1) if calendar.isleap(year)]
        shown = f"{', '.join(str(year) for year in years)}." if len(years) <= 40 else f"there are {len(years)}."
        data: dict[str, Json] = {
            "topic": "leap_year",
            "from": first,
            "to": last,
            "count": len(years),
            "years": years[:400],
        }
        return Answer(
            f"Leap years from {first} to {last}: {shown}" if years else f"None from {first} to {last}.",
            Structured(data),
        )
    said = re.search(r"\b(\d{4})\b", asked.lower, re.ASCII)
    relative = re.search(
        r"\b(this|next|last) year\b(?<!leap year)|\bis it (?:a|currently a)\b|\bare we in\b", asked.lower
    )
    if said and not re.search(r"\b(?:after|next|before)\b", asked.lower):
        return _is_leap(int(said[1]), asked)
    if relative and not re.search(r"\b(?:next|last|previous) leap\b", asked.lower):
        return _is_leap(asked.today.year + {"next": 1, "last": -1}.get(relative[1] or "", 0), asked)
    if not re.search(r"\b(?:next|when|last|previous|which|what|upcoming|coming)\b", asked.lower):
        return None
    back = re.search(r"\b(?:last|previous|before|was)\b", asked.lower) is not None
    start = int(said[1]) if said else asked.today.year
    day = asked.today
    if not said and not back and calendar.isleap(start) and day <= date(start, 2, 29) and "day" in asked.lower:
        found = start
    else:
        step = -1 if back else 1
        found = next((year for year in range(start + step, start + 9 * step, step) if calendar.isleap(year)), 0)
    if not 1 <= found <= 9999:
        raise OverflowError
    leap_day = date(found, 2, 29)
    data = {"topic": "leap_year", "year": found, "leap": True, "date": leap_day.isoformat()}
    when = "was" if leap_day < asked.today else "is"
    text = (
        f"The {'last' if back else 'next'} leap year {when} {found}; its 29 February is a "
        f"{WEEKDAYS[leap_day.weekday()]}."
    )
    return Answer(text, Structured(data))


def _is_leap(year: int, asked: Asked) -> Outcome:
    if not 1 <= year <= 9999:
        raise QueryError(f"year {year} is off the calendar, which runs from 1 to 9999", reason="OUT_OF_RANGE")
    leap = calendar.isleap(year)
    verb = "is" if year >= asked.today.year else "was"
    why = "" if leap or year % 100 else ": of the full centuries only those divisible by 400 are"
    data: dict[str, Json] = {"topic": "leap_year", "year": year, "leap": leap, "days": 366 if leap else 365}
    return Answer(f"{'Yes' if leap else 'No'}, {year} {verb} {'a' if leap else 'no'} leap year{why}.", Structured(data))


# --- How long a period is ---------------------------------------------------------------------------------------------

_COUNTED = re.compile(
    rf"\bhow many (?P<unit>(?:working|business|work)[ -]?days?|workdays?|weekdays?|weekends?|"
    rf"{WEEKDAY}s?|days?|weeks?|months?) "
    r"(?:are |is |does |do |did |will |has |have )?(?:there )?(?:in |be in )?(?P<x>.+?)(?: have| has| long| contain)?$"
)
_DAYS_IN = re.compile(
    rf"^(?:the )?(?:number of )?(?P<unit>(?:working |business )?days|weeks|weekdays|weekends|{WEEKDAY}s) in (?P<x>.+)$"
)
_HOW_LONG = re.compile(
    rf"^how long (?:is|was|will|are) (?P<x>(?:the )?(?:month of )?{_MONTH}\b.*|this (?:month|year)|"
    rf"next (?:month|year))$"
)
_OR = re.compile(rf"\b(?P<x>{_MONTH})\b.*\b(?P<one>\d\d)(?: days)?(?: or (?P<other>\d\d))? days\b")
_MONTHS_WITH = re.compile(r"\b(?:which|what|how many) months? (?:have|has|with|are|got).*\b(?P<days>28|29|30|31)\b")


def lengths(asked: Asked) -> Outcome | None:
    """ "how many days are there in February 2100", "which months have 31 days", "how many Sundays in May"."""
    lower = asked.lower.rstrip(" ?.!")
    if found := _MONTHS_WITH.search(lower):
        days = int(found["days"])
        names = [MONTHS[month - 1] for month in range(1, 13) if calendar.monthrange(2023, month)[1] == days]
        if days == 29:
            return Answer(
                "February, in leap years.", Structured({"topic": "length", "days": 29, "months": ["February"]})
            )
        return Answer(f"{', '.join(names)}.", Structured({"topic": "length", "days": days, "months": names}))
    if found := _OR.search(lower):
        return _length(asked, found["x"], "days")
    found = _COUNTED.search(lower) or _DAYS_IN.search(lower)
    if found is not None:
        return _length(asked, re.sub(r"^(?:the month of|month of) ", "", found["x"]), found["unit"])
    found = _HOW_LONG.search(lower)
    return _length(asked, found["x"].removeprefix("the month of "), "days") if found else None


def _length(asked: Asked, phrase: str, unit: str) -> Outcome | None:
    if re.fullmatch(r"(?:a|the) (?:normal |common |standard )?year|(?:a|one) leap year", phrase):
        leap = "leap" in phrase
        if unit.startswith("week"):
            return Answer(
                f"52 weeks and {1 + leap} day{'s' * leap}.",
                Structured({"topic": "length", "days": 365 + leap, "count": 52}),
            )
        return Answer(f"{366 if leap else 365} days.", Structured({"topic": "length", "days": 366 if leap else 365}))
    period = stretch(asked, phrase)
    if period is None or period.is_day:
        return None
    days = (period.last - period.first).days + 1
    data: dict[str, Json] = {
        "topic": "length",
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "days": days,
    }
    name = _period_name(period)
    unit = re.sub(r"\s|-", "", unit).removesuffix("s")
    if unit.startswith(("working", "business", "work")):
        place = dates_holidays.place(asked)
        number = working_days(place, period.first, period.last)
        without = (
            f"without the public holidays of {place.name}" if place else "Monday to Friday, no public holidays left out"
        )
        return Answer(
            f"{name} has {number} working days, {without}.",
            Structured({**data, "unit": "working day", "count": number}),
        )
    weekday = next((number for number, day in enumerate(WEEKDAYS) if day.lower() == unit), None)
    if unit == "weekday":
        number = working_days(None, period.first, period.last)
        return Answer(
            f"{name} has {number} weekdays (Monday to Friday).", Structured({**data, "unit": unit, "count": number})
        )
    if unit == "weekend" or weekday is not None:
        day = 5 if weekday is None else weekday
        number = (days - 1 - (day - period.first.weekday()) % 7) // 7 + 1
        told = "weekends, counted by their Saturdays" if weekday is None else f"{WEEKDAYS[day]}s"
        return Answer(f"{name} has {number} {told}.", Structured({**data, "unit": unit, "count": number}))
    if unit == "week" and period.grain == "year":
        weeks = date(period.first.year, 12, 28).isocalendar().week
        text = f"{name} has {weeks} ISO weeks ({days} days)."
        return Answer(text, Structured({**data, "unit": "week", "count": weeks}))
    if unit == "week":
        whole, rest = divmod(days, 7)
        text = f"{name} has {whole} weeks{f' and {rest} days' if rest else ''} ({days} days)."
        return Answer(text, Structured({**data, "unit": "week", "count": whole}))
    if unit == "month":
        return None
    return Answer(f"{name} has {days} days.", Structured({**data, "unit": "day", "count": days}))


def _period_name(period: Stretch) -> str:
    if period.grain == "month" and period.first.month == period.last.month:
        return f"{MONTHS[period.first.month - 1]} {period.first.year}"
    if period.grain == "year" and period.first.year == period.last.year:
        return str(period.first.year)
    return f"The time from {spell_date(period.first)} to {spell_date(period.last)}"


# --- Weeks and quarters -----------------------------------------------------------------------------------------------

_WEEK = re.compile(
    r"\b(?:iso[- ]?|calendar )?(?:week|wk|kw|cw)(?: (?:number|no\.?|nr\.?|"
    r"num))? ?(?P<week>\d{1,2})\b(?! ?(?:days?|weeks?))"
    r"(?:,? (?:of |in )?(?P<year>\d{4}|next year|last year|this year))?",
    re.ASCII,
)
_WEEK_OF = re.compile(
    r"\b(?:(?:iso|calendar) ?-?week|week ?(?:number|no\.?|num)|(?:what|which) week|weeknumber|kw|cw)\b(?P<x>.*)",
    re.ASCII,
)
_DAY_OF_YEAR = re.compile(
    r"\b(?:day number|number of the day|(?:what|which) day of the year|day of the year|day of year|"
    r"ordinal (?:day|date)|julian day)\b(?P<x>.*)"
)
_NTH_DAY = re.compile(
    r"\b(?:(?P<nth>[\w -]+?) day of|day (?:number )?(?P<n>\d{1,3}) (?:of|in)) (?P<x>(?:the |this |next )?year|\d{4})\b",
    re.ASCII,
)
_LEFT_OVER = re.compile(
    r"^(?:\W|\b(?:is|was|are|will|does|do|did|be|of|for|the|fall|falls|in|it|on|that|we|have|number|"
    r"week|belong|lie|to|date|day)\b)+|"
    r"(?:\W|\b(?:is|in|fall|falls|fall in|belong to|belong|part of|on|be|lie|it|please|number|have)\b)+$"
)


def weeks(asked: Asked) -> Outcome | None:
    """ "what week number is 12 March", "what date is ISO week 32 Friday", "does 2032 have 53 weeks"."""
    lower = asked.lower.rstrip(" ?.!")
    if found := re.search(
        rf"\b{_YEAR}\b.*\b53(?:rd)? weeks?\b|\b53 weeks\b.*\b{_YEAR.replace('year>', 'after>')}\b", lower, re.ASCII
    ):
        return _length(asked, found["year"] or found["after"], "weeks")
    if (found := _NTH_DAY.search(lower)) and (outcome := _nth_day(asked, found)):
        return outcome
    if found := _DAY_OF_YEAR.search(lower):
        return _day_of_year(asked, _LEFT_OVER.sub("", found["x"]))
    if found := _WEEK.search(lower):
        return _week(asked, found, lower)
    if found := _WEEK_OF.search(lower):
        phrase = _LEFT_OVER.sub("", found["x"])
        phrase = re.sub(r"^(?:is|does|for|of) ", "", phrase)
        named = stretch(asked, phrase) if phrase else None
        if phrase not in ("", "today", "now", "currently", "this", "current") and (named is None or not named.is_day):
            return None
        day = named.first if named else asked.today
        week = day.isocalendar()
        data: dict[str, Json] = {"topic": "week", "date": day.isoformat(), "week": week.week, "week_year": week.year}
        of = "" if week.year == day.year else f" of {week.year}"
        verb = "is" if day >= asked.today else "was"
        return Answer(f"{spell_date(day)} {verb} in ISO week {week.week}{of}.", Structured(data))
    return None


def _week(asked: Asked, found: re.Match[str], lower: str) -> Outcome | None:
    if found.group() != lower and not re.search(
        r"\b(?:when|what|which|dates?|begins?|starts?|ends?|monday|tuesday|wednesday|thursday|friday|"
        r"saturday|sunday|iso|first|last)\b",
        lower,
    ):
        return None
    number = int(found["week"])
    year = {"next year": asked.today.year + 1, "last year": asked.today.year - 1}.get(found["year"] or "", 0)
    year = year or (int(found["year"]) if (found["year"] or "").isdigit() else asked.today.isocalendar().year)
    if not 1 < year < 9999:
        raise OverflowError
    last = date(year, 12, 28).isocalendar().week
    if not 1 <= number <= last:
        raise QueryError(f"there is no ISO week {number} in {year}; it has {last} weeks", reason="NO_SUCH_DATE")
    weekday = re.search(rf"\b{WEEKDAY}\b", lower)
    first = date.fromisocalendar(year, number, 1)
    data: dict[str, Json] = {
        "topic": "week", "week": number, "week_year": year, "from": first.isoformat(),
        "to": (first + timedelta(days=6)).isoformat(),
    }  # fmt: skip
    if weekday:
        index = next(index for index, name in enumerate(WEEKDAYS) if name.lower() == weekday.group())
        day = first + timedelta(days=index)
        return Answer(
            f"That is {spell_date(day)}.", Structured({**data, "date": day.isoformat(), "weekday": WEEKDAYS[index]})
        )
    return Answer(
        f"ISO week {number} of {year} runs from {spell_date(first)} to {spell_date(first + timedelta(days=6))}.",
        Structured(data),
    )


def _nth_day(asked: Asked, found: re.Match[str]) -> Outcome | None:
    if found["n"]:
        number = int(found["n"])
    else:
        words = re.findall(r"[a-z]+|\d+", found["nth"])
        digits = next((int(word) for word in words if word.isdigit()), None)
        spoken = next((value[0] for at in range(len(words)) if (value := ordinal(words, at))), None)
        if digits is None and spoken is None:
            return None
        number = digits if digits is not None else spoken or 0
    year_words = found["x"].removeprefix("the ")
    named = stretch(asked, "this year" if year_words == "year" else year_words)
    if named is None:
        return None
    length = (named.last - named.first).days + 1
    if not 1 <= number <= length:
        raise QueryError(f"{named.first.year} has {length} days; there is no day {number}", reason="NO_SUCH_DATE")
    day = named.first + timedelta(days=number - 1)
    return told_day(asked, day)


def _day_of_year(asked: Asked, phrase: str) -> Outcome | None:
    named = stretch(asked, phrase) if phrase else None
    if phrase and (named is None or not named.is_day):
        return None
    day = named.first if named else asked.today
    number = day.timetuple().tm_yday
    data: dict[str, Json] = {"topic": "day_of_year", "date": day.isoformat(), "day_of_year": number}
    return Answer(f"{spell_date(day)} is day {number} of the year.", Structured(data))


_QUARTER = re.compile(r"\bq([1-4])\b|\b(first|second|third|fourth|last|1st|2nd|3rd|4th|this|next|current) quarter\b")


def quarters(asked: Asked) -> Outcome | None:
    """ "which quarter is August in", "when does Q3 end", "first day of the second quarter"."""
    lower = asked.lower.rstrip(" ?.!")
    if "quarter" not in lower and not re.search(r"\bq[1-4]\b", lower):
        return None
    which = re.search(r"\b(?:what|which) (?:fiscal |calendar )?quarter\b(?P<x>.*)", lower)
    if which:
        phrase = re.sub(
            r"^ ?(?:is|does|are|was|will|do)\b|\b(?:in|belong to|fall in|fall into|belong|be in|part of)$",
            "",
            which["x"].strip(),
        ).strip()
        named = stretch(asked, phrase) if phrase not in ("", "it", "we", "it now", "we in", "this", "are we") else None
        if named is None and phrase not in ("", "it", "we", "it now", "we in", "this"):
            return None
        day = named.first if named else asked.today
        number = (day.month + 2) // 3
        text = f"{MONTHS[day.month - 1]} is in the {('first', 'second', 'third', 'fourth')[number - 1]} quarter."
        return Answer(
            text, Structured({"topic": "quarter", "quarter": number, "year": day.year, "date": day.isoformat()})
        )
    named_quarter = _QUARTER.search(lower)
    if named_quarter is None or not re.search(
        r"\b(?:when|what|which|first day|last day|begins?|starts?|ends?|dates?)\b", lower
    ):
        return None
    words = named_quarter.group().replace("last quarter", "fourth quarter").replace("current", "this")
    year = re.search(r"\b(\d{4}|next year|last year)\b", lower)
    period = stretch(asked, f"{words} {year[1]}" if year else words) or stretch(
        asked, f"the {words} of {year[1]}" if year else f"the {words}"
    )
    if period is None:
        return None
    number = (period.first.month + 2) // 3
    end = re.search(r"\b(?:ends?|last day|over|finish\w*)\b", lower) is not None
    data: dict[str, Json] = {
        "topic": "quarter", "quarter": number, "year": period.first.year,
        "from": period.first.isoformat(), "to": period.last.isoformat(),
        "date": (period.last if end else period.first).isoformat(),
    }  # fmt: skip
    return Answer(
        f"The {('first', 'second', 'third', 'fourth')[number - 1]} quarter of {period.first.year} runs from "
        f"{spell_date(period.first)} to {spell_date(period.last)}.",
        Structured(data),
    )


# --- Seasons ----------------------------------------------------------------------------------------------------------

_SEASON = re.compile(r"\b(?P<season>spring|summer|autumn|fall|winter)\b")


def seasons(asked: Asked) -> Outcome | None:
    """ "first day of summer": by the Sun and by the months, and for which half of the Earth. "when is the solstice"."""
    lower = asked.lower.rstrip(" ?.!")
    if re.search(r"\b(?:solstice|equinox)\b", lower):
        day = solstice(lower, asked.now, asked.query.zone)
        return told_day(asked, day) if day and re.search(r"\b(?:when|what|which|date|day)\b", lower) else None
    found = _SEASON.search(lower)
    if found is None or not re.search(
        r"\b(?:first day|1st day|start|starts|begin|begins|beginning|started|began|official(?:ly)?|end|ends|over)\b",
        lower,
    ):
        return None
    name = found["season"].replace("fall", "autumn")
    country = dates_holidays.place(asked) or place_of(asked.query.locale)
    southern = country is not None and country.code in SOUTHERN
    quarter = (NORTHERN.index(name) + 2 * southern) % 4
    if re.search(r"\b(?:ends?|over|last day)\b", lower):
        quarter, what = (quarter + 1) % 4, "ends"
    else:
        what = "begins"
    said = re.search(r"\b(\d{4})\b", lower, re.ASCII)
    back = re.search(r"\b(?:did|was|began|started)\b", lower) is not None
    years = [int(said[1])] if said else [asked.today.year + ahead for ahead in ((0, -1) if back else (0, 1))]
    for year in years:
        if not 1 < year < 9999:
            raise OverflowError
        astronomical, by_month = season_days(year, quarter, asked.query.zone)
        if said or (astronomical <= asked.today if back else astronomical >= asked.today):
            break
    half = "southern" if southern else "northern"
    text = (
        f"{name.title()} {what} on {spell_date(astronomical)} by the Sun "
        f"({'solstice' if quarter % 2 else 'equinox'}), on "
        f"{by_month.day} {MONTHS[by_month.month - 1]} by the months of the weather services, in the {half} hemisphere."
    )
    data: dict[str, Json] = {
        "topic": "season", "season": name, "date": astronomical.isoformat(), "by_month": by_month.isoformat(),
        "hemisphere": half,
    }  # fmt: skip
    return Answer(text, Structured(data))
