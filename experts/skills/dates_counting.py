"""From one day to another, from a day so much further, and how old that makes somebody.

Days between two dates leave the first one out; working days and weekdays count both ends, and the answer says so.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta

from ..values import Abstention, Answer, Json, Outcome, Structured
from . import dates_holidays
from .countries import Place
from .dates_reading import Asked, Stretch, amount, day, later, stretch
from .dates_seasons import solstice
from .holiday_calendar import working_day, working_days
from .measure_numbers import OutOfRangeError
from .measures import find_quantities
from .timex import resolve_all
from .wording import WEEKDAYS, spell_date

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_UNIT = (
    rf"(?:(?:working|business|work)[ -]?days?|workdays?|weekdays?|weekends?|{_WEEKDAY}|days?|nights?|"
    rf"sleeps?|weeks?|fortnights?|"
    r"months?|quarters?|years?|decades?|centuries)"
)
_TAIL = re.compile(
    r"[\s,;?.!]*(?:\b(?:please|thanks?|how many \w+(?: \w+)?(?: is that| are there| left)?|(?:which|"
    r"what) (?:date|day)(?: is that| will that be| "
    r"is it| was that| am i done| would that be| do i get)?|is that|exactly|in total|away|"
    r"in days|are there|have passed)\s*[?.!]*)?$"
)

# --- How many ---------------------------------------------------------------------------------------------------------

_ASKS_COUNT = re.compile(
    rf"\bhow (?:many|much|long|far|soon)\b|\bnumber of\b|\bcount\b|\bcountdown\b|"
    rf"\b{_UNIT}\b.*\b(?:between|until|till?|since|left|from|to)\b|"
    r"\bdifference\b|\bgap\b"
)
_HOW_MANY = re.compile(rf"\bhow many (?:more |full |whole |calendar |exact )?(?P<unit>{_UNIT})\b")
_LEADING = re.compile(rf"\b(?P<unit>{_UNIT})\b")
_SHAPES = (
    ("between", re.compile(r"\bbetween (?P<a>.+?) and (?P<b>.+)")),
    ("between", re.compile(r"\bfrom (?P<a>.+?) (?:to|until|till|through|up to) (?P<b>.+)")),
    (
        "left",
        re.compile(
            r"\b(?:left|remain(?:ing)?|remain)\b(?: (?:in|of|for))?(?: the| this| current)* (?P<a>year|month|"
            r"week|quarter|decade|century)\b"
        ),
    ),
    ("since", re.compile(r"\bsince (?P<a>.+)")),
    ("since", re.compile(r"\bago (?:was|is|were|did) (?P<a>.+)")),
    ("until", re.compile(r"\b(?:until|till|til|'til|before) (?:it is |it's |we have )?(?P<a>.+)")),
    ("until", re.compile(r"\bhow far (?:away|off|out) (?:is|are) (?P<a>.+)")),
    (
        "until",
        re.compile(rf"\b(?:{_UNIT}|long|far)(?: is it| are there| left| to go| remaining)? (?:to|for) (?P<a>.+)"),
    ),
)
_MORE_THAN = re.compile(
    r"\b(?P<sign>more|less|fewer|longer|over|under) than (?P<amount>.+?)(?= (?:to|until|till|since|between|away))"
)


def count(asked: Asked) -> Outcome | None:
    """ "days until christmas", "how many weeks between 3 May and the 1st of August", "how long ago was …"."""
    if not _ASKS_COUNT.search(asked.lower):
        return None
    for kind, shape in _SHAPES:
        found = shape.search(asked.lower)
        if found is None:
            continue
        ends = _ends(kind, found, asked)
        if ends is None:
            continue
        many = _HOW_MANY.search(asked.lower)
        leading = _LEADING.search(asked.lower[: found.end("a") if kind == "left" else found.start("a")])
        unit = many["unit"] if many else leading["unit"] if leading else ""
        more = _MORE_THAN.search(asked.lower)
        if kind == "until" and more is not None:
            return _compared(asked, *ends, more)
        return _counted(asked, kind, *ends, re.sub(r"\s|-", "", unit))
    return None


def _ends(kind: str, found: re.Match[str], asked: Asked) -> tuple[date, date] | None:
    """The days between which is counted, the earlier one first unless "until" lies behind us. Raises: TimeError."""
    first_words = _TAIL.sub("", re.sub(r" (?:from )?now\W*$", "", found["a"])) or found["a"]
    if kind == "left":
        period = stretch(asked, f"this {found['a']}")
        return (asked.today, period.last) if period else None
    if kind == "between":
        first = _named(asked, first_words)
        if first is None:
            return None
        second_words = _TAIL.sub("", found["b"])
        if (year := re.search(r" \d{4}\b", second_words)) and not re.search(r"\d{4}", first_words):
            # "between 1 April and 15 April 2050", but "between Christmas and 3 May 2027".
            same, end = _named(asked, first_words + year.group()), _named(asked, second_words)
            first = same if same and end and same <= end else first
        second = _named(asked, second_words)
        if second is not None and second < first and not re.search(r"\d{4}", second_words):
            second = _named(
                replace(asked, now=datetime(first.year, first.month, first.day, tzinfo=asked.now.tzinfo)), second_words
            )
        return (min(first, second), max(first, second)) if second else None
    if kind == "since":
        start = _named(asked, first_words, back=True)
        return (start, asked.today) if start and start <= asked.today else None
    end = _named(asked, first_words)
    return (asked.today, end) if end else None


def _named(asked: Asked, phrase: str, *, back: bool = False) -> date | None:
    if found := solstice(phrase, asked.now, asked.query.zone):
        return found
    try:
        return dates_holidays.feast_day(asked, phrase)
    except LookupError:
        return day(asked, phrase, back=back)


def _counted(asked: Asked, kind: str, first: date, last: date, unit: str) -> Outcome:
    days = (last - first).days
    data: dict[str, Json] = {"topic": "count", "from": first.isoformat(), "to": last.isoformat(), "days": days}
    until, earlier = spell_date(last), spell_date(first)
    if unit.startswith(("working", "business", "work", "weekday")):
        place = None if unit.startswith("weekday") else dates_holidays.place(asked)
        number = working_days(place, min(first, last), max(first, last))
        told = _plural(number, "weekday" if unit.startswith("weekday") else "working day")
        told += f" from {spell_date(min(first, last))} to {spell_date(max(first, last))}, both counted"
        return Answer(
            f"{told}{_without(place, unit)}.",
            Structured({**data, "unit": "working day", "count": number, "country": place.code if place else None}),
        )
    weekday = next((number for number, name in enumerate(WEEKDAYS) if name.lower() == unit.removesuffix("s")), None)
    if weekday is None and unit.startswith("weekend"):
        weekday = 5
    if weekday is not None:
        start, end = min(first, last), max(first, last)
        number = ((end - start).days - (weekday - start.weekday()) % 7) // 7 + 1
        name = "weekend" if unit.startswith("weekend") else WEEKDAYS[weekday]
        told = f"{_plural(number, name)} from {spell_date(start)} to {spell_date(end)}, both counted"
        return Answer(f"{told}.", Structured({**data, "unit": name, "count": number}))
    length, number = _length(first, last, unit) if days >= 0 else _length(last, first, unit)
    data = {**data, "unit": unit.removesuffix("s") or "day", "count": number}
    if kind == "since":
        return Answer(f"{_upper(length)} since {earlier}.", Structured(data))
    if kind == "between":
        return Answer(f"{_upper(length)} from {earlier} to {until}.", Structured(data))
    if days < 0:
        return Answer(f"{until} was {length} ago.", Structured(data))
    if kind == "left":
        return Answer(f"{_upper(length)} left after today, until {until}.", Structured(data))
    return Answer(f"{_upper(length)} until {until}." if days else f"That is today, {until}.", Structured(data))


def _compared(asked: Asked, first: date, last: date, more: re.Match[str]) -> Outcome | None:
    """ "is it more than 100 days to christmas"."""
    steps = amount(more["amount"])
    if steps is None:
        return None
    limit = later(first, steps, 1)
    holds = last < limit if more["sign"] in ("less", "fewer", "under") else last > limit
    days = (last - first).days
    text = f"{'Yes' if holds else 'No'}: {_plural(days, 'day')} until {spell_date(last)}."
    return Answer(
        text,
        Structured({"topic": "count", "from": first.isoformat(), "to": last.isoformat(), "days": days, "holds": holds}),
    )


def _length(first: date, last: date, unit: str) -> tuple[str, int]:
    """ "12 weeks and 6 days (90 days)", and the whole number of the unit."""
    days = (last - first).days
    in_days = _plural(days, "day")
    name = unit.removesuffix("s").replace("centurie", "century")
    size = {"week": 7, "fortnight": 14}.get(name)
    if size is not None:
        whole, rest = divmod(days, size)
        return _with_rest(_plural(whole, name), rest, in_days), whole
    if name in ("night", "sleep"):
        return _plural(days, name), days
    months, rest = months_between(first, last)
    if name in ("month", "quarter", "year", "decade", "century"):
        size = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200}[name]
        whole, over = divmod(months, size)
        over_years, over_months = divmod(over, 12) if size > 12 else (0, over)
        parts = [_plural(whole, name), *([_plural(over_years, "year")] if over_years else [])]
        parts += [_plural(over_months, "month")] if over_months else []
        return _with_rest(", ".join(parts), rest, in_days), whole
    if not unit and months >= 2:
        years, over = divmod(months, 12)
        parts = [_plural(years, "year")] * bool(years) + [_plural(over, "month")] * bool(over)
        return f"{in_days} ({_with_rest(', '.join(parts), rest, '')})", days
    if days >= 14:
        return f"{in_days} ({_with_rest(_plural(days // 7, 'week'), days % 7, '')})", days
    return in_days, days


def _with_rest(whole: str, rest: int, in_days: str) -> str:
    text = f"{whole} and {_plural(rest, 'day')}" if rest else whole
    return f"{text} ({in_days})" if in_days else text


def months_between(first: date, last: date) -> tuple[int, int]:
    """Whole months from one day to a later one, and the days that are left."""
    months = (last.year - first.year) * 12 + last.month - first.month
    if later(first, [(months, "month")], 1) > last:
        months -= 1
    return months, (last - later(first, [(months, "month")], 1)).days


def _plural(number: int, name: str) -> str:
    return f"{number:,} {name if number == 1 else 'centuries' if name == 'century' else name + 's'}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _without(place: Place | None, unit: str) -> str:
    if unit.startswith("weekday"):
        return ""
    return (
        f", without the public holidays of {place.name}" if place else "; Monday to Friday, no public holidays left out"
    )


# --- So much later or earlier -----------------------------------------------------------------------------------------

_WORKING = re.compile(r"\b(?:working|business|work)[ -]?days?\b|\bworkdays?\b")
_FORWARD = re.compile(r"(?:from|after|past|following|on from|since|later than)\s+(?P<x>.+)")
_BACKWARD = re.compile(r"(?:before|prior to|ahead of|back from|earlier than)\s+(?P<x>.+)")
_ADDED = re.compile(r"\b(?:add|adding|plus|go forward|move forward|count)\b")
_TAKEN = re.compile(r"\b(?:subtract|take|less|deduct|remove|go back|move back|count back)\b")
_DATED = re.compile(r"\b(?:dated|from|start(?:ing|s)?(?: on| from)?|begin(?:ning|s)?(?: on)?)\s+(?P<x>.+)")
_KNOWN_WORDS = """
    a about add adding after am and any are as at away back be been begin beginning by calculate come count date
    dated day days deadline do does done down due exactly fall falls find for forward from further get give go going
    hence i if in invoice into is it its know land later me minus month my need net now of off on onto out please
    plus starting start starts subtract take tell that the them then there these this to today's us was we week
    weekday what what's whats when when's where which will with work would year you your hey ok okay so just exact
    deduct remove date's which's could can many start's payment term terms lands another
