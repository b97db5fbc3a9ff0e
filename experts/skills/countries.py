# ruff: noqa: E501
"""Countries and their regions by name: "Scotland" → GB, SCT. Codes of ISO 3166. Knows no calendar.

The table holds the usual English names and, after the bar, what a citizen's things are called ("french holidays").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

TABLE = """
AD andorra | andorran
AE united arab emirates, the emirates, emirates, uae, dubai, abu dhabi | emirati
AL albania | albanian
AM armenia | armenian
AO angola | angolan
AR argentina | argentinian, argentine
AT austria, vienna | austrian
AU australia | australian, aussie
AZ azerbaijan | azerbaijani
BA bosnia and herzegovina, bosnia | bosnian
BB barbados | barbadian
BD bangladesh | bangladeshi
BE belgium, brussels | belgian
BG bulgaria | bulgarian
BH bahrain | bahraini
BO bolivia | bolivian
BR brazil, brasil | brazilian
BS the bahamas, bahamas | bahamian
BW botswana
BY belarus | belarusian
BZ belize
CA canada | canadian
CH switzerland | swiss
CL chile | chilean
CM cameroon
CN china | chinese
CO colombia | colombian
CR costa rica | costa rican
CU cuba | cuban
CY cyprus | cypriot
CZ czech republic, the czech republic, czechia | czech
DE germany | german
DK denmark | danish
DO dominican republic, the dominican republic | dominican
DZ algeria | algerian
EC ecuador | ecuadorian
EE estonia | estonian
EG egypt | egyptian
ES spain | spanish
ET ethiopia | ethiopian
FI finland | finnish
FR france | french
GB united kingdom, the united kingdom, great britain, britain, the uk, uk, u.k. | british
GE georgia
GH ghana | ghanaian
GR greece | greek
GT guatemala | guatemalan
HK hong kong
HN honduras | honduran
HR croatia | croatian
HT haiti | haitian
HU hungary | hungarian
ID indonesia | indonesian
IE ireland, republic of ireland, the republic of ireland | irish
IL israel | israeli
IN india | indian
IQ iraq | iraqi
IR iran | iranian
IS iceland | icelandic
IT italy | italian
JM jamaica | jamaican
JO jordan | jordanian
JP japan | japanese
KE kenya | kenyan
KH cambodia | cambodian
KR south korea, korea | korean, south korean
KW kuwait | kuwaiti
KZ kazakhstan | kazakh
LB lebanon | lebanese
LI liechtenstein
LK sri lanka | sri lankan
LT lithuania | lithuanian
LU luxembourg | luxembourgish
LV latvia | latvian
MA morocco | moroccan
MC monaco
MD moldova | moldovan
ME montenegro | montenegrin
MG madagascar
MK north macedonia, macedonia | macedonian
MN mongolia | mongolian
MT malta | maltese
MU mauritius
MX mexico | mexican
MY malaysia | malaysian
MZ mozambique
NA namibia | namibian
NG nigeria | nigerian
NI nicaragua
NL netherlands, the netherlands, holland | dutch
NO norway | norwegian
NP nepal | nepalese, nepali
NZ new zealand | new zealand, kiwi
OM oman | omani
PA panama | panamanian
PE peru | peruvian
PG papua new guinea
PH philippines, the philippines | filipino, philippine
PK pakistan | pakistani
PL poland | polish
PT portugal | portuguese
PY paraguay | paraguayan
QA qatar | qatari
RO romania | romanian
RS serbia | serbian
RU russia | russian
RW rwanda
SA saudi arabia | saudi
SE sweden | swedish
SG singapore | singaporean
SI slovenia | slovenian
SK slovakia | slovak
SM san marino
SN senegal
SV el salvador
TH thailand | thai
TN tunisia | tunisian
TR turkey, türkiye, turkiye | turkish
TT trinidad and tobago, trinidad
TW taiwan | taiwanese
TZ tanzania | tanzanian
UA ukraine | ukrainian
UG uganda | ugandan
US united states, the united states, united states of america, america, the us, the states, usa, the usa, u.s., u.s.a. | american, us, federal
UY uruguay | uruguayan
UZ uzbekistan
VA vatican, vatican city
VE venezuela | venezuelan
VN vietnam | vietnamese
ZA south africa | south african
ZM zambia
ZW zimbabwe
GB-ENG england | english
GB-SCT scotland | scottish
GB-WLS wales | welsh
GB-NIR northern ireland | northern irish
DE-BW baden-württemberg, baden-wuerttemberg, baden württemberg
DE-BY bavaria, bayern, munich | bavarian
DE-BE berlin
DE-BB brandenburg
DE-HB bremen
DE-HH hamburg
DE-HE hesse, hessen, frankfurt
DE-MV mecklenburg-vorpommern, mecklenburg
DE-NI lower saxony, niedersachsen
DE-NW north rhine-westphalia, north rhine westphalia, nrw, nordrhein-westfalen, cologne
DE-RP rhineland-palatinate, rheinland-pfalz
DE-SL saarland
DE-SN saxony, sachsen | saxon
DE-ST saxony-anhalt, sachsen-anhalt
DE-SH schleswig-holstein
DE-TH thuringia, thüringen
ES-CT catalonia, barcelona | catalan
ES-MD madrid
ES-AN andalusia | andalusian
ES-PV basque country, the basque country | basque
ES-GA galicia | galician
ES-VC valencia
CH-ZH zurich, zürich
CH-GE geneva
CH-BE bern, berne
CH-BS basel
CH-TI ticino
CH-VD vaud, lausanne
CA-AB alberta
CA-BC british columbia
CA-MB manitoba
CA-NB new brunswick
CA-NL newfoundland
CA-NS nova scotia
CA-ON ontario, toronto
CA-PE prince edward island
CA-QC quebec, québec, montreal
CA-SK saskatchewan
CA-YT yukon
AU-ACT australian capital territory, canberra
AU-NSW new south wales, nsw, sydney
AU-NT northern territory
AU-QLD queensland, brisbane
AU-SA south australia, adelaide
AU-TAS tasmania
AU-VIC victoria, melbourne
AU-WA western australia, perth
US-AK alaska
US-AL alabama
US-AR arkansas
US-AZ arizona
US-CA california | californian
US-CO colorado
US-CT connecticut
US-DC washington dc, washington d.c.
US-DE delaware
US-FL florida
US-HI hawaii
US-IA iowa
US-ID idaho
US-IL illinois
US-IN indiana
US-KS kansas
US-KY kentucky
US-LA louisiana
US-MA massachusetts
US-MD maryland
US-ME maine
US-MI michigan
US-MN minnesota
US-MO missouri
US-MS mississippi
US-MT montana
US-NC north carolina
US-ND north dakota
US-NE nebraska
US-NH new hampshire
US-NJ new jersey
US-NM new mexico
US-NV nevada
US-NY new york
US-OH ohio
US-OK oklahoma
US-OR oregon
US-PA pennsylvania
US-RI rhode island
US-SC south carolina
US-SD south dakota
US-TN tennessee
US-TX texas | texan
US-UT utah
US-VA virginia
US-VT vermont
US-WA washington state
US-WI wisconsin
US-WV west virginia
US-WY wyoming
IT-BZ south tyrol
"""

# Where the seasons are the other way round.
SOUTHERN = frozenset(
    ["AR", "AU", "BO", "BR", "BW", "CL", "MG", "MU", "MZ", "NA", "NZ", "PE", "PY", "UY", "ZA", "ZM", "ZW"]
)
_SMALL = frozenset(["of", "and", "the", "republic"])


@dataclass(frozen=True, slots=True)
class Place:
    """code: of the country, ISO 3166-1; region: ISO 3166-2 without the country, "" for all of it; name: as written."""

    code: str
    region: str
    name: str


def find_place(text: str) -> tuple[Place, tuple[int, int]] | None:
    """The first country or region that a text names, and where; the longest of names that begin at one place."""
    lower = text.lower()
    words = list(_WORD.finditer(lower))
    for at, word in enumerate(words):
        if word.group() not in _first_words():
            continue
        for end in range(min(at + _LONGEST, len(words)), at, -1):
            known = _names().get(" ".join(each.group() for each in words[at:end]))
            # "us" is a word of its own, "german" a language: they count beside what is asked for.
            if known is None or (known[1] and not _THINGS.match(lower, words[end - 1].end())):
                continue
            country, _, region = known[0].partition("-")
            return Place(country, region, proper(known[0])), (word.start(), words[end - 1].end())
    return None


_LONGEST = 5
_WORD = re.compile(r"[^\W\d_]+(?:[.'-][^\W\d_]+)*(?:(?<=\b[a-z]\.[a-z])\.)?")
_THINGS = re.compile(r"\s+(?:\w+\s+){0,2}?(?:holidays?|working|business|days? off|thanksgiving|labou?r)")


def place_of(locale: str) -> Place | None:
    """The country of a locale: GB of "en-GB", None of "en"."""
    for part in locale.replace("_", "-").split("-")[1:]:
        if len(part) == 2 and part.isalpha():
            code = part.upper()
            return Place(code, "", proper(code))
    return None


@cache
def proper(code: str) -> str:
    """A name for people: "Scotland", "the United Kingdom"."""
    for line in TABLE.strip().splitlines():
        if line.startswith(f"{code} "):
            names = line.removeprefix(f"{code} ").split(" | ")[0].split(", ")
            name = " ".join(word if word in _SMALL else word.title() for word in names[0].split())
            return f"the {name}" if f"the {names[0]}" in names else name
    return code


@cache
def _names() -> dict[str, tuple[str, bool]]:
    """name → (code, whether it is what a citizen's things are called)"""
    found: dict[str, tuple[str, bool]] = {}
    for line in TABLE.strip().splitlines():
        code, _, spelled = line.partition(" ")
        places, _, things = spelled.partition(" | ")
        for name in places.split(", "):
            found.setdefault(name, (code, False))
        for name in things.split(", ") if things else ():
            found.setdefault(name, (code, True))
    return found


@cache
def _first_words() -> frozenset[str]:
    return frozenset(name.split()[0] for name in _names())
