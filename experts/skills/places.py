"""Places and abbreviations, and the time zone that each keeps: "Tokyo", "india", "EST", "Europe/Oslo".

A small table of our own: capitals, large cities, countries. A country of several zones stands for its capital, and says
so. What is not in the table is tried as a name of the tz database.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Place(NamedTuple):
    """name: as it is shown; zone: its clock; span: where the text names it; note: what should be said with it."""

    name: str
    zone: tzinfo
    span: tuple[int, int]
    note: str = ""


_ZONES = {
    "Africa/Abidjan": "abidjan, ivory coast, cote d'ivoire",
    "Africa/Accra": "accra, ghana",
    "Africa/Addis_Ababa": "addis ababa, ethiopia",
    "Africa/Algiers": "algiers, algeria",
    "Africa/Cairo": "cairo, alexandria, egypt",
    "Africa/Casablanca": "casablanca, rabat, marrakesh, marrakech, morocco",
    "Africa/Dakar": "dakar, senegal",
    "Africa/Dar_es_Salaam": "dar es salaam, tanzania",
    "Africa/Harare": "harare, zimbabwe",
    "Africa/Johannesburg": "johannesburg, cape town, pretoria, durban, south africa",
    "Africa/Kampala": "kampala, uganda",
    "Africa/Khartoum": "khartoum, sudan",
    "Africa/Kigali": "kigali, rwanda",
    "Africa/Kinshasa": "kinshasa",
    "Africa/Lagos": "lagos, abuja, nigeria",
    "Africa/Luanda": "luanda, angola",
    "Africa/Lusaka": "lusaka, zambia",
    "Africa/Maputo": "maputo, mozambique",
    "Africa/Nairobi": "nairobi, kenya",
    "Africa/Tripoli": "tripoli, libya",
    "Africa/Tunis": "tunis, tunisia",
    "Africa/Windhoek": "windhoek, namibia",
    "America/Anchorage": "anchorage, alaska",
    "America/Argentina/Buenos_Aires": "buenos aires, argentina",
    "America/Asuncion": "asuncion, paraguay",
    "America/Bogota": "bogota, medellin, colombia",
    "America/Caracas": "caracas, venezuela",
    "America/Chicago": "chicago, houston, dallas, austin, san antonio, new orleans, minneapolis, st louis, memphis, "
    "nashville, milwaukee, kansas city, texas, illinois, louisiana, wisconsin, minnesota, oklahoma, alabama, "
    "iowa, missouri",
    "America/Costa_Rica": "san jose costa rica, costa rica",
    "America/Denver": "denver, salt lake city, albuquerque, colorado, utah, new mexico, wyoming, montana",
    "America/Detroit": "detroit, michigan",
    "America/Edmonton": "edmonton, calgary, alberta",
    "America/Guatemala": "guatemala",
    "America/Guayaquil": "quito, guayaquil, ecuador",
    "America/Halifax": "halifax, nova scotia",
    "America/Havana": "havana, cuba",
    "America/Indiana/Indianapolis": "indianapolis, indiana",
    "America/Jamaica": "kingston, jamaica",
    "America/La_Paz": "la paz, bolivia",
    "America/Lima": "lima, peru",
    "America/Los_Angeles": "los angeles, la, san francisco, sf, san diego, san jose, seattle, portland, las vegas, "
    "vegas, reno, sacramento, silicon valley, california, oregon, washington state, nevada",
    "America/Managua": "managua, nicaragua",
    "America/Mexico_City": "mexico city, guadalajara",
    "America/Montevideo": "montevideo, uruguay",
    "America/New_York": "new york, new york city, nyc, manhattan, brooklyn, boston, philadelphia, miami, atlanta, "
    "washington, washington dc, baltimore, pittsburgh, cleveland, charlotte, orlando, tampa, buffalo, florida, "
    "georgia usa, massachusetts, new jersey, pennsylvania, virginia, ohio, north carolina, south carolina, "
    "maryland, connecticut",
    "America/Panama": "panama",
    "America/Phoenix": "phoenix, tucson, arizona",
    "America/Puerto_Rico": "puerto rico, san juan",
    "America/Regina": "regina, saskatchewan",
    "America/Santiago": "santiago, chile",
    "America/Santo_Domingo": "santo domingo, dominican republic",
    "America/Sao_Paulo": "sao paulo, rio de janeiro, rio, brasilia",
    "America/St_Johns": "st johns, newfoundland",
    "America/Toronto": "toronto, ottawa, montreal, quebec, ontario",
    "America/Vancouver": "vancouver, british columbia",
    "America/Winnipeg": "winnipeg, manitoba",
    "Asia/Almaty": "almaty, astana, kazakhstan",
    "Asia/Amman": "amman, jordan",
    "Asia/Baghdad": "baghdad, iraq",
    "Asia/Baku": "baku, azerbaijan",
    "Asia/Bangkok": "bangkok, phuket, thailand",
    "Asia/Beirut": "beirut, lebanon",
    "Asia/Colombo": "colombo, sri lanka",
    "Asia/Damascus": "damascus, syria",
    "Asia/Dhaka": "dhaka, bangladesh",
    "Asia/Dubai": "dubai, abu dhabi, uae, united arab emirates, emirates",
    "Asia/Hebron": "gaza, palestine",
    "Asia/Ho_Chi_Minh": "ho chi minh city, saigon, hanoi, vietnam",
    "Asia/Hong_Kong": "hong kong, hongkong",
    "Asia/Jakarta": "jakarta, bandung",
    "Asia/Jerusalem": "jerusalem, tel aviv, haifa, israel",
    "Asia/Kabul": "kabul, afghanistan",
    "Asia/Karachi": "karachi, lahore, islamabad, pakistan",
    "Asia/Kathmandu": "kathmandu, nepal",
    "Asia/Kolkata": "kolkata, calcutta, mumbai, bombay, delhi, new delhi, bangalore, bengaluru, chennai, madras, "
    "hyderabad, pune, ahmedabad, jaipur, goa, india",
    "Asia/Kuala_Lumpur": "kuala lumpur, malaysia",
    "Asia/Kuwait": "kuwait",
    "Asia/Makassar": "bali, denpasar",
    "Asia/Manila": "manila, cebu, philippines, the philippines",
    "Asia/Muscat": "muscat, oman",
    "Asia/Phnom_Penh": "phnom penh, cambodia",
    "Asia/Pyongyang": "pyongyang, north korea",
    "Asia/Qatar": "doha, qatar",
    "Asia/Riyadh": "riyadh, jeddah, mecca, medina, saudi arabia, saudi",
    "Asia/Bahrain": "bahrain",
    "Asia/Seoul": "seoul, busan, korea, south korea",
    "Asia/Shanghai": "shanghai, beijing, peking, shenzhen, guangzhou, chengdu, wuhan, xian, china",
    "Asia/Singapore": "singapore",
    "Asia/Taipei": "taipei, taiwan",
    "Asia/Tashkent": "tashkent, uzbekistan",
    "Asia/Tbilisi": "tbilisi",
    "Asia/Tehran": "tehran, iran",
    "Asia/Thimphu": "bhutan",
    "Asia/Tokyo": "tokyo, osaka, kyoto, yokohama, nagoya, sapporo, fukuoka, hiroshima, japan",
    "Asia/Ulaanbaatar": "ulaanbaatar, ulan bator, mongolia",
    "Asia/Vientiane": "vientiane, laos",
    "Asia/Vladivostok": "vladivostok",
    "Asia/Yangon": "yangon, rangoon, myanmar, burma",
    "Asia/Yerevan": "yerevan, armenia",
    "Asia/Novosibirsk": "novosibirsk",
    "Asia/Yekaterinburg": "yekaterinburg",
    "Atlantic/Azores": "azores",
    "Atlantic/Bermuda": "bermuda",
    "Atlantic/Canary": "canary islands, tenerife, gran canaria",
    "Atlantic/Cape_Verde": "cape verde",
    "Atlantic/Reykjavik": "reykjavik, iceland",
    "Australia/Adelaide": "adelaide",
    "Australia/Brisbane": "brisbane, gold coast, queensland",
    "Australia/Darwin": "darwin",
    "Australia/Hobart": "hobart, tasmania",
    "Australia/Melbourne": "melbourne",
    "Australia/Perth": "perth",
    "Australia/Sydney": "sydney, canberra",
    "Europe/Amsterdam": "amsterdam, rotterdam, the hague, utrecht, eindhoven, netherlands, the netherlands, holland",
    "Europe/Andorra": "andorra",
    "Europe/Athens": "athens, thessaloniki, greece",
    "Europe/Belgrade": "belgrade, serbia",
    "Europe/Berlin": "berlin, munich, muenchen, munchen, hamburg, frankfurt, cologne, koln, stuttgart, dusseldorf, "
    "leipzig, dresden, hanover, bremen, germany",
    "Europe/Bratislava": "bratislava, slovakia",
    "Europe/Brussels": "brussels, antwerp, ghent, belgium",
    "Europe/Bucharest": "bucharest, romania",
    "Europe/Budapest": "budapest, hungary",
    "Europe/Chisinau": "chisinau, moldova",
    "Europe/Copenhagen": "copenhagen, aarhus, denmark",
    "Europe/Dublin": "dublin, cork, ireland",
    "Europe/Helsinki": "helsinki, finland",
    "Europe/Istanbul": "istanbul, ankara, izmir, antalya, turkey, turkiye",
    "Europe/Kyiv": "kyiv, kiev, lviv, odesa, ukraine",
    "Asia/Nicosia": "nicosia, cyprus",
    "Europe/Lisbon": "lisbon, porto, portugal",
    "Europe/Ljubljana": "ljubljana, slovenia",
    "Europe/London": "london, manchester, birmingham, liverpool, edinburgh, glasgow, cardiff, belfast, leeds, "
    "bristol, oxford, cambridge, england, scotland, wales, northern ireland, uk, united kingdom, great britain, "
    "britain",
    "Europe/Luxembourg": "luxembourg",
    "Europe/Madrid": "madrid, barcelona, valencia, seville, malaga, bilbao, mallorca, spain",
    "Europe/Malta": "malta, valletta",
    "Europe/Minsk": "minsk, belarus",
    "Europe/Monaco": "monaco",
    "Europe/Moscow": "moscow, st petersburg, saint petersburg",
    "Europe/Oslo": "oslo, bergen, norway",
    "Europe/Paris": "paris, lyon, marseille, toulouse, bordeaux, strasbourg, france",
    "Europe/Prague": "prague, brno, czech republic, czechia",
    "Europe/Riga": "riga, latvia",
    "Europe/Rome": "rome, milan, naples, turin, florence, venice, italy",
    "Europe/Sarajevo": "sarajevo, bosnia",
    "Europe/Skopje": "skopje, north macedonia",
    "Europe/Sofia": "sofia, bulgaria",
    "Europe/Stockholm": "stockholm, gothenburg, malmo, sweden",
    "Europe/Tallinn": "tallinn, estonia",
    "Europe/Tirane": "tirana, albania",
    "Europe/Vienna": "vienna, salzburg, graz, innsbruck, austria",
    "Europe/Vilnius": "vilnius, lithuania",
    "Europe/Warsaw": "warsaw, krakow, gdansk, wroclaw, poland",
    "Europe/Zagreb": "zagreb, croatia",
    "Europe/Zurich": "zurich, geneva, bern, basel, lausanne, switzerland",
    "Indian/Maldives": "maldives",
    "Indian/Mauritius": "mauritius",
    "Pacific/Apia": "samoa",
    "Pacific/Auckland": "auckland, wellington, christchurch, new zealand, nz",
    "Pacific/Fiji": "fiji, suva",
    "Pacific/Guam": "guam",
    "Pacific/Honolulu": "honolulu, hawaii",
    "Pacific/Port_Moresby": "papua new guinea",
    "Pacific/Tahiti": "tahiti",
    "Pacific/Tongatapu": "tonga",
}  # fmt: skip
# A country of several zones: its capital, and the zone of that.
_WIDE = {
    "usa": ("Washington", "America/New_York"), "us": ("Washington", "America/New_York"),
    "america": ("Washington", "America/New_York"), "united states": ("Washington", "America/New_York"),
    "the united states": ("Washington", "America/New_York"), "canada": ("Ottawa", "America/Toronto"),
    "mexico": ("Mexico City", "America/Mexico_City"), "brazil": ("Brasília", "America/Sao_Paulo"),
    "russia": ("Moscow", "Europe/Moscow"), "australia": ("Canberra", "Australia/Sydney"),
    "indonesia": ("Jakarta", "Asia/Jakarta"), "congo": ("Kinshasa", "Africa/Kinshasa"),
    "greenland": ("Nuuk", "America/Nuuk"),
}  # fmt: skip
# Zones as people call them; those of a region follow its summer time.
_NAMED = {
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver",
    "pacific": "America/Los_Angeles", "atlantic": "America/Halifax", "et": "America/New_York", "ct": "America/Chicago",
    "mt": "America/Denver", "pt": "America/Los_Angeles",
}  # fmt: skip
# Fixed offsets from UTC in minutes, whatever the season.
_FIXED = {
    "utc": 0, "gmt": 0, "zulu": 0, "wet": 0, "bst": 60, "cet": 60, "cest": 120, "eet": 120, "eest": 180, "msk": 180,
    "gst": 240, "pkt": 300, "ist": 330, "npt": 345, "wib": 420, "ict": 420, "sgt": 480, "hkt": 480, "awst": 480,
    "jst": 540, "kst": 540, "acst": 570, "aest": 600, "aedt": 660, "nzst": 720, "nzdt": 780, "brt": -180, "art": -180,
    "ast": -240, "edt": -240, "est": -300, "cdt": -300, "cst": -360, "mdt": -360, "mst": -420, "pdt": -420, "pst": -480,
    "akst": -540, "hst": -600, "sast": 120, "eat": 180, "wat": 60,
}  # fmt: skip
_REGIONS = ("Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina",
            "America/Indiana", "Arctic", "Antarctica")  # fmt: skip
_KEY = re.compile(
    r"\b(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|"
    r"Etc)/[A-Za-z_/+0-9-]{2,40}",
    re.I,
)
_OFFSET = re.compile(r"\b(?:utc|gmt) ?(?P<sign>[+−-]) ?(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?\b", re.I)
_NAMED_TIME = re.compile(
    r"\b(eastern|central|mountain|pacific|atlantic)(?: (?:standard|"
    r"daylight))?(?: time(?: ?zone)?)?\b",
    re.I,
)
_SMALL = frozenset({"of", "de", "es", "and", "the", "dc", "usa", "uk", "us", "nz", "uae", "nyc", "la", "sf"})
_SHOUTED = frozenset({"dc", "usa", "uk", "us", "nz", "uae", "nyc", "la", "sf"})
# Words that are places only where something says so: "in la", "the us".
_SHY = frozenset(
    {"la", "us", "sf", "rio", "perth", "cork", "et", "ct", "mt", "pt", "art", "ist", "eat", "wet", "est", "gaza"}
)
_SAYS_PLACE = re.compile(
    r"(?:\b(?:in|at|for|of|to|from|between|and|than|the|is|with|over in|into|on)|[\d,]|\b[ap]m|"
    r"o'clock) ?$",
    re.I,
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LONGEST = 4


@cache
def _table() -> dict[str, str]:
    return {name.strip(): zone for zone, names in _ZONES.items() for name in names.split(",")}


def find_places(text: str) -> list[Place]:
    """The places, zones and offsets that a text names, in its order, the longest name first."""
    found = [*_keys(text), *_offsets(text)]
    plain = _unaccented(text)
    words = [match for match in _WORD.finditer(plain) if not _inside(match.start(), found)]
    at = 0
    while at < len(words):
        for count in range(min(_LONGEST, len(words) - at), 0, -1):
            start, end = words[at].start(), words[at + count - 1].end()
            name = " ".join(plain[start:end].lower().replace("’", "'").replace(".", "").split())
            place = _lookup(name, (start, end)) if _sayable(name, plain, start, end) else None
            if place is not None:
                # "Delhi, India" is one place.
                last = found[-1] if found else None
                if last is None or last.zone != place.zone or not re.fullmatch(r"[\s,]+", text[last.span[1] : start]):
                    found.append(place)
                at += count
                break
        else:
            at += 1
    return sorted(found, key=lambda place: place.span)


def find_unlisted(name: str) -> Place | None:
    """A place that only the tz database knows: "Longyearbyen", "north dakota/center"."""
    words = re.findall(r"[A-Za-z-]+", _unaccented(name))
    if not words or len(name) > 40:
        return None
    key = "_".join(word[:1].upper() + word[1:].lower() for word in words)
    for region in _REGIONS:
        zone = _zone(f"{region}/{key}")
        if zone is not None:
            return Place(" ".join(words).title(), zone, (0, len(name)))
    return None


def _lookup(name: str, span: tuple[int, int]) -> Place | None:
    if name in _FIXED:
        return Place(name.upper(), timezone(timedelta(minutes=_FIXED[name]), name.upper()), span)
    if name in _WIDE:
        capital, key = _WIDE[name]
        shown = _shown(name.removeprefix("the "))
        return Place(capital, ZoneInfo(key), span, f"{shown} has several time zones; this is the one of {capital}")
    key_of = _table().get(name)
    return Place(_shown(name), ZoneInfo(key_of), span) if key_of is not None else None


def _sayable(name: str, text: str, start: int, end: int) -> bool:
    if name not in _SHY:
        return True
    return text[start:end].isupper() or bool(_SAYS_PLACE.search(text[:start])) or text[end:].lower().startswith(" time")


def _keys(text: str) -> list[Place]:
    found = []
    for match in _KEY.finditer(text):
        key = "/".join(
            "_".join(word[:1].upper() + word[1:] for word in part.split("_")) for part in match[0].split("/")
        )
        zone = _zone(key) or _zone(match[0])
        if zone is not None:
            found.append(Place(zone.key, zone, match.span()))
    return found


def _offsets(text: str) -> list[Place]:
    found = []
    for match in _OFFSET.finditer(text):
        minutes = int(match["hours"]) * 60 + int(match["minutes"] or 0)
        if minutes <= 15 * 60:
            minutes *= 1 if match["sign"] == "+" else -1
            zone = timezone(timedelta(minutes=minutes))
            found.append(Place(spell_offset(timedelta(minutes=minutes)), zone, match.span()))
    for match in _NAMED_TIME.finditer(text):
        if "time" in match[0].lower() or re.search(r"\b(?:in|to|from) $", text[: match.start()].lower()):
            name = match[1].lower()
            found.append(Place(f"{name.capitalize()} time", ZoneInfo(_NAMED[name]), match.span()))
    shouted = re.finditer(r"\b(?:ET|CT|MT|PT)\b", text)
    return found + [Place(match[0], ZoneInfo(_NAMED[match[0].lower()]), match.span()) for match in shouted]


def spell_offset(offset: timedelta) -> str:
    """ "UTC+9", "UTC−3:30", "UTC"."""
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "+" if minutes > 0 else "−"
    return "UTC" if minutes == 0 else f"UTC{sign}{hours}" + f":{rest:02}" * bool(rest)


def _zone(key: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _shown(name: str) -> str:
    return " ".join(
        word.upper() if word in _SHOUTED else word if word in _SMALL else word.capitalize() for word in name.split()
    )


def _unaccented(text: str) -> str:
    """The same text, as long, without accents."""
    return "".join(unicodedata.normalize("NFKD", letter)[0] if ord(letter) > 127 else letter for letter in text)


def _inside(at: int, places: list[Place]) -> bool:
    return any(place.span[0] <= at < place.span[1] for place in places)
