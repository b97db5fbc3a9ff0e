"""Where the links of a text lead, and what about them deceives. Reads text and HTML; follows no link, asks no server.

A link is taken apart as a browser would: tabs and line ends inside it are dropped, a backslash is a slash, what stands
before the last "@" of the authority is no host. Well-known domains are a list of facts below; who owns a domain is told
by a small set of rules ("co.uk" and friends), not by the public suffix list. It does not know whether a domain exists,
how old it is, or who is behind it.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import unquote

MAX_CHARACTERS = 32_768
MAX_LINKS = 64
MAX_LINK_CHARACTERS = 2_048


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The shops, banks, carriers and services whose names are borrowed most, by the domains that are truly theirs.
WELL_KNOWN = _words("""
    adobe.com airbnb.com aliexpress.com amazon.com amazon.co.uk amazon.de amazon.fr americanexpress.com aol.com
    anz.com apple.com atlassian.com bankofamerica.com barclays.co.uk bbc.co.uk binance.com booking.com
    capitalone.com chase.com citi.com coinbase.com commbank.com.au correos.es costco.com deutschebank.de
    deutschepost.de dhl.com dhl.de discord.com docusign.com docusign.net dpd.co.uk dpd.com dropbox.com ebay.com
    ebay.co.uk ebay.de etsy.com evri.com ezpass.com facebook.com fedex.com github.com gitlab.com gmail.com
    google.com gov.uk hermes.de hsbc.com hsbc.co.uk icloud.com ikea.com ing.com instagram.com intuit.com irs.gov
    klarna.com kraken.com laposte.fr linkedin.com live.com lloydsbank.com lloydsbank.co.uk mastercard.com
    metamask.io microsoft.com microsoftonline.com monzo.com mozilla.org natwest.com nationwide.co.uk netflix.com
    nytimes.com office.com office365.com olx.com openai.com outlook.com paypal.com paypal.me payoneer.com
    pinterest.com poste.it proton.me python.org reddit.com revolut.com royalmail.com ryanair.com salesforce.com
    santander.co.uk santander.com sharepoint.com shopify.com signal.org skype.com slack.com snapchat.com
    sparkasse.de spotify.com stackoverflow.com starlingbank.com steamcommunity.com steampowered.com stripe.com
    swisspost.ch telegram.org tesco.com tiktok.com trello.com tsb.co.uk twitter.com uber.com ups.com usps.com
    venmo.com vinted.com visa.com vodafone.com vodafone.co.uk walmart.com wellsfargo.com westernunion.com
    whatsapp.com wikipedia.org wise.com wordpress.com x.com yahoo.com youtube.com zoom.us
""")

# Endings under which anyone may register, where the owner's name is the label before:
# "co.uk", "com.au", "gov.in", …: before the two letters of a country.
_SECOND_LEVEL = _words("ac co com edu gob gouv gov net org")
_GOVERNMENT = frozenset(("gov.uk",))

SHORTENERS = _words("""
    bit.ly bitly.com buff.ly cutt.ly goo.gl is.gd lnkd.in ow.ly rb.gy rebrand.ly s.id shorturl.at shorte.st t.co
    t.ly tiny.cc tinyurl.com tr.im v.gd x.co
""")

# Endings that cost nothing or little, and are mostly met in bad company.
CHEAP = _words("""
    bid buzz cam cc cf cfd click cyou fit ga gdn gq icu link live lol loan men ml monster mov online pw quest rest
    sbs shop site skin stream support surf tk today top vip wang win work world ws xin xyz zip
""")

# What a bare word must end in to count as a link: enough of the endings in use, and those kept for examples.
_ENDINGS = CHEAP | _words("""
    ai app at au be biz blog br bz ca ch cloud cn co com cz de dev dk edu es eu example fi fr gg gl gov gr hk hu
    id ie il in info int invalid io ir is it jp ke kr lt lu lv ly me mil mobi mx my net ng nl no nz org ph pk pl
    pt ro rs ru se sg shop si sk store test th tr tv tw ua uk us vn za
