"""Times, spans and rules in words, as every skill says them: "07:30 tomorrow (Tuesday 3 March)", "14 h 12 min"."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from .timex import Recurrence

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}


def spell_span(span: timedelta) -> str:
    """The two largest units of a length of time: "14 h 12 min", "3 days 2 h", "45 s"."""
    seconds = max(round(span.total_seconds()), 0)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [
        (f"{days} day{'s' * (days != 1)}", days),
        (f"{hours} h", hours),
        (f"{minutes} min", minutes),
        (f"{rest} s", rest),
    ]
    first = next((index for index, (_, count) in enumerate(parts) if count), 3)
    return " ".join(text for text, count in parts[first : first + 2] if count) or "0 s"


def spell_date(day: date, today: date | None = None) -> str:
    """ "Tuesday 3 March", with the year where it is not today's."""
    year = f" {day.year}" if today is None or day.year != today.year else ""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]}{year}"


def spell_clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def spell_moment(moment: datetime, now: datetime) -> str:
    """ "17:00 today", "07:30 tomorrow (Tuesday 3 March)", "09:00 on Friday 6 March"; both in the same zone.

    Seconds are told where it is only minutes away.
    """
    ahead = (moment.date() - now.date()).days
    near = abs(moment.astimezone(UTC) - now.astimezone(UTC)) < timedelta(minutes=5)
    clock = spell_clock(moment) if near else f"{moment:%H:%M}"
    if ahead == 0:
        return f"{clock} today"
    day = spell_date(moment.date(), now.date())
    if ahead == 1:
        return f"{clock} tomorrow ({day})"
    return f"{clock} yesterday ({day})" if ahead == -1 else f"{clock} on {day}"


def spell_rule(rule: Recurrence) -> str:
    """ "every weekday at 08:00", "every 2 hours", "on the last Friday of every month"."""
    every = "every" if rule.interval == 1 else f"every {rule.interval}"
    unit = {"secondly": "second", "minutely": "minute", "hourly": "hour"}.get(rule.frequency)
    if unit is not None:
        return f"{every} {unit}{'s' * (rule.interval > 1)}"
    at = "" if rule.hour is None else f" at {rule.hour:02}:{rule.minute:02}" + f":{rule.second:02}" * bool(rule.second)
    days = _spell_weekdays(rule.weekdays)
    if rule.frequency in ("daily", "weekly"):
        if rule.frequency == "weekly" and rule.weekdays:
            weeks = "" if rule.interval == 1 else f" of every {rule.interval} weeks"
            return (f"every {days}{at}" if not weeks else f"on {days}{weeks}{at}").replace("every every", "every")
        unit = "day" if rule.frequency == "daily" else "week"
        return f"{every} {unit}{'s' * (rule.interval > 1)}{f' on {days}' if days and unit == 'day' else ''}{at}"
    period = f"{every} month{'s' * (rule.interval > 1)}" if rule.frequency == "monthly" else _spell_year(rule)
    if rule.weekdays:
        which = f"the {_ORDINALS.get(rule.nth, str(rule.nth))} {days}" if rule.nth is not None else f"every {days}"
        return f"on {which} of {period}{at}"
    if rule.day_of_month is not None:
        day = "the last day" if rule.day_of_month == -1 else f"day {rule.day_of_month}"
        return f"on {day} of {period}{at}"
    return f"{period}{at}"


def _spell_year(rule: Recurrence) -> str:
    years = "every year" if rule.interval == 1 else f"every {rule.interval} years"
    month = rule.month or (rule.anchor.month if rule.anchor else None)
    return f"{MONTHS[month - 1]}, {years}" if month else years


def _spell_weekdays(weekdays: tuple[int, ...]) -> str:
    chosen = tuple(sorted(weekdays))
    if chosen == (0, 1, 2, 3, 4):
        return "weekday"
    if chosen == (0, 1, 2, 3, 4, 5, 6):
        return "day"
    names = [WEEKDAYS[day] for day in chosen]
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
