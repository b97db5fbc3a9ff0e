"""Numbers and dates that belong to one person: cards, accounts, state numbers, wallets, birthdays.

Each holds a number against its published check where there is one. What has none counts only beside words that speak
of it.
"""

from __future__ import annotations

import hashlib
import re

from .contact import is_luhn
from .recogniser import Recogniser, starting
from .spans import Evidence

# --- Cards and accounts ----------------------------------------------------------------------------------------------

_CARD_WORDS = r"card|visa|master ?card|maestro|amex|american express|discover|diners|cc\b|karte|carte|tarjeta|carta"


def _card(match: re.Match[str]) -> float | None:
    """Lengths and first digits of issuers: ISO/IEC 7812."""
    digits = re.sub(r"\D", "", match[0])
    if not digits.isascii() or not is_luhn(digits) or len(set(digits)) < 2:
        return None
    known = digits[0] in "3456" or digits.startswith(("2131", "1800", "22", "23", "24", "25", "26", "27"))
    groups = [len(group) for group in re.findall(r"\d+", match[0])]
    if not known or (len(groups) > 1 and groups[0] not in (4, 6)):
        return None
    # One number in ten passes the check by chance: lengths that few issuers use need a word beside them.
    return 0.9 if len(digits) in (14, 15, 16) else 0.4


# Country → length of its account numbers (SWIFT's IBAN registry).
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
_IBAN = "|".join(rf"{country}\d\d(?:[ -]?[A-Z0-9]){{{length - 4}}}" for country, length in _IBAN_LENGTHS.items())


def _iban(match: re.Match[str]) -> float | None:
    """ISO 13616: the number, its head moved to the end and letters counted from 10, leaves 1 modulo 97."""
    plain = re.sub(r"[ -]", "", match[0]).upper()
    if not plain.isascii():
        return None
    return 0.98 if int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1 else None


_ACCOUNTS = {
    "credit-card": (
        Recogniser(
            "credit-card",
            starting(r"\d", r"(?:[ -]?\d){11,18}(?!\w|[.,-]\d)", r"[\w.+-]"),
            check=_card,
            digits=12,
            context=_CARD_WORDS,
            evidence=Evidence.PROVED,
        ),
    ),
    "iban": (
        Recogniser(
            "iban",
            rf"(?i)(?=[A-Z](?<!\w[A-Z])[A-Z]\d\d)(?:{_IBAN})(?!\w)",
            check=_iban,
            digits=10,
            evidence=Evidence.PROVED,
        ),
    ),
    "bank-account": (
        Recogniser(
            "bank-account",
            starting(r"\d", r"\d{5,11}(?!\w|[.,-]\d)", r"[\w.+-]"),
            0.4,
            triggers=("acc", "sort", "konto", "routing"),
            digits=6,
            context=r"account (?:no\b|num|#)|acct|sort code|kontonummer|konto-?nr|routing",
            bare=False,
            proves=True,
        ),
    ),
}

# --- Numbers of states -----------------------------------------------------------------------------------------------


def _spanish(match: re.Match[str]) -> float | None:
    number = match["head"].translate(str.maketrans("XYZ", "012")) + match["body"]
    return 0.95 if number.isascii() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == match["check"] else None


def _polish(match: re.Match[str]) -> float | None:
    digits = [int(digit) for digit in match[0]]
    month, day = (digits[2] * 10 + digits[3]) % 20, digits[4] * 10 + digits[5]
    total = sum(digit * weight for digit, weight in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True))
    return 0.6 if total % 10 == 0 and 1 <= month <= 12 and 1 <= day <= 31 else None


def _dutch(match: re.Match[str]) -> float | None:
    digits = [int(digit) for digit in match[0]]
    total = sum(digit * weight for digit, weight in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True))
    return 0.6 if total % 11 == 0 else None


def _has_both(match: re.Match[str]) -> float | None:
    value = match["value"]
    digits = sum(letter.isdigit() for letter in value)
    return 0.5 if digits >= 2 and digits < sum(letter.isalnum() for letter in value) else None


def _mostly_digits(match: re.Match[str]) -> float | None:
    return 0.5 if sum(letter.isdigit() for letter in match["value"]) >= 4 else None