""")

_WEB = ("http", "https", "ftp")
_ACTIVE = ("data", "javascript", "vbscript")
# Letters and digits that pass for others.
_LIKE = str.maketrans("013456789$@|!", "oleasgtbgsall")
_TWINS = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))
# Letters of other scripts that look Latin.
_FOREIGN = str.maketrans("асеорхуіјѕԁһԛԝɑαοερνιτκωıḷłøó", "aceopxyijsdhqwaaoepvitkwilloo")


class Link(NamedTuple):
    """target: as written. shown: the text of its anchor in HTML, "" for a bare link."""

    target: str
    shown: str = ""


class Address(NamedTuple):
    """A link taken apart. scheme and host in lower case; host "" where there is none; user: what stands before "@".

    host: with labels of "xn--" as they read. ascii_host: as written, for showing. port: 0 where none is given.
    """

    scheme: str
    user: str
    host: str
    ascii_host: str
    port: int
    path: str

    @property
    def owner(self) -> str:
        return registrable(self.host)


# --- Finding ---------------------------------------------------------------------------------------------------------

_PARTED = re.compile(r"[\s<>\"'`(){}\[\]|,;]+")
_MARKUP = re.compile(r"<\s*(?:!doctype|html|head|body|table|div|p|br|font|a|img|center|span)\b", re.IGNORECASE)
# Endings of files, which look like endings of hosts.
_FILES = _words("""
    zip mov py sh rs pl md so ps ai app id cc
