"""Days of other calendars in ours: Easter, the Hebrew, Islamic, Chinese and Hindu calendars.

The lunar ones are computed from the places of Sun and Moon (J. Meeus, Astronomical Algorithms, 2nd ed., chapters 25, 47
and 49, shortened series: the Moon to about 0.02°, so a phase to a few minutes). Where a day hangs on less than that, or
on a sighting or a proclamation, the real feast may be a day off. Knows no names of feasts.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from math import asin, atan2, cos, degrees, floor, radians, sin, tan

_J2000 = datetime(2000, 1, 1, 12)
_SYNODIC_MONTH = 29.530588861
_CHINA = 8 / 24
_INDIA = 5.5 / 24
_MECCA = 3 / 24
_MECCA_NORTH, _MECCA_EAST = 21.4225, 39.8262
# The Moon's altitude when its edge sets: refraction and its radius are less than its parallax.
_MOONSET = 0.1


def easter(year: int) -> date:
    """Western Easter (Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)


def orthodox_easter(year: int) -> date:
    """Eastern Easter: Julian Easter (Meeus) in our calendar."""
    a, b, c = year % 4, year % 7, year % 19
    d = (19 * c + 15) % 30
    e = (2 * a + 4 * b - d + 34) % 7
    month, day = divmod(d + e + 114, 31)
    return date(year, month, day + 1) + timedelta(days=year // 100 - year // 400 - 2)


# --- Hebrew, by arithmetic -------------------------------------------------------------------------------------------


def hebrew(year: int, month: int, day: int) -> list[date]:
    """The day of our `year` with that Hebrew date; months count from Nisan (Tishri is 7). Adar is the second one."""
    found = []
    for hebrew_year in (year + 3760, year + 3761):
        when = _hebrew_date(hebrew_year, month, day)
        if when.year == year:
            found.append(when)
    return found


def _hebrew_date(year: int, month: int, day: int) -> date:
    new_year = _hebrew_new_year(year)
    length = _hebrew_new_year(year + 1) - new_year
    is_leap = (7 * year + 1) % 19 < 7
    # Tishri, Heshvan, Kislev, Tevet, Shevat, Adar (, Adar II), Nisan …
    lengths = [30, 30 if length % 10 == 5 else 29, 29 if length % 10 == 3 else 30, 29, 30]
    lengths += [30, 29] if is_leap else [29]
    lengths += [30, 29, 30, 29, 30, 29]
    order = [7, 8, 9, 10, 11] + ([0, 12] if is_leap else [12]) + [1, 2, 3, 4, 5, 6]
    return date.fromordinal(new_year + sum(lengths[: order.index(month)]) + day - 1)


@lru_cache(64)
def _hebrew_new_year(year: int) -> int:
    """The ordinal of 1 Tishri (N. Dershowitz and E. Reingold, Calendrical Calculations)."""

    def elapsed(y: int) -> int:
        months = (235 * y - 234) // 19
        parts = 12084 + 13753 * months
        day = 29 * months + parts // 25920
        return day + 1 if 3 * (day + 1) % 7 < 3 else day

    before, this, after = elapsed(year - 1), elapsed(year), elapsed(year + 1)
    correction = 2 if after - this == 356 else 1 if this - before == 382 else 0
    return this + correction - 1373427


# --- Sun and Moon ----------------------------------------------------------------------------------------------------

# The largest terms of the Moon's longitude: factors of D, M, M', F and the amplitude in millionths of a degree.
_MOON = (
    (0, 0, 1, 0, 6288774), (2, 0, -1, 0, 1274027), (2, 0, 0, 0, 658314), (0, 0, 2, 0, 213618), (0, 1, 0, 0, -185116),
    (0, 0, 0, 2, -114332), (2, 0, -2, 0, 58793), (2, -1, -1, 0, 57066), (2, 0, 1, 0, 53322), (2, -1, 0, 0, 45758),
    (0, 1, -1, 0, -40923), (1, 0, 0, 0, -34720), (0, 1, 1, 0, -30383), (2, 0, 0, -2, 15327), (0, 0, 1, 2, -12528),
    (0, 0, 1, -2, 10980), (4, 0, -1, 0, 10675), (0, 0, 3, 0, 10034), (4, 0, -2, 0, 8548), (2, 1, -1, 0, -7888),
    (2, 1, 0, 0, -6766), (1, 0, -1, 0, -5163), (1, 1, 0, 0, 4987), (2, -1, 1, 0, 4036), (2, 0, 2, 0, 3994),
    (4, 0, 0, 0, 3861), (2, 0, -3, 0, 3665),
)  # fmt: skip


def _centuries(day: float) -> float:
    # Dynamical time runs about 70 seconds ahead of ours in this century.
    return (day + 0.0008) / 36525


def sun_longitude(day: float) -> float:
    """Apparent longitude in degrees; day: in universal time, from noon of 1 January 2000."""
    t = _centuries(day)
    mean = 280.46646 + 36000.76983 * t
    anomaly = radians(357.52911 + 35999.05029 * t)
    center = (
        (1.914602 - 0.004817 * t) * sin(anomaly)
        + (0.019993 - 0.000101 * t) * sin(2 * anomaly)
        + 0.000289 * sin(3 * anomaly)
    )
    node = radians(125.04 - 1934.136 * t)
    return (mean + center - 0.00569 - 0.00478 * sin(node)) % 360


def moon_longitude(day: float) -> float:
    """Apparent longitude in degrees."""
    t = _centuries(day)
    mean = 218.3164477 + 481267.88123421 * t
    d = radians(297.8501921 + 445267.1114034 * t)
    m = radians(357.5291092 + 35999.0502909 * t)
    mm = radians(134.9633964 + 477198.8675055 * t)
    f = radians(93.2720950 + 483202.0175233 * t)
    total = sum(a * sin(i * d + j * m + k * mm + n * f) for i, j, k, n, a in _MOON)
    node = radians(125.04 - 1934.136 * t)
    return (mean + total / 1e6 - 0.00478 * sin(node)) % 360


def elongation(day: float) -> float:
    """How far the Moon is ahead of the Sun, in degrees; 0 is new, 180 full."""
    return (moon_longitude(day) - sun_longitude(day)) % 360


@lru_cache(1024)
def new_moon(number: int) -> float:
    """The time of a new moon, numbered from January 2000."""
    day = 5.09766 + _SYNODIC_MONTH * number
    for _ in range(3):
        day -= ((elongation(day) + 180) % 360 - 180) / 12.1907
    return day


def _number_at(day: float) -> int:
    return round((day - 5.09766) / _SYNODIC_MONTH)


def _days_from_epoch(when: date) -> float:
    """Noon of that day, universal time."""
    return (when - _J2000.date()).days


def _date_of(day: float) -> date:
    return _J2000.date() + timedelta(days=floor(day + 0.5))


# --- Islamic ---------------------------------------------------------------------------------------------------------


def islamic(year: int, month: int, day: int) -> list[date]:
    """The days of our `year` with that Islamic date; there may be two. A month begins on the first evening on which, in
    Mecca, the Moon is past new at sunset and sets after the Sun: the rule of the Umm al-Qura calendar."""
    found = []
    # 1 Muharram 1420 was the new moon of 16 April 1999: number -9.
    first = _number_at(_days_from_epoch(date(year, 1, 1))) - 2
    for number in range(first, first + 16):
        if (number + 9) % 12 + 1 == month:
            when = _islamic_month(number) + timedelta(days=day - 1)
            if when.year == year:
                found.append(when)
    return found


@lru_cache(512)
def _islamic_month(number: int) -> date:
    """The first day of the month after that new moon."""
    new = new_moon(number)
    day = _date_of(new + _MECCA)
    for _ in range(3):
        sunset = _sunset_in_mecca(day)
        day += timedelta(days=1)
        if new < sunset and _altitude_in_mecca(sunset, moon_longitude(sunset), _moon_latitude(sunset)) > _MOONSET:
            break
    return day


def _sunset_in_mecca(when: date) -> float:
    day = _days_from_epoch(when) + 0.125
    for _ in range(4):
        # The Sun sinks by about 13.7 degrees an hour at that latitude.
        day += (_altitude_in_mecca(day, sun_longitude(day), 0.0) + 0.83) / 329
    return day


def _moon_latitude(day: float) -> float:
    t = _centuries(day)
    d = radians(297.8501921 + 445267.1114034 * t)
    mm = radians(134.9633964 + 477198.8675055 * t)
    f = radians(93.2720950 + 483202.0175233 * t)
    return (
        5.128122 * sin(f) + 0.280602 * sin(mm + f) + 0.277693 * sin(mm - f) + 0.173237 * sin(2 * d - f)
        + 0.055413 * sin(2 * d - mm + f) + 0.046271 * sin(2 * d - mm - f) + 0.032573 * sin(2 * d + f)
    )  # fmt: skip


def _altitude_in_mecca(day: float, longitude: float, latitude: float) -> float:
    """Degrees above the horizon, seen from the middle of the Earth."""
    tilt, lam, beta = radians(23.4393), radians(longitude), radians(latitude)
    declination = asin(sin(beta) * cos(tilt) + cos(beta) * sin(tilt) * sin(lam))
    ascension = atan2(sin(lam) * cos(tilt) - tan(beta) * sin(tilt), cos(lam))
    sidereal = radians((280.46061837 + 360.98564736629 * day + _MECCA_EAST) % 360)
    north = radians(_MECCA_NORTH)
    hour_angle = sidereal - ascension
    return degrees(asin(sin(north) * sin(declination) + cos(north) * cos(declination) * cos(hour_angle)))


# --- Chinese ---------------------------------------------------------------------------------------------------------


def chinese(year: int, month: int, day: int) -> list[date]:
    """The day of our `year` with that date of the Chinese calendar, leap months aside. Months are counted from the one
    in which the Sun enters the sign of 330°."""
    found = []
    # The first month begins between 21 January and 20 February.
    usual = _number_at(_days_from_epoch(date(year, 2, 5)) + (month - 1) * _SYNODIC_MONTH)
    for number in range(usual - 1, usual + 2):
        if _chinese_month(number) == month:
            when = _date_of(new_moon(number) + _CHINA) + timedelta(days=day - 1)
            if when.year == year:
                found.append(when)
    return found[:1]


def _chinese_month(number: int) -> int:
    """Its number; 0 for a leap month: one in which the Sun enters no sign."""
    begin = floor(new_moon(number) + _CHINA + 0.5) - 0.5 - _CHINA
    end = floor(new_moon(number + 1) + _CHINA + 0.5) - 0.5 - _CHINA
    low, high = floor(sun_longitude(begin) / 30), floor(sun_longitude(end) / 30)
    return 0 if low == high else (high + 1) % 12 + 1


# --- Hindu -----------------------------------------------------------------------------------------------------------


def tithi(year: int, month: int, number: int, hour: float) -> list[date]:
    """The days of our `year` on which, at that hour in India, the lunar day `number` prevails.

    month: Chaitra is 1, counted from new moon to new moon; leap months are left out. number: 1…15 to the full moon,
    16…30 to the new moon. Where the lunar day holds that hour on no day, the day that comes nearest to it.
    """
    found = []
    # Chaitra begins between mid March and mid April; the last months begin in the year before or in this one.
    usual = _number_at(_days_from_epoch(date(year, 3, 29)) + (month - 1) * _SYNODIC_MONTH)
    for moon in (usual - 13, usual - 12, usual - 11, usual - 1, usual, usual + 1):
        if month < 9 and moon < usual - 1:
            continue
        if _hindu_month(moon) != month:
            continue
        begin, end = (_at_elongation(moon, 12.0 * n) for n in (number - 1, number))
        middle = (begin + end) / 2 + _INDIA
        hours = [floor(middle + 0.5) + shift - 0.5 + hour / 24 for shift in (-1, 0, 1)]
        inside = [at for at in hours if begin + _INDIA <= at < end + _INDIA]
        chosen = inside[0] if inside else min(hours, key=lambda at: abs(at - middle))
        when = _date_of(chosen)
        if when.year == year:
            found.append(when)
    return found


def _at_elongation(number: int, target: float) -> float:
    day = new_moon(number) + target / 360 * _SYNODIC_MONTH
    for _ in range(5):
        day -= ((elongation(day) - target + 180) % 360 - 180) / 12.1907
    return day


def _ayanamsa(day: float) -> float:
    """How far the sidereal signs lag behind the tropical ones (Lahiri)."""
    return 23.853 + 1.3972 * _centuries(day)


def _hindu_month(number: int) -> int:
    """1…12; 0 for a leap month: the Sun stays in one sidereal sign from new moon to new moon."""
    low, high = (
        floor((sun_longitude(day) - _ayanamsa(day)) % 360 / 30) for day in (new_moon(number), new_moon(number + 1))
    )
    return 0 if low == high else (low + 1) % 12 + 1


def sun_enters(year: int, sign: float) -> list[date]:
    """The day on which the Sun enters a sidereal sign (Makara: 270°, Mesha: 0°); after sunset it counts as the next."""
    day = _days_from_epoch(date(year, 1, 1)) + (sign - 256.5) % 360 * 365.25636 / 360
    for _ in range(5):
        day -= ((sun_longitude(day) - _ayanamsa(day) - sign + 180) % 360 - 180) * 1.0146
    return [_date_of(day + _INDIA + 0.25)]


def moon_reaches(first: date, sign: float) -> date:
    """The first day, from `first` on, on which the Moon comes to a sidereal longitude."""
    day = _days_from_epoch(first) - 0.5 - _INDIA
    day += (sign - moon_longitude(day) + _ayanamsa(day)) % 360 / 13.1764
    for _ in range(5):
        day -= ((moon_longitude(day) - _ayanamsa(day) - sign + 180) % 360 - 180) / 13.1764
    return _date_of(day + _INDIA)