_STATES = {
    "us-ssn": (
        Recogniser(
            "us-ssn",
            starting(r"\d", r"(?<!0(?=00))(?<!6(?=66))\d\d-(?!00)\d\d-(?!0000)\d{4}(?![\w-])", r"[\w-]"),
            0.85,
            digits=9,
            context=r"ssn|social security",
            boost=0.13,
            evidence=Evidence.PROVED,
        ),
        Recogniser(
            "us-ssn",
            starting(r"\d", r"\d\d ?(?!00)\d\d ?(?!0000)\d{4}(?!\w|[.,-]\d)", r"[\w.+-]"),
            0.5,
            triggers=("ssn", "social"),
            digits=9,
            context=r"ssn|social security|social (?:no|num)",
            bare=False,
            proves=True,
        ),
    ),
    "national-id": (
        Recogniser(  # United Kingdom, national insurance
            "national-id",
            starting("[A-CEGHJ-PR-TW-Z]", r"[A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)"),
            0.85,
            digits=6,
            evidence=Evidence.PROVED,
        ),
        Recogniser(  # Spain, DNI and NIE
            "national-id",
            r"(?P<head>[XYZ\d])(?<!\w[XYZ\d])-?(?P<body>\d{7})-?(?P<check>[A-Z])(?!\w)",
            check=_spanish,
            digits=7,
            evidence=Evidence.PROVED,
        ),
        Recogniser(  # Italy, codice fiscale
            "national-id",
            starting("[A-Z]", r"[A-Z]{5}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)"),
            0.9,
            digits=7,
            evidence=Evidence.PROVED,
        ),
        Recogniser(
            "national-id",
            starting(r"\d", r"\d{10}(?!\w|[.,-]\d)", r"[\w.+-]"),
            check=_polish,
            triggers=("pesel",),
            digits=11,
            context=r"pesel",
            bare=False,
            proves=True,
        ),
        Recogniser(
            "national-id",
            starting(r"\d", r"\d{8}(?!\w|[.,-]\d)", r"[\w.+-]"),
            check=_dutch,
            triggers=("bsn", "burgerservice", "sofi"),
            digits=9,
            context=r"bsn\b|burgerservice|sofi",
            bare=False,
            proves=True,
        ),
    ),
    "passport": (
        Recogniser(
            "passport",
            r"(?<!\w)[A-Z]{0,2}\d{6,9}[A-Z]?(?!\w)",
            0.5,
            triggers=("passport", "reisepass", "passeport", "pasaporte"),
            digits=6,
            context=r"passport|reisepass|passeport|pasaporte",
            bare=False,
            proves=True,
        ),
    ),
    "driver-licence": (
        Recogniser(
            "driver-licence",
            r"(?<![\w-])(?P<value>[A-Z0-9][A-Z0-9-]{4,18}[A-Z0-9])(?![\w-])",
            check=_mostly_digits,
            triggers=("licen", "driver", "dl"),
            digits=4,
            context=r"driver'?’?s? licen[cs]e|driving licen[cs]e|drivers?'?’? licen[cs]e|\bdl (?:no|num|#)",
            bare=False,
            proves=True,
        ),
    ),
    "licence-plate": (
        Recogniser(
            "licence-plate",
            r"(?<![\w-])(?P<value>[A-ZÄÖÜ0-9]{1,4}(?:[ -][A-Z0-9]{1,4}){0,2})(?![\w-])",
            check=_has_both,
            triggers=("plate", "registration", "reg.", "kennzeichen"),
            digits=2,
            context=r"number plate|licen[cs]e plate|plate|registration|reg\.|kennzeichen",
            bare=False,
            proves=True,
        ),
    ),
}

# --- Wallets ---------------------------------------------------------------------------------------------------------

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _base58check(match: re.Match[str]) -> float | None:
    number = 0
    for letter in match[0]:
        number = number * 58 + _BASE58.index(letter)
    if number >> 200:
        return None
    data = number.to_bytes(25, "big")
    return 0.98 if hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:] else None


def _bech32(match: re.Match[str]) -> float | None:
    """BIP 173 and BIP 350: a BCH code over the letters."""
    checksum = 1
    for value in (3, 3, 0, 2, 3, *(_BECH32.index(letter) for letter in match[0].lower()[3:])):
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= term if top >> place & 1 else 0
    return 0.98 if checksum in (1, 0x2BC830A3) else None


_WALLETS = (
    Recogniser(
        "wallet",
        starting("[13]", rf"[{_BASE58}]{{25,34}}(?!\w)"),
        check=_base58check,
        digits=1,
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "wallet",
        rf"(?i)(?<!\w)bc1[{_BECH32}]{{11,71}}(?!\w)",
        check=_bech32,
        triggers=("bc1",),
        evidence=Evidence.PROVED,
    ),
    Recogniser("wallet", r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)", 0.9, triggers=("0x",), digits=3, evidence=Evidence.PROVED),
)

# --- Dates and ages --------------------------------------------------------------------------------------------------

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_CLOCK = r"(?:(?:,? at|[ T,]) ?[0-2]?\d:[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\b\.?|Z)?)?"
_YEAR = r"(?:1[89]|20)\d\d"
_DATE_END = rf"{_CLOCK}(?![\w-]|[./]\d)"
_DAY_FIRST = starting(
    r"\d",
    rf"(?:(?<=[12])\d{{3}}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])|"
    rf"\d?([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:{_YEAR}|\d\d)|"
    rf"\d?(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?,? {_YEAR}){_DATE_END}",
    r"[\w./-]",
)
_MONTH_FIRST = rf"(?<!\w){_MONTH}\.? (?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? {_YEAR}{_DATE_END}"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BIRTH_WORDS = r"born\b|birth|d\.?o\.?b\b|bday|b-day|geboren|geb\.|née? le|naissance|nacid|nato il|nata il"


def _dated(pattern: str, *triggers: str) -> Recogniser:
    return Recogniser(
        "date",
        f"(?i){pattern}",
        0.6,
        triggers=triggers,
        digits=3,
        context=_BIRTH_WORDS,
        proves=True,
        beside="birth-date",
    )


def _is_age(match: re.Match[str]) -> float | None:
    return 0.8 if int(match["value"]) < 120 else None


_DATES = {
    "date": (_dated(_DAY_FIRST), _dated(_MONTH_FIRST, *_MONTHS)),
    "age": (
        Recogniser(
            "age",
            r"(?i)(?P<value>\d(?<![\w.,-]\d)\d{0,2})(?=[ -]?(?:years?|yrs?)[ -]old\b|[ -]?y\.?/?o\b|[ -]?yr old\b)",
            check=_is_age,
            triggers=("old", "y/o", "yo", "y.o"),
            digits=1,
        ),
        Recogniser(
            "age",
            r"(?i)(?<!\w)(?:aged?|age of|age is|age:|age =)(?: of)?:? ?(?P<value>\d{1,3})(?![\w%]|[.,:-]\d)",
            check=_is_age,
            triggers=("age",),
            digits=1,
        ),
    ),
}

IDENTITY = {**_ACCOUNTS, **_DATES, **_STATES, "wallet": _WALLETS}