""")


def find(text: str) -> tuple[list[Link], str]:
    """(the links of `text`, at most MAX_LINKS; the text as its reader sees it, "LINK" standing for each link)."""
    text = text[:MAX_CHARACTERS]
    links: list[Link] = []
    if _MARKUP.search(text):
        page = _Page()
        page.feed(text)
        links, text = page.links[:MAX_LINKS], page.text()
    shown: list[str] = []
    place = 0
    for gap in _PARTED.finditer(text):
        shown.append(_shown(text[place : gap.start()], links))
        shown.append(gap.group())
        place = gap.end()
    shown.append(_shown(text[place:], links))
    return links[:MAX_LINKS], "".join(shown)


def _shown(word: str, links: list[Link]) -> str:
    bare = word.strip(".:!?*-—>→").rstrip("/") if "." in word or ":" in word else ""
    if not bare or not _is_link(bare):
        return word
    if len(links) < MAX_LINKS and all(bare != link.shown for link in links):
        links.append(Link(bare))
    return "LINK"


def _is_link(word: str) -> bool:
    scheme, parted, rest = word.partition(":")
    if (
        parted
        and scheme.lower() in (*_WEB, *_ACTIVE)
        and rest
        and (scheme.lower() in _WEB or "/" in rest or "(" in rest)
    ):
        return scheme.lower() not in _ACTIVE or len(rest) > 8
    host, slash, _ = (
        re.split(r"([/?#:])", f"{word}\0", maxsplit=1)[:3] if re.search(r"[/?#:]", word) else (word, "", "")
    )
    if "@" in host or len(host) > 253:
        return False
    labels = host.lower().split(".")
    if len(labels) < 2 or not all(labels) or (labels[-1] in _FILES and not slash):
        return False
    return labels[-1] in _ENDINGS and len(labels[-2]) > 1


class _Page(HTMLParser):
    """Collects the visible text and the anchors of a page; what is cut off inside a tag is dropped."""

    _INLINE = frozenset({"a", "b", "i", "u", "em", "strong", "font", "span", "small", "big", "sup", "sub"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[Link] = []
        self._parts: list[str] = []
        self._hidden = 0
        self._target: str | None = None
        self._anchor: list[str] = []

    def text(self) -> str:
        self._leave()
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        if tag not in self._INLINE:
            self._parts.append(" ")
        named = dict(attrs)
        if tag == "a":
            self._leave()
            self._target = named.get("href")
        elif tag == "form" and named.get("action"):
            self.links.append(Link(str(named["action"])))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)
        if tag == "a":
            self._leave()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self._parts.append(data)
        if self._target is not None:
            self._anchor.append(data)

    def _leave(self) -> None:
        if self._target is not None:
            self.links.append(Link(self._target, " ".join("".join(self._anchor).split())[:200]))
            self._parts.append(" LINK ")
        self._target, self._anchor = None, []


# --- Taking apart ----------------------------------------------------------------------------------------------------


def address(target: str) -> Address:
    """`target` as a browser takes it apart; never raises."""
    target = re.sub(r"[\t\r\n]", "", target[:MAX_LINK_CHARACTERS]).strip().replace("\\", "/")
    scheme, parted, rest = target.partition(":")
    if not parted or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+-]*", scheme) or (rest[:1].isdigit() and "/" not in scheme):
        scheme, rest = "http", target
    if scheme.lower() not in _WEB:
        return Address(scheme.lower(), "", "", "", 0, rest)
    authority, _, path = rest.lstrip("/").partition("/")
    for sign in "?#":
        authority, found, after = authority.partition(sign)
        path = f"{sign}{after}/{path}" if found else path
    user, _, place = authority.rpartition("@")
    if place.startswith("["):
        host, _, port = place.partition("]")
        host, port = host[1:], port.lstrip(":")
    else:
        host, _, port = place.partition(":")
    written = unquote(host).strip(".").lower()[:253]
    return Address(
        scheme.lower(), user, _readable(written), written, int(port) if port.isdecimal() and len(port) < 6 else 0, path
    )


def _readable(host: str) -> str:
    """Labels in Punycode as they read, letters in their plain form."""
    labels = []
    for label in host.split("."):
        if label.startswith("xn--"):
            try:
                labels.append(label[4:].encode("ascii").decode("punycode"))
                continue
            except (UnicodeError, OverflowError, ValueError):
                pass
        labels.append(label)
    return unicodedata.normalize("NFKC", ".".join(labels)).lower()


def registrable(host: str) -> str:
    """The part of a host that somebody owns: "login.bank.co.uk" → "bank.co.uk"."""
    labels = host.split(".")
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL:
        if ".".join(labels[-2:]) in _GOVERNMENT:
            return ".".join(labels[-2:])
        return ".".join(labels[-3:])
    return ".".join(labels[-2:])


def is_well_known(host: str) -> bool:
    return registrable(host) in WELL_KNOWN


def is_number(host: str) -> bool:
    """Whether a host is an address in numbers, in any of the forms that browsers take: 10.1.2.3, 0x7f.1, 3232235777."""
    if ":" in host:
        return bool(re.fullmatch(r"[0-9a-f:.%a-z]+", host)) and host.count(":") > 1
    parts = host.split(".")
    return len(parts) <= 4 and all(re.fullmatch(r"0x[0-9a-f]{1,8}|\d{1,10}", part) for part in parts)


def is_own_network(host: str) -> bool:
    """Whether a host is this machine or one of its own network."""
    try:
        place = ipaddress.ip_address(host)
    except ValueError:
        if "." not in host or host.endswith((".local", ".internal", ".lan", ".home.arpa")):
            return not is_number(host)
        # "wiki.internal.example": a name that a firm uses inside.
        return "internal" in host.split(".") or "intranet" in host.split(".")
    # The blocks for documentation are private too, and stand for foreign ones in examples.
    own = place.is_private and str(place).startswith(("10.", "172.", "192.168.", "fd"))
    return place.is_loopback or place.is_link_local or own


def mixes_scripts(host: str) -> bool:
    """Whether a label mixes Latin letters with others, or is made of others that all look Latin."""
    for label in host.split("."):
        strange = [sign for sign in label if sign.isalpha() and not _is_latin(sign)]
        if strange and (any("a" <= sign <= "z" for sign in label) or label.translate(_FOREIGN).isascii()):
            return True
    return False


def _is_latin(sign: str) -> bool:
    return sign.isascii() or (unicodedata.name(sign, "").startswith("LATIN") and sign not in "ɑı")


# --- Names that are borrowed -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def brands() -> dict[str, frozenset[str]]:
    """Name → the well-known domains that are its own: "amazon" → amazon.com, amazon.de, …"""
    found: dict[str, set[str]] = {}
    for domain in WELL_KNOWN:
        found.setdefault(domain.partition(".")[0], set()).add(domain)
    return {name: frozenset(domains) for name, domains in found.items()}


# Words in a link that promise a door, a payment or help.
BAIT = re.compile(
    r"log-?in|sign-?in|verif|secur|account|update|confirm|billing|payment|unlock|auth|wallet|support|service|renew|"
    r"refund|claim|fee|pay\b|redeliver|parcel|track|restore|protect|appeal|validat|kyc|password|webmail|quota|gift|"
    r"cancel|alert|help|recover"
)

# Names that are everyday words, or too short: they count beside bait only.
_COMMON = _words("""
    adobe anz aol bbc chase citi costco discord evri gov hermes ing intuit irs live olx office outlook poste
    signal slack stripe swisspost tsb uber ups usps visa vinted wise x zoom shopify trello python mozilla
    wordpress openai target reddit booking monzo kraken apple