"""
_KNOWN = frozenset(_KNOWN_WORDS.split())


def add(asked: Asked) -> Outcome | None:
    """ "90 days from now", "add 45 working days to 3 August", "three weeks after Easter", "1000 days ago"."""
    working = _WORKING.search(asked.lower) is not None
    lower = _TAIL.sub("", _WORKING.sub("days", asked.lower))
    lower = re.sub(r" (?:minus|-|−) ", " less ", lower).replace(" + ", " plus ")
    if re.fullmatch(r".*\bfrom", lower):
        lower += " now"
    try:
        quantities = [q for q in find_quantities(lower)[0] if amount(lower[slice(*q.span)]) is not None]
    except OutOfRangeError:
        return None
    if len(quantities) != 1:
        return None
    steps = amount(lower[slice(*quantities[0].span)])
    if not steps:
        return None
    before, after = lower[: quantities[0].span[0]].strip(), lower[quantities[0].span[1] :].strip(" ,")
    found = _anchor(before, after)
    if found is None:
        return None
    sign, anchor, rest = found
    strange = [word for word in re.findall(r"[^\W\d_]+(?:'\w+)?", rest) if word not in _KNOWN]
    asks = (
        re.search(r"\b(?:date|day|when|what|which|due|deadline|done)\b", asked.lower)
        or _ADDED.search(before)
        or _TAKEN.search(before)
    )
    if strange or not (asks or not before):
        return None
    start = asked.today if anchor in ("", "now", "today", "the present") else _named(asked, anchor)
    if start is None:
        return None
    name = dates_holidays.place(asked) if working else None
    found_day = working_day(name, start, sign * steps[0][0]) if working else later(start, steps, sign)
    return _told_day(asked, found_day, start, _without(name, "") if working else "")


def _anchor(before: str, after: str) -> tuple[int, str, str] | None:
    """(1 or -1, the words of the day from which is counted, other words) of what stands around an amount."""
    if re.match(r"(?:ago|back|earlier)\b", after):
        return -1, "", f"{before} {after.partition(' ')[2]}"
    if re.match(r"(?:hence|later|from here)\b", after):
        return 1, "", f"{before} {after.partition(' ')[2]}"
    taken, added = _TAKEN.search(before), _ADDED.search(before)
    joined = re.match(r"(?:from|off|to|onto|on top of|on|before)\s+(?P<x>.+)", after)
    if taken is not None and joined:
        return -1, joined["x"], before
    if added is not None and joined:
        return 1, joined["x"], before
    forward, backward = _FORWARD.match(after), _BACKWARD.match(after)
    if forward:
        return 1, forward["x"], before
    if backward:
        return -1, backward["x"], before
    # "14 april plus 30 days", "5 may minus two weeks", "invoice dated 14 april, net 30 days".
    sum_of = re.fullmatch(r"(?:(?:what|which)(?:'s| is)? |when is |the |date )*(?P<x>.+?) (?P<sign>plus|less)", before)
    if sum_of and not after:
        return (-1 if sum_of["sign"] == "less" else 1), sum_of["x"], ""
    dated = _DATED.search(before)
    if dated:
        words = re.split(r",| and | i | need | net ", dated["x"])[0]
        return 1, words, before.replace(words, " ") + " " + after
    if re.search(r"\bin$", before):
        return 1, "", f"{before} {after}"
    return None


def _told_day(asked: Asked, found: date, start: date, note: str) -> Answer:
    data: dict[str, Json] = {
        "topic": "date",
        "date": found.isoformat(),
        "weekday": WEEKDAYS[found.weekday()],
        "from": start.isoformat(),
        "days": (found - start).days,
    }
    verb = "is" if found >= asked.today else "was"
    return Answer(f"That {verb} {spell_date(found)}{note}.", Structured(data))


# --- How old ----------------------------------------------------------------------------------------------------------

_BORN = re.compile(
    r"\b(?:born|birthday|birthdate|birth date|date of birth|dob|d\.o\.b\.?|founded|established|built|"
    r"opened|built)\b(?: is| was| on| in| the)*"
)
_ASKS_AGE = re.compile(
    r"\b(?:how old|what age|age|how many (?:days|weeks|months|years) old|turns?|turned|will be)\b|\bdays old\b"
)
_TURNS = re.compile(
    r"\b(?:turns?|turned|be|reach(?:es)?|becomes?|hits?)\s+(?P<age>\d{1,3})\b(?! ?(?:days?|weeks?|months?))", re.ASCII
)


_YEAR_SAID = re.compile(r"\d{4}|\d[./-]\d+[./-]\d{2}", re.ASCII)
_INFANT = re.compile(r"\b(?:baby|infant|newborn|puppy|kitten|ago|yesterday|today|(?:days|weeks|months) old)\b")


def age(asked: Asked) -> Outcome | None:
    """ "how old is someone born 4 June 1987", "when does someone born 20 April 2009 turn 18"."""
    born_at = _BORN.search(asked.lower)
    if born_at is None or not _ASKS_AGE.search(asked.lower):
        return None
    turns = _TURNS.search(asked.lower)
    rest = asked.lower[born_at.end() :]
    if turns and turns.start() >= born_at.end():
        rest = asked.lower[born_at.end() : turns.start()]
    birth_words, on_words = _two_days(asked, rest)
    birth = stretch(asked, birth_words, back=True) if birth_words else None
    if birth is None:
        return None
    if birth.grain == "day" and not _YEAR_SAID.search(birth_words) and not _INFANT.search(asked.lower):
        return Abstention("An age needs the year of birth too: born in which year?", "needs_input")
    if turns:
        return _turning(birth, int(turns["age"]))
    on = stretch(asked, on_words) if on_words else None
    when = on.last if on else asked.today
    if birth.first > when:
        return Abstention(
            f"{spell_date(birth.first)} is after {spell_date(when)}: nobody born then has an age yet", "unsure"
        )
    return _age_on(asked, birth, when)


def _two_days(asked: Asked, words: str) -> tuple[str, str]:
    """The words of the birth and, where there are some, of the day for which the age is asked."""
    on = re.search(
        r"(?:,|\bbe|\bwas|\bis)?\s+(?:on|in|by|at|this|next)\s+(?=(?:\d|year|the \d|jan|feb|mar|apr|may|"
        r"jun|jul|aug|sep|oct|nov|dec).*$)",
        words[4:],
    )
    if on is not None and resolve_all(words[: on.start() + 4], asked.now, asked.query.zone, asked.query.locale):
        second = words[on.start() + 4 :].strip(" ,?.!")
        return words[: on.start() + 4].split(",", maxsplit=1)[0].strip(), re.sub(r"^(?:be|was|is) ", "", second)
    return re.split(r",|\bhow\b|\bwhat\b|\bhas\b|\bin (?:days|weeks|months|years)\b", words)[0].strip(" ?.!"), ""


def _age_on(asked: Asked, birth: Stretch, when: date) -> Answer:
    months, rest = months_between(birth.first, when)
    years = months // 12
    total = (when - birth.first).days
    data: dict[str, Json] = {
        "topic": "age", "born": birth.first.isoformat(), "on": when.isoformat(),
        "years": years, "months": months, "days": total,
    }  # fmt: skip
    if birth.grain != "day":
        least = months_between(birth.last, when)[0] // 12 if birth.last <= when else 0
        data = {**data, "years": years, "years_at_least": least}
        told = (
            f"{years} years old" if least == years else f"{least} or {years} years old, as the birthday has been or not"
        )
        return Answer(f"{told[:1].upper()}{told[1:]}.", Structured(data))
    unit = re.search(r"\b(?:how many |in )(days|weeks|months)\b", asked.lower)
    if unit and unit[1] == "days":
        told = f"{_plural(total, 'day')} old"
    elif unit and unit[1] == "weeks":
        told = _with_rest(_plural(total // 7, "week"), total % 7, "") + " old"
    elif (unit and unit[1] == "months") or months < 24:
        told = (_with_rest(_plural(months, "month"), rest, "") if months else _plural(total, "day")) + " old"
    else:
        told = f"{years} years old"
    at = "" if when == asked.today else f" on {spell_date(when)}"
    return Answer(f"{told}{at}, born on {spell_date(birth.first)}.", Structured(data))


def _turning(birth: Stretch, years: int) -> Outcome:
    first = later(birth.first, [(years, "year")], 1)
    if (birth.first.month, birth.first.day) == (2, 29) and first.day == 28:
        first += timedelta(days=1)
    data: dict[str, Json] = {"topic": "age", "born": birth.first.isoformat(), "years": years, "date": first.isoformat()}
    if birth.grain != "day":
        return Answer(f"In {first.year}.", Structured({**data, "date": None, "year": first.year}))
    return Answer(f"On {spell_date(first)}.", Structured(data))
