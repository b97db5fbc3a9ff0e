"""Where a person is reached: mail, web, telephone, network addresses, postcodes.

Patterns and what must hold beside them; published forms are named where they come from. Knows nothing of the words that
name people and streets: those are learned.
"""

from __future__ import annotations

import ipaddress
import re

from .recogniser import Recogniser, starting
from .spans import Evidence

_MAIL = (
    Recogniser(
        "email",
        starting(r"[\w.+%-]", r"[\w.+%-]{0,63}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])", r"[\w.+%-]"),
        0.98,
        triggers=("@",),
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "email",  # written so that machines miss it
        r"(?i)(?<![\w.+%-])[\w.+%-]{1,64}\s?[\[({<]\s?at\s?[\])}>]\s?[\w-]{1,63}"
        r"(?:\s?(?:[\[({<]\s?(?:dot|punkt)\s?[\])}>]|\.|\bdot\b)\s?[\w-]{2,63}){1,4}",
        0.9,
        triggers=("at)", "at]", "at}", "at >", "at )", "at ]", "at>"),
        evidence=Evidence.PROVED,
    ),
)

# --- The web and networks --------------------------------------------------------------------------------------------

_PATH = r"[^\s<>\"'`|\\^{}\[\]()]{0,2000}[^\s<>\"'`|\\^{}\[\]().,;:!?]"
# Endings that are hardly ever a slip of the space bar or a file's name.
_ENDINGS = r"com|org|net|edu|gov|info|biz|io|dev|app|eu|co\.uk|org\.uk|ac\.uk|com\.au|co\.nz|co\.jp|com\.br|de|fr|nl|ch"

_WEB = (
    Recogniser(
        "url",
        rf"(?i)(?<![\w@])(?:https?|ftps?)://{_PATH}",
        0.95,
        triggers=("://",),
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "url",
        rf"(?i)(?<![\w@./-])www\.[\w-]{{1,63}}\.{_PATH}",
        0.95,
        triggers=("www.",),
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "url",
        starting(
            "[A-Za-z0-9]",
            rf"[A-Za-z0-9-]{{0,62}}\.(?:[A-Za-z0-9-]{{1,63}}\.){{0,3}}(?:{_ENDINGS})(?:/{_PATH})?(?![\w-])",
            r"[\w@./-]",
        ),
        0.7,
        triggers=tuple(f".{ending}" for ending in _ENDINGS.replace("\\", "").split("|")),
    ),
)

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"


def _ip_v4(match: re.Match[str]) -> float | None:
    address = ipaddress.IPv4Address(match["address"])
    if address.is_loopback or address.is_unspecified or int(address) == 2**32 - 1:
        return None
    # "release 1.2.3.4": numbers of versions look the same, and are small.
    return 0.6 if max(address.packed) < 20 else 0.95


def _ip_v6(match: re.Match[str]) -> float | None:
    value = match["address"]
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    groups = [group for group in value.split(":") if group]
    return None if len(groups) < 3 or address.is_loopback else 0.95


def _is_mac(match: re.Match[str]) -> float | None:
    digits = re.sub(r"[^0-9a-f]", "", match[0].lower())
    return None if digits in ("0" * 12, "f" * 12) else 0.95


_NETWORK = (
    Recogniser(
        "ip",
        rf"(?P<value>(?P<address>(?=\d(?<![\w.]\d))(?:{_OCTET}\.){{3}}{_OCTET})(?:/\d{{1,2}})?)(?!\w|\.\d)",
        check=_ip_v4,
        triggers=(".",),
        digits=4,
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "ip",
        r"(?<![\w:.])(?P<address>(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:])",
        check=_ip_v6,
        triggers=(":",),
        evidence=Evidence.PROVED,
    ),
)
_MAC = (
    Recogniser(
        "mac-address",
        starting("[0-9A-Fa-f]", r"[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])", r"[\w:-]"),
        check=_is_mac,
        triggers=(":", "-"),
        evidence=Evidence.PROVED,
    ),
)

# --- Telephones ------------------------------------------------------------------------------------------------------

