"""Signals of phishing: what about the links of a message deceives, and what the message wants of its reader.

Each signal is one plain fact. None decides by itself: a shop may write of a deadline, and a friend may send a short
link. How links are read is `links`'; which wordings count is below. English wordings; links in any language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from .links import (
    BAIT,
    CHEAP,
    SHORTENERS,
    WELL_KNOWN,
    Address,
    Link,
    address,
    borrowed,
    brands,
    is_number,
    is_own_network,
    is_well_known,
    look_alike,
    mixes_scripts,
    registrable,
)
from .links import find as find_links

# --- Wordings --------------------------------------------------------------------------------------------------------

_ACCOUNT = (
    r"(?:accounts?|cards?|access|mail ?box(?:es)?|e-?mail|profile|page|wallets?|membership|subscription|service|"
    r"package|line|power|storage|domain|assets?|funds?|sim|apple id|password|banking|licen[cs]e|internet)"
)
_HARM = (
    r"(?:suspend(?:ed)?|lock(?:ed)?|limit(?:ed)?|block(?:ed)?|clos(?:ed?|ure)|deactivat(?:ed|ion)|disabl(?:ed)?|"
    r"restrict(?:ed)?|terminat(?:ed|ion)|delet(?:ed|ion)|eras(?:ed)?|frozen|expires?|expired?|"
    r"cancel(?:led|ed)|lapsed?|"
    r"disconnected|on hold|unpublished|withheld|removed)"
)
_WANTED = (
    r"(?:passwords?|pass ?code|pin|cvv|cvc|otp|one.time code|card (?:number|details?|data)|"
    r"seed phrase|recovery phrase|"
    r"social security|ssn|bank (?:details?|data|login)|credentials|login details|"
    r"account (?:details|information)|billing (?:details|information|data)|payment (?:details|method|information)|"
    r"identity|date of birth|verification code|\d.digit code)"
)
_ASKED = (
    r"(?:confirm|verify|re-?verify|validate|re-?validate|update|enter|re-?enter|submit|provide|send|give|reply with|"
    r"type(?: in)?|put in|fill in|share|tell|forward|renew|register|sign in with|log ?in with|restore|unlock)"
)

# name → (pattern, what is said of it)
_WORDINGS: dict[str, tuple[str, str]] = {
    "account threat": (
        rf"\b{_ACCOUNT}\b[^.!?\n]{{0,50}}\b{_HARM}|\b{_HARM}\b[^.!?\n]{{0,30}}\b{_ACCOUNT}\b",
        "it threatens to close or limit something",
    ),
    "asks for secrets": (rf"\b{_ASKED}\b[^.!?\n]{{0,40}}\b{_WANTED}\b", "it asks for secrets or payment data"),
    "log in here": (
        r"\b(?:log ?in|sign ?in|log ?on|click|tap|follow|visit|go)\b[^.!?\n]{0,50}\b(?:here|"
        r"below|link|LINK|button)\b|"
        r"\b(?:confirm|verify|restore|unlock|secure|update|claim|settle|pay|rebook|cancel)\b[^.!?\n]{0,60}\bLINK\b",
        "it wants you to follow its link",
    ),
    "deadline": (
        r"\b(?:within|in|inside) (?:the next )?(?:\d+|an?|one|two|twenty.?four) ?(?:h|hours?|"
        r"minutes?|days?)\b|\bimmediately\b|"
        r"\b(?:final|last) (?:notice|warning|reminder)\b|\bright (?:away|now)\b|\bat once\b|"
        r"\bbefore (?:midnight|tonight)\b|"
        r"\b(?:expires?|ends?) (?:today|tonight|soon)\b|\burgent(?:ly)?\b|\bas soon as possible\b|\basap\b|"
        r"\bby (?:tonight|midnight|noon)\b",
        "it presses for time",
    ),
    "gift cards": (
        r"\bgift ?cards?\b[^\n]{0,160}\b(?:codes?|scratch|pictures?|photos?|reimburse|client|clients|pay you back)\b|"
        r"\b(?:buy|purchase|get|pick up|need)\b[^.!?\n]{0,40}\b(?:gift ?cards?|vouchers|itunes "
        r"cards?|steam cards?)\b",
        "it asks for gift cards",
    ),
    "changed account": (
        r"\b(?:new|changed|updated|different|following|another)\b[^.!?\n]{0,30}\b(?:bank|"
        r"account|iban|banking)\b[^.!?\n]{0,80}"
        r"|\b(?:bank|account|iban|banking)\b[^.!?\n]{0,40}\b(?:has|have|was) (?:been )?(?:changed|updated)\b",
        "it names a changed account for payments",
    ),
    "wire": (
        r"\b(?:wire|transfer|move|pay)\b[^.!?\n]{0,60}\b(?:today|now|account|funds?|balance|"
        r"money|urgent\w*|\d[\d,.]{3,})",
        "it asks for a transfer of money",
    ),
    "small fee": (
        r"\b(?:parcel|package|item|delivery|shipment|customs|toll|postage|courier|redeliver\w*|"
        r"shipping)\b[^\n]{0,140}\b"
        r"(?:fees?|charges?|duty|pay|unpaid|outstanding|postage)\b",
        "it wants a fee for a delivery",
    ),
    "new number": (
        r"\b(?:new|temporary|different|friend'?s) (?:number|phone|mobile|cell)\b|\b(?:broke|"
        r"lost|dropped|cracked) my phone\b|"
        r"\bphone (?:is )?(?:broken|broke|died)\b",
        "somebody claims to have a new number",
    ),
    "family": (r"\b(?:mum|mom|mummy|dad|daddy|grandma|grandpa|grandson|daughter|son|auntie)\b", ""),
    "untraceable money": (
        r"\b(?:western union|moneygram|bitcoins?|btc|crypto\w*|usdt|wallet|wire transfer|cash app|zelle)\b",
        "it asks for money in a way that cannot be called back",
    ),
    "windfall": (
        r"\b(?:inherit\w*|lottery|jackpot|winner|prize|beneficiary|next of kin|unclaimed|compensation|rebate|"
        r"(?:tax )?refund|grant|reward|million|giveaway|voucher|deceased|widow)\b",
        "it promises money",
    ),
    "secrecy": (
        r"\b(?:confidential\w*|discre\w+|keep (?:this|it) (?:between|quiet|secret|to yourself)|"
        r"(?:do not|don'?t) (?:tell|call|"
        r"discuss|mention)|can'?t (?:talk|take calls?|speak)|between (?:the two of )?us)\b",
        "it wants to be kept quiet",
    ),
    "remote control": (r"\b(?:teamviewer|anydesk|remote (?:access|desktop|control)|quick ?assist|ultraviewer)\b",
                       "it wants control of your machine"),
    "blackmail": (
        r"\b(?:webcam|footage|recorded you|compromising|your (?:contacts|friends and family)|"
        r"hacked your|malware on your)\b",
        "it threatens to expose you",
    ),
    "nameless": (
        r"\bdear (?:customer|user|client|member|sir|valued|account|friend|winner|beneficiary|e-?mail|tax|supplier|"
        r"consumer)\w*",
        "it does not know your name",
    ),
    "earnings": (
        r"\b(?:earn|make|income|salary|paid)\b[^.!?\n]{0,50}\b(?:per|a|each|every) (?:day|week|hour|month)\b|"
        r"\b(?:from home|part.?time job|easy job)\b",
        "it promises easy earnings",
    ),
    # These speak for an honest message.
    "warns": (
        r"\b(?:we(?:'ll| will)? never ask|never (?:share|give|tell|send|ask)|do(?: no|n'?)t "
        r"(?:share|click|give)|(?:beware|aware)"
        r" of|how to spot|report (?:it|this|phishing)|phishing|scam(?:s|mers?)?)\b", "",
    ),
    "nothing to do": (
        r"\b(?:no (?:need|action)|nothing to do|need(?:n'?t| not) do|(?:do not|don'?t) need "
        r"to|ignore this (?:mail|e-?mail|message)|no hurry|as usual|"
        r"as always|as agreed|as discussed|usual (?:number|way|place))\b", "",
    ),
}  # fmt: skip


@cache
def _patterns() -> dict[str, tuple[re.Pattern[str], str]]:
    """The wordings, compiled when the first text is read: they take some tens of milliseconds."""
    return {name: (re.compile(pattern, re.IGNORECASE), told) for name, (pattern, told) in _WORDINGS.items()}


_PROGRAMS = re.compile(
    r"\b[\w .()-]{1,60}\.(?:exe|scr|js|jse|vbs|vbe|hta|iso|img|lnk|bat|cmd|ps1|jar|msi|apk|docm|xlsm|html?|shtml)\b"
    r"(?![/?=&])|\bmacros?\b[^.\n]{0,40}\benable|\benable[^.\n]{0,40}\bmacros?\b|"
    r"\.(?:zip|rar|7z)\b[^.\n]{0,40}\bpassword|\bpassword[^.\n]{0,40}\.(?:zip|rar|7z)\b",
    re.IGNORECASE,
)
_PROGRAM_FILES = frozenset(
    ["exe", "scr", "js", "vbs", "hta", "iso", "lnk", "bat", "cmd", "jar", "msi", "apk", "docm", "xlsm"]
)

_LINK_NAMES = (
    "link", "only well-known links", "link in numbers", "name before @", "punycode", "mixed scripts", "look-alike",
    "borrowed name", "shows another host", "named sender elsewhere", "shortener", "odd port", "many hyphens",
    "long random name", "many parts", "cheap ending", "bait words", "script link", "unencrypted link",
    "program", "own network",
)  # fmt: skip
NAMES = (*_LINK_NAMES, *_WORDINGS)

Found = dict[str, tuple[float, str]]


def find(text: str) -> tuple[Found, str]:
    """(signal → (value, what is said of it), the text that is read, "LINK" for each bare link)."""
    links, plain = find_links(text)
    found: Found = {}
    for name, (pattern, told) in _patterns().items():
        if pattern.search(plain):
            found[name] = (1.0, told)
    if program := _PROGRAMS.search(plain):
        found["program"] = (1.0, f"it brings something that runs ({_short(program[0])})")
    _judge_links(links, plain, found)
    return found, plain


def _judge_links(links: Sequence[Link], plain: str, found: Found) -> None:
    if not links:
        return
    found["link"] = (1.0, "")
    addresses = [(address(link.target), link.shown) for link in links]
    if all(place.host and is_well_known(place.host) for place, _ in addresses):
        found["only well-known links"] = (1.0, "")
    named = _named_brands(plain)
    for place, shown in addresses:
        for name, value, told in _link_facts(place, shown, named):
            if value > found.get(name, (0.0, ""))[0]:
                found[name] = (value, told)


def _link_facts(place: Address, shown: str, named: dict[str, str]) -> list[tuple[str, float, str]]:
    """(signal, value, what is said of it) for one link."""
    if place.scheme in ("data", "javascript", "vbscript"):
        return [("script link", 1.0, f"a link that runs a script ({place.scheme}:)")]
    host = _short(place.ascii_host)
    if not place.host:
        return []
    facts: list[tuple[str, float, str]] = []
    if re.search(r"\.([a-z0-9]{2,4})$", place.path.lower()) and place.path.lower().rpartition(".")[2] in _PROGRAM_FILES:
        facts.append(("program", 1.0, f"the link loads a program ({_short(place.path)})"))
    shown_host = _host_shown(shown)
    if shown_host and registrable(shown_host) != place.owner:
        facts.append(("shows another host", 1.0, f"the link shows {_short(shown_host)} but leads to {host}"))
    if "." in place.user:
        facts.append(
            ("name before @", 1.0, f"what looks like {_short(place.user)} is a user name: the link leads to {host}")
        )
    if is_own_network(place.host):
        return [*facts, ("own network", 1.0, "")]
    if is_number(place.host):
        facts.append(("link in numbers", 1.0, f"the link leads to {host}, an address in numbers"))
        return facts
    if place.scheme == "http" and place.path:
        facts.append(("unencrypted link", 1.0, ""))
    if "xn--" in place.ascii_host or not place.host.isascii():
        facts.append(("punycode", 1.0, f"{host} holds letters beyond ASCII"))
    if mixes_scripts(place.host):
        facts.append(("mixed scripts", 1.0, f"{host} mixes letters that look alike"))
    if is_well_known(place.host):
        return facts
    if name := look_alike(place.host):
        facts.append(("look-alike", 1.0, f"{host} imitates {name}"))
    elif name := borrowed(place.host):
        facts.append(("borrowed name", 1.0, f"{host} carries the name {name} and is not theirs"))
    for name, told in named.items():
        if name not in place.owner:
            facts.append(("named sender elsewhere", 1.0, f"it speaks of {told} but the link leads to {host}"))
            break
    if place.owner in SHORTENERS or place.host in SHORTENERS:
        facts.append(("shortener", 1.0, f"{host} hides where the link leads"))
    if place.port not in (0, 80, 443):
        facts.append(("odd port", 1.0, f"the link leads to port {place.port}"))
    label = place.owner.partition(".")[0]
    if (hyphens := place.host.count("-")) > 1:
        facts.append(("many hyphens", min(hyphens, 4) / 4, f"{host} is put together with many hyphens"))
    if _is_random(label):
        facts.append(("long random name", 1.0, f"{host} looks made up by a machine"))
    if place.host.count(".") > 2:
        facts.append(("many parts", 1.0, f"{host} has many parts"))
    if place.host.rpartition(".")[2] in CHEAP and place.owner not in SHORTENERS:
        facts.append(("cheap ending", 1.0, f"{host} has an ending that costs next to nothing"))
    if BAIT.search(f"{place.host}/{place.path}".lower()):
        facts.append(("bait words", 1.0, ""))
    return facts


def _host_shown(shown: str) -> str:
    """The host that the text of an anchor claims, "" where it claims none."""
    links, _ = find_links(shown)
    return address(links[0].target).host if len(links) == 1 and len(shown) < 120 else ""


def _named_brands(plain: str) -> dict[str, str]:
    """The well-known names that a message speaks of: lower case → as written there."""
    found = {}
    for word in re.findall(r"\b[A-Z][A-Za-z]{2,20}\b", plain[:8_192]):
        if word.lower() in _BRAND_WORDS:
            found[word.lower()] = word
    return found


# Names that are no everyday words where they stand with a capital letter.
_BRAND_WORDS = frozenset(
    domain.partition(".")[0] for domain in WELL_KNOWN if len(domain.partition(".")[0]) > 2
) - frozenset(
    [
        "live",
        "office",
        "gov",
        "target",
        "visa",
        "wise",
        "signal",
        "discord",
        "slack",
        "outlook",
        "stripe",
        "python",
        "mozilla",
        "ing",
        "x",
        "bbc",
        "nytimes",
    ]
)


def _is_random(label: str) -> bool:
    """Long, or with letters and digits mingled as no word has them."""
    if len(label) > 24 and label not in brands():
        return True
    turns = len(re.findall(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", label))
    return turns > 2 or bool(re.search(r"[bcdfghjklmnpqrstvwxz]{6}", label))


def _short(text: str) -> str:
    """Fit to be shown in an answer: plain signs only, 60 at most."""
    plain = "".join(sign if sign.isprintable() and (sign.isascii() or sign.isalpha()) else "?" for sign in text.strip())
    return plain if len(plain) <= 60 else f"{plain[:59]}…"
