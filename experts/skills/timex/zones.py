"""Time zones as people say them: abbreviations ("EST", "gmt") and places ("Tokyo").

An abbreviation is the fixed offset that it names, even when the place itself is on summer time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Zone(NamedTuple):
    """name: of the tz database, or "" for a fixed offset of so many minutes east."""

    name: str
    minutes: int = 0

    def info(self) -> tzinfo:
        return ZoneInfo(self.name) if self.name else timezone(timedelta(minutes=self.minutes))


def fixed(minutes: int) -> Zone:
    return Zone("", minutes)


# Hours east of Greenwich.
_ABBREVIATIONS = {
    "utc": 0, "gmt": 0, "z": 0, "zulu": 0, "wet": 0, "bst": 1, "west": 1, "cet": 1, "wat": 1, "cest": 2, "eet": 2,
    "cat": 2, "sast": 2, "eest": 3, "eat": 3, "msk": 3, "trt": 3, "gst": 4, "pkt": 5, "ist": 5.5, "npt": 5.75,
    "ict": 7, "wib": 7, "hkt": 8, "sgt": 8, "awst": 8, "pht": 8, "myt": 8, "jst": 9, "kst": 9, "acst": 9.5,
    "aest": 10, "acdt": 10.5, "aedt": 11, "nzst": 12, "nzdt": 13, "brt": -3, "art": -3, "nst": -3.5, "ndt": -2.5,
    "ast": -4, "adt": -3, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "akst": -9, "akdt": -8, "hst": -10,
}  # fmt: skip
_NAMED = {
    "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles",
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver",
    "pacific": "America/Los_Angeles",
}  # fmt: skip
_PLACES = {
    "abu dhabi": "Asia/Dubai", "amsterdam": "Europe/Amsterdam", "athens": "Europe/Athens",
    "auckland": "Pacific/Auckland",    "bangalore": "Asia/Kolkata", "bangkok": "Asia/Bangkok",
    "barcelona": "Europe/Madrid", "beijing": "Asia/Shanghai",
    "berlin": "Europe/Berlin", "bogota": "America/Bogota", "boston": "America/New_York",
    "brisbane": "Australia/Brisbane",    "brussels": "Europe/Brussels", "bucharest": "Europe/Bucharest",
    "budapest": "Europe/Budapest",
    "buenos aires": "America/Argentina/Buenos_Aires", "cairo": "Africa/Cairo", "california": "America/Los_Angeles",
    "cape town": "Africa/Johannesburg", "chicago": "America/Chicago", "copenhagen": "Europe/Copenhagen",
    "dallas": "America/Chicago", "delhi": "Asia/Kolkata", "denver": "America/Denver", "detroit": "America/Detroit",
    "dubai": "Asia/Dubai", "dublin": "Europe/Dublin", "frankfurt": "Europe/Berlin", "geneva": "Europe/Zurich",
    "hamburg": "Europe/Berlin", "hanoi": "Asia/Bangkok", "hawaii": "Pacific/Honolulu", "helsinki": "Europe/Helsinki",
    "hong kong": "Asia/Hong_Kong", "honolulu": "Pacific/Honolulu", "houston": "America/Chicago",
    "istanbul": "Europe/Istanbul", "jakarta": "Asia/Jakarta", "jerusalem": "Asia/Jerusalem",
    "johannesburg": "Africa/Johannesburg", "karachi": "Asia/Karachi", "kathmandu": "Asia/Kathmandu",
    "kiev": "Europe/Kyiv", "kyiv": "Europe/Kyiv", "kolkata": "Asia/Kolkata", "kuala lumpur": "Asia/Kuala_Lumpur",
    "lagos": "Africa/Lagos", "las vegas": "America/Los_Angeles", "lima": "America/Lima", "lisbon": "Europe/Lisbon",
    "london": "Europe/London", "los angeles": "America/Los_Angeles", "madrid": "Europe/Madrid", "manila": "Asia/Manila",
    "melbourne": "Australia/Melbourne", "mexico city": "America/Mexico_City", "miami": "America/New_York",
    "milan": "Europe/Rome", "montreal": "America/Toronto", "moscow": "Europe/Moscow", "mumbai": "Asia/Kolkata",
    "munich": "Europe/Berlin", "nairobi": "Africa/Nairobi", "new delhi": "Asia/Kolkata", "new york": "America/New_York",
    "oslo": "Europe/Oslo", "paris": "Europe/Paris", "perth": "Australia/Perth", "prague": "Europe/Prague",
    "reykjavik": "Atlantic/Reykjavik", "rio": "America/Sao_Paulo", "riyadh": "Asia/Riyadh", "rome": "Europe/Rome",
    "san francisco": "America/Los_Angeles", "santiago": "America/Santiago", "sao paulo": "America/Sao_Paulo",
    "seattle": "America/Los_Angeles", "seoul": "Asia/Seoul", "shanghai": "Asia/Shanghai", "singapore": "Asia/Singapore",
    "stockholm": "Europe/Stockholm", "sydney": "Australia/Sydney", "taipei": "Asia/Taipei", "tehran": "Asia/Tehran",
    "tel aviv": "Asia/Jerusalem", "tokyo": "Asia/Tokyo", "toronto": "America/Toronto", "vancouver": "America/Vancouver",
    "vienna": "Europe/Vienna", "warsaw": "Europe/Warsaw", "washington": "America/New_York", "zurich": "Europe/Zurich",
    "germany": "Europe/Berlin", "france": "Europe/Paris", "india": "Asia/Kolkata", "japan": "Asia/Tokyo",
    "italy": "Europe/Rome", "spain": "Europe/Madrid", "israel": "Asia/Jerusalem", "korea": "Asia/Seoul",
    "ireland": "Europe/Dublin", "england": "Europe/London", "switzerland": "Europe/Zurich", "poland": "Europe/Warsaw",
}  # fmt: skip
FIRST_WORDS = frozenset([*_ABBREVIATIONS, *_NAMED, *(name.split()[0] for name in _PLACES)])


@cache
def place(name: str) -> Zone | None:
    """The zone of a city or a country that has one; lower case."""
    found = _PLACES.get(name)
    return Zone(found) if found else None


def match(words: list[str], index: int) -> Iterator[tuple[int, bool, Zone]]:
    """(index after it, whether it is a place, zone) for what begins at `index`."""
    word = words[index]
    if word in _ABBREVIATIONS:
        yield index + 1, False, Zone("", int(_ABBREVIATIONS[word] * 60))
    if word in _NAMED:
        yield index + 1, False, Zone(_NAMED[word])
    for length in (2, 1):
        name = " ".join(words[index : index + length])
        if index + length <= len(words) and name in _PLACES:
            yield index + length, True, Zone(_PLACES[name])
            return