""")


def borrowed(host: str) -> str:
    """The well-known name that `host` carries without being its owner's ("paypal.com.x.example"), else ""."""
    if is_well_known(host):
        return ""
    owner = registrable(host)
    for domain in WELL_KNOWN:
        # The whole domain below a foreign one.
        if f"{domain}." in f"{host}." and not host.endswith(domain) and _at_border(host, domain):
            return domain.partition(".")[0]
    name, _, ending = owner.partition(".")
    # "amazon.it" is most likely their own, though the list above has not every country.
    own = name in brands() and len(ending.rpartition(".")[2]) == 2 and ending not in CHEAP
    for part in dict.fromkeys(part for label in host.split(".")[:-1] for part in (label, *label.split("-"))):
        if part in brands() and not (own and part == name) and (part not in _COMMON or _lures(owner)):
            return part
    return ""


def _lures(owner: str) -> bool:
    """Whether a name is put together of several words, one of which is bait: "chase-login.example"."""
    return "-" in owner and BAIT.search(owner) is not None


def _at_border(host: str, domain: str) -> bool:
    place = host.find(domain)
    return (place == 0 or host[place - 1] in ".-") and host[place + len(domain) : place + len(domain) + 1] in ".-"


def look_alike(host: str) -> str:
    """The well-known name that a part of `host` imitates by other letters ("paypa1", "rnicrosoft"), else ""."""
    if is_well_known(host):
        return ""
    labels = host.split(".")[:-1] or [host]
    for label in labels[-3:]:
        for part in {label, *label.split("-"), label.replace("-", "")}:
            if 4 < len(part) < 24 and (name := _imitated(part)):
                return name
    return ""


@lru_cache(maxsize=1_024)
def _imitated(part: str) -> str:
    if part in brands():
        return ""
    plain = part.translate(_FOREIGN)
    swapped = plain.translate(_LIKE)
    forms = {plain, swapped, swapped.replace("l", "i")}
    for twin, letter in _TWINS:
        forms |= {form.replace(twin, letter) for form in tuple(forms)}
    for name in brands():
        if len(name) < 5 or name == part:
            continue
        if name in forms or name.replace("l", "i") in forms:
            return name
        # "googlemaps" is no slip of "google"; "gooogle" and "paypall" are.
        if len(name) > 5 and any(_one_apart(form, name) for form in forms if form in (plain, swapped)):
            return name
        if len(name) > 5 and plain != swapped and name in swapped:
            return name
    return ""


def _one_apart(one: str, other: str) -> bool:
    """One letter more, less, other, or two neighbours swapped (Damerau, 1964)."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle, against = one[start : len(one) - end], other[start : len(other) - end]
    return max(len(middle), len(against)) <= 1 or (len(middle) == 2 and middle == against[::-1])
