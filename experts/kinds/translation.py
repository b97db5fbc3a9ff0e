"""What a request for a translation wants: into which languages, and what is to be translated where no text came along.

"how do you say good morning in spanish" → Spanish, "good morning". English requests alone; what is translated may be in
any language. Knows no model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LANGUAGES = 3
_MAX_CHARACTERS = 500  # of a request that is looked at closely

# Those that language models of a few billion weights write, more or less. What people call them beside their own
# English names: "deutsch", "mandarin".
_LANGUAGES = (
    "Afrikaans; Albanian; Arabic العربية; Armenian; Azerbaijani; Basque euskara; Belarusian; Bengali bangla; Bosnian;"
    " Bulgarian; Catalan català; Chinese mandarin 中文; Croatian hrvatski; Czech čeština; Danish dansk;"
    " Dutch nederlands flemish; English englisch anglais inglés; Esperanto; Estonian; Finnish suomi;"
    " French français francais; Galician; Georgian; German deutsch; Greek; Gujarati; Hebrew; Hindi; Hungarian magyar;"
    " Icelandic; Indonesian; Irish gaelic; Italian italiano; Japanese 日本語; Kannada; Kazakh; Korean 한국어; Latin;"
    " Latvian; Lithuanian; Macedonian; Malay; Malayalam; Marathi; Mongolian; Nepali; Norwegian norsk bokmål;"
    " Persian farsi; Polish polski; Portuguese português; Punjabi; Romanian română; Russian русский; Serbian; Slovak;"
    " Slovenian slovene; Spanish español castilian; Swahili; Swedish svenska; Tagalog filipino; Tamil; Telugu; Thai;"
    " Turkish türkçe; Ukrainian українська; Urdu; Vietnamese; Welsh"
)
_NAMES = {name.casefold(): group.split()[0] for group in _LANGUAGES.split(";") for name in group.split()}
LANGUAGES = tuple(group.split()[0] for group in _LANGUAGES.split(";"))

_NAME = "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))
_MANNER = r"(?:(?:the|a|an|good|plain|simple|proper|formal|informal|brazilian|british|american|modern|swiss)\s+)*"
# "into french", "in german and english", "auf deutsch".
_INTO = re.compile(
    rf"\b(?:in|into|to|auf|en)\s+{_MANNER}(?P<names>(?:{_NAME})(?:(?:\s*,\s*|\s+and\s+){_MANNER}(?:{_NAME}))*)(?!\w)",
    re.IGNORECASE,
)
# "this came in czech, translate it": the one that it is in.
_WRITTEN = re.compile(
    r"\b(?:is|are|was|were|came|comes|written|wrote|got|received|speaks?)\b[^,.;?!\0]*$", re.IGNORECASE
)
# "the french version", "german word for", "spanish please".
_VERSION = re.compile(
    rf"\b(?P<names>{_NAME})\s+(?:version|translation|word|words|expression|phrase|term|name|for|please)\b",
    re.IGNORECASE,
)
_BARE = re.compile(rf"^\W*(?:now\s+|and\s+|the\s+same\s+)*(?P<names>{_NAME})\W*$", re.IGNORECASE)
_SPEAKERS = re.compile(
    rf"\b(?:the|an?|in)\s+(?P<names>{_NAME})s?\s+(?:say|says|people|speaker|speakers|would|call|greet)\b", re.IGNORECASE
)
# "into klingon", "in klingon": where a request ends.
_NAMED = r"(?P<name>[^\W\d_]+(?:\s+[^\W\d_]+)?)(?:\s+please)?\s*[.?!:]*$"
_UNKNOWN = re.compile(
    rf"\b(?:(?:translat\w*|put|turn|render|bring)\b.*?\b(?:into|to)|(?:say|spell|write|called|is|mean)\b.*\bin)\s+{_NAMED}",
    re.IGNORECASE | re.DOTALL,
)
_NOBODYS = frozenset(("me", "us", "him", "them", "it", "this", "that", "you", "the", "one"))

_MARKS = " \t,.?!:;"
# "translate …": what follows may be the words, or point at them.
_ORDER = r"(?:please\s+|can\s+you\s+|could\s+you\s+|kindly\s+)*(?:translate|say|put|render|write|tell\s+me)\s+"
# What stands around the words that are to be translated, where they are part of the request.
_FRAMES = tuple(
    re.compile(rf"^{frame}$", re.IGNORECASE | re.DOTALL)
    for frame in (
        r"(?:so\s+)?how\s+(?:do|does|can|could|would|should|to)\s*(?:you|i|we|one|they|people|the\s+\w+|an?\s+\w+)?\s*"
        r"(?:say|write|spell|tell\s+(?:her|him|them)|ask\s+for|express)\s+(?P<words>.+)",
        r"what\s+(?:do|would|can)\s+(?:you|i|we)\s+(?:say|call)\s+(?:for\s+)?(?P<words>.+)",
        r"(?:what\s+is|what's|whats|what\s+are|what\s+would\s+be|what\s+does)\s+(?:the\s+)?"
        r"(?:(?:word\s+)?for\s+|word\s+|meaning\s+of\s+)?(?P<words>.+?)(?:\s+mean|\s+called)?",
        r"(?:the\s+)?(?:word|words|phrase|expression|term|name)?\s*for\s+(?P<words>.+)",
        r"(?:i'd\s+like|i\s+want|i\s+need|teach\s+me)\s+to\s+say\s+(?P<words>.+)",
        r"meaning\s+of\s+(?P<words>.+)",
    )
)
_ORDERED = re.compile(rf"^{_ORDER}(?P<words>.+?)(?:\s+please)?$", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"[\"“„«'‘](?P<words>[^\"“”„«»]+?)[\"”“»'’](?!\w)")
# A request of these alone points at a text that is not there.
_POINTING = frozenset(
    re.split(
        r"\s+",
        "a all also an and answer article attached back bit bitte book can card chapter contract could do document"
        " email file following for from give hand help here i in instructions into invitation is it letter line mail me"
        " mean menu message my need note notes now of one our page paragraph passage please poem put read reply review"
        " same say says sentence sign so some story subtitle text that the them these thing this those to today"
        " translate translated translation turn understand us version want what with word words you your",
    )
)
_THERE = re.compile(r"\b(?:it|this|these|those|my|attached|following)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """languages: by their English names, in the order of the request; unknown: what was named and is none, "": nothing.

    words: what the request itself says is to be translated, "": nothing.
    """

    languages: tuple[str, ...]
    unknown: str
    words: str


def wish(request: str) -> Wish:
    """Reads a request. Without a language it is for English, and `languages` is empty."""
    if len(request) > _MAX_CHARACTERS:
        # A text, with an instruction before it at the most.
        named = _INTO.search(request[:_MAX_CHARACTERS])
        return Wish(() if named is None else _languages(named["names"]), "", request)
    text = " ".join(request.split())
    quoted = _QUOTED.search(text)
    # A language in the quoted words is not the one that is wanted.
    spoken = text if quoted is None else f"{text[: quoted.start()]}\0{text[quoted.end() :]}"
    for pattern in (_INTO, _BARE, _SPEAKERS, _VERSION):
        for found in reversed(list(pattern.finditer(spoken))):
            if pattern is _INTO and _WRITTEN.search(spoken[: found.start()]) and spoken[found.end() :].strip(_MARKS):
                continue
            filling = "you say" if pattern is _SPEAKERS else ""
            rest = f"{spoken[: found.start()]} {filling} {spoken[found.end() :]}"
            return Wish(_languages(found["names"]), "", _words(rest, quoted))
    other = _UNKNOWN.search(spoken)
    unknown = "" if other is None or other["name"].casefold().split()[0] in _NOBODYS else other["name"]
    return Wish((), unknown, _words(spoken, quoted))


def _languages(names: str) -> tuple[str, ...]:
    named = re.findall(rf"(?<!\w)(?:{_NAME})(?!\w)", names, re.IGNORECASE)
    return tuple(dict.fromkeys(_NAMES[name.casefold()] for name in named))[:MAX_LANGUAGES]


def _words(spoken: str, quoted: re.Match[str] | None) -> str:
    """What is left of a request once language and frame are gone; "": it points at a text that is not there."""
    if quoted is not None:
        return quoted["words"].strip()
    text = re.sub(r"\bfrom\s+(?:the\s+)?\w+\s*$", "", spoken.strip(_MARKS)).strip(_MARKS)
    text = re.sub(r"\s*,\s*(?:how|what)\b.*$", "", text, flags=re.IGNORECASE)
    framed = False
    for frame in (*_FRAMES, _ORDERED):
        if match := frame.match(text):
            text, framed = match["words"].strip(_MARKS), frame is not _ORDERED
            break
    plain = re.findall(r"[^\W_]+", text.casefold())
    if not plain or _POINTING.union(_NAMES).issuperset(plain) or (not framed and _THERE.search(text)):
        return ""
    return text