# A no-break space, hyphens and dashes stand between groups as well.
_BETWEEN = r" \u00a0.\-\u2010-\u2013/()"
_PHONE = (
    r"(?P<value>(?P<number>[+(\d](?<![\w.,@/#$€£=%+(-][+(\d])[ +]{0,2}\d?"
    rf"[\d{_BETWEEN}]{{4,24}}\d)(?: ?(?:x|ext\.?|extension) ?\d{{1,6}})?)(?![\w%°€$]|[.,:/-]\d)"
)
_PHONE_WORDS = (
    r"phone|tel\b|tel\.|telephone|mobile|cell|fax|handy|whats ?app|sms|text (?:me|her|him|us|them)|call|ring|dial|"
    r"reach|contact|landline|desk|office|hotline|number (?:is|was|:)|móvil|teléfono|téléphone|telefon|mobil|t:|m:|p:|f:"
)
_DATE = re.compile(r"\D{0,2}(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}([-./])\d{1,2}\1(?:\d{4}|\d\d))(?!\d)")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d ?[-\u2010-\u2013/] ?(?:1[5-9]|20)?\d\d")
_NORTH_AMERICA = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}")
_SSN = re.compile(r"\d{3}[- ]\d\d[- ]\d{4}")


def _phone(match: re.Match[str]) -> float | None:
    """How likely digits in groups are a telephone number, before the words around are heard.

    Lengths: ITU-T E.164, at most 15 digits, and no subscriber with fewer than 7.
    """
    number = match["number"].strip()
    groups = re.findall(r"\d+", number)
    digits = "".join(groups)
    if not 7 <= len(digits) <= 15 or _DATE.match(number) or _YEARS.fullmatch(number) or _SSN.fullmatch(number):
        return None
    if number.count("(") != number.count(")") or "((" in number or ("." in number and len(groups) == 2):
        return None
    if len(digits) >= 13 and "+" not in number and is_luhn(digits):
        return None
    if "+" in number[:2] or number.startswith("tel:"):
        return 0.85 if len(digits) >= 8 else 0.4
    if _NORTH_AMERICA.fullmatch(number):
        return 0.8
    if number.startswith("00") and len(digits) >= 10:
        return 0.7
    if len(groups) == 1:
        return 0.5 if digits[0] == "0" and len(digits) in (10, 11) else 0.2
    if number[0] in "0(" and len(digits) >= 8 and len(groups) <= 6:
        return 0.6
    is_thousands = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    if is_thousands or not all(2 <= len(group) <= 5 for group in groups):
        return 0.2
    return 0.4 if len(digits) <= 11 else 0.2


def is_luhn(digits: str) -> bool:
    """The check of card numbers (Luhn, 1954; ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_TELEPHONE = (Recogniser("phone", _PHONE, check=_phone, digits=7, context=_PHONE_WORDS),)

# --- Post ------------------------------------------------------------------------------------------------------------

_POST_WORDS = r"zip|post ?code|postal|plz|postleitzahl|postnummer|code postal|c\.?p\.?:|cap\b"
_POST = (
    Recogniser(  # United Kingdom
        "postcode",
        starting("[A-Z]", r"[A-Z]?\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}(?!\w)"),
        0.6,
        digits=2,
        context=_POST_WORDS,
    ),
    Recogniser(  # Canada
        "postcode",
        starting("[A-CEGHJ-NPR-TVXY]", r"\d[A-Z][ -]?\d[A-Z]\d(?!\w)"),
        0.6,
        digits=3,
        context=_POST_WORDS,
    ),
    Recogniser("postcode", starting(r"\d", r"\d{4}-\d{4}(?![\w-])", r"[\w-]"), 0.55, digits=9, context=_POST_WORDS),
    Recogniser(
        "postcode",
        r"(?<![\w.-])(?:\d{5}-\d{3}|\d{4}-\d{3}|\d{2}-\d{3}|\d{3} \d{2}|\d{4} ?[A-Z]{2}|[A-Z]{1,3}-?\d{4,5}|\d{4,6})"
        r"(?![\w-])",
        0.4,
        triggers=("zip", "post", "plz", "c.p", "cp:", "cap"),
        digits=4,
        context=_POST_WORDS,
        bare=False,
    ),
)

CONTACT = {"email": _MAIL, "ip": _NETWORK, "mac-address": _MAC, "phone": _TELEPHONE, "postcode": _POST, "url": _WEB}
