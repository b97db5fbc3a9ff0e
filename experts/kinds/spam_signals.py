"""Signals of spam: what a message offers, asks and shouts, whatever its words; and what its n-grams should not read.

Each signal is one plain fact, and none decides by itself. Footers and tags of mailing lists, marks of quoting and
signatures of machines are taken out of what is read, since they tell where a mail was collected and not what it wants.
English wordings; knows no sender, no header and no weights.
"""

from __future__ import annotations

import re
from functools import cache

# More of a text is not looked through.
LOOKED_AT = 32_768
# The wordings are looked for in less.
WORDED = 4_096

# name → (pattern, what is said of it)
_WORDINGS: dict[str, tuple[str, str]] = {
    "premium number": (r"\b0\s?9(?:\d\s?){8,9}\b|\b0?8[47]\d(?:\s?\d){7,8}\b", "it gives a number that costs extra"),
    "long number": (r"(?<!\d)(?:\+?\d[\s().-]?){10,14}(?!\d)", ""),
    "short code": (r"\b(?:to|on|at|sms|text|txt|from|code)\W{1,3}\d{4,6}\b", ""),
    "price": (
        r"(?:£|\$|€|\busd|\bgbp|\beur|\brs\.?)\s?\d|\b\d+(?:\.\d\d)?\s?(?:pounds?|dollars?|euros?|bucks|gbp|usd)\b",
        "",
    ),
    "price each": (
        r"\b\d+(?:\.\d+)?\s?p\s?(?:/|per\b|a\b)?\s?(?:min|msg|text|txt|sms|call|wk|week|day)?\b|"
        r"(?:£|\$|€)\s?\d+(?:\.\d+)?\s?(?:/|per\b)\s?(?:min|msg|text|txt|sms|call|wk|week|day|month)|"
        r"\b(?:std|network|standard) (?:network )?(?:rates?|charges?)\b",
        "it names a price per message or minute",
    ),
    "age": (r"\b(?:over|age)?\s?(?:16|18|21)\s?(?:\+|s? only|or over|yrs)", "it has an age limit"),
    "text a word": (
        r"\b(?:te?xt|reply|send|sms|msg)\b\W{1,3}[\"']?[A-Z0-9]{2,}\b[^.!?]{0,20}\b(?:to|on|for)\b|"
        r"\b(?i:te?xt|reply|send)\b [\"']?(?:STOP|YES|WIN|GO|CHAT|END|HELP)\b",
        "it wants a word sent to it",
    ),
    "prize": (
        r"\b(?:prizes?|winners?|won|awarded|guaranteed|jackpot|lottery|lotto|draw|raffle|reward|bonus|voucher|giveaway|"
        r"entitled|selected to|been (?:chosen|selected))\b",
        "it promises a prize",
    ),
    "free": (
        r"\bfree\b(?! (?:time|tonight|today|tomorrow|on |at |now|for lunch|later|to talk|software))",
        "it offers something free",
    ),
    "claim": (
        r"\b(?:claim|collect|redeem)\b[^.!?]{0,40}\b(?:call|now|your|prize|here|code|it|todays?)\b",
        "it wants something claimed",
    ),
    "act now": (
        r"\b(?:act now|call now|order now|apply now|buy now|click (?:here|below|now|on)|join now|sign up|limited time|"
        r"don'?t (?:miss|delay|wait)|hurry|last chance|offer (?:ends|expires)|expires? (?:today|soon)|while (?:stocks?|"
        r"supplies) last|today only|risk.free|no obligation|money.back|visit our)\b",
        "it presses to act now",
    ),
    "leave": (
        r"\b(?:opt.?out|unsubscrib\w+|to be removed|remove (?:me|your)|removed from (?:our|this|future)|reply stop|"
        r"text stop|stop to (?:end|opt|quit|cancel)|no longer wish|2 stop|2stop)\b",
        "it tells how to get no more of it",
    ),
    "earnings": (
        r"\b(?:work (?:from|at) home|home.based|earn(?:ings)?|income|make (?:money|\$)|get rich|financial freedom|"
        r"extra cash|millionaires?|mlm|be your own boss|investment opportunit\w+|guaranteed returns?)\b",
        "it promises earnings",
    ),
    "loan": (
        r"\b(?:mortgages?|refinanc\w+|loans?|debts?|credit (?:card|report|rating|repair)|bad credit|low(?:est)? rates?|"
        r"insurance|consolidat\w+)\b",
        "it offers money to borrow",
    ),
    "remedies": (
        r"\b(?:viagra|cialis|pills?|pharmacy|prescriptions?|meds|weight.?loss|lose weight|diet|enlarge\w*|hgh|growth "
        r"hormone|anti.?aging|herbal|xanax|valium|rx|erect\w*|libido|cbd)\b",
        "it offers remedies",
    ),
    "dating": (
        r"\b(?:xxx|porn\w*|sex\w*|nudes?|horny|singles?|dating|adult|hot (?:girls?|babes?|women)|girls? (?:waiting|"
        r"want)|secret admirer|fancies you|live chat|hook ?up|webcam)\b",
        "it offers company",
    ),
    "wares": (
        r"\b(?:cheap(?:est)?|discount\w*|% off|percent off|wholesale|rolex|replicas?|oem|software for|save (?:up|"
        r"\d|\$)|best price|lowest price|bulk (?:e-?mail|mail)|e-?mail addresses|ringtones?|polyphonic|tones?|casino|"
        r"stock (?:alert|pick)|penny stock|otc|bitcoin|crypto\w*|forex|seo|backlinks|printer cartridges|toner)\b",
        "it advertises",
    ),
    "advance": (
        r"\b(?:next of kin|million (?:us|united|dollars|pounds|euros)|transfer of (?:the )?funds?|foreign account|"
        r"late (?:president|minister|husband|father)|strictly confidential|business proposal|beneficiary|inheritance|"
        r"western union)\b",
        "it promises a share of a fortune",
    ),
    "nameless": (
        r"\bdear (?:friend|sir|madam|customer|member|valued|winner|user|homeowner|investor|business)\w*",
        "it does not know your name",
    ),
    # These speak for a message that is wanted.
    "answers": (
        r"(?m)^>|^on [^\n]{4,80}wrote:|^-{2,} ?original message|^-{3,} forwarded by|^(?:re|fwd?):|"
        r"\bsubject ?: ?(?:re|fw)\b|\bwrites:$",
        "",
    ),
    "code": (
        r"\b(?:code|otp|pin|passcode)\b[^.!?]{0,40}\b\d{4,8}\b|\b\d{4,8}\b[^.!?]{0,30}\b(?:is your|as your)\b",
        "",
    ),
    "appointment": (
        r"\b(?:your (?:booking|reservation|appointment|order|parcel|package|delivery|flight|ticket|table|payment of|"
        r"invoice|statement)|is confirmed|has (?:shipped|arrived|been (?:dispatched|delivered|received))|"
        r"out for delivery|ready for (?:pick|collection))\b",
        "",
    ),
    "i and you": (
        r"\b(?:i'?ll|i'?m|i am|i was|i have|i think|i don'?t|we should|let me know|see you|see u|how are you|love you|"
        r"thanks for|thank you for|did you|are you|can you|could you|do you want|lol|haha|ok|yeah|sorry|tonight|"
        r"tomorrow|meeting|attached|lunch|dinner|home)\b",
        "",
    ),
}  # fmt: skip

_SHAPES = ("capitals", "digits", "exclamations", "link", "shouted words", "small letters alone", "length", "odd marks")
NAMES = (*_SHAPES, *_WORDINGS)

Found = dict[str, tuple[float, str]]

_LINK = re.compile(
    r"(?:https?://|www\.)\S+|\b[\w-]{1,60}\.(?:com|net|org|co\.uk|biz|info|ru|cn|xyz|top|click)\b", re.IGNORECASE
)
# Where a mail was collected, and how it was quoted.
_TAG = re.compile(r"^((?:subject ?: ?)?(?:\s*(?:re|fwd?|aw|sv) ?: ?)*)\[[\w .:/-]{2,30}\] ?", re.IGNORECASE)
_LIST = re.compile(
    r"^(?:_{10,}|-{20,}|={20,}) *\r?\n(?:[^\n]*\r?\n){0,3}?[^\n]*(?:mailing list|listinfo|sponsored by|sf\.net|"
    r"thinkgeek)[\s\S]{0,600}\Z|^-+~?-> *\r?\n?[\s\S]{0,900}\Z|^-{2,} ?\r?\n[^\n]{0,120}(?:mailing list|users' group|"
    r"@lists?\.)[\s\S]{0,400}\Z|^-----BEGIN PGP SIGNATURE-----[\s\S]{0,900}?(?:-----END PGP SIGNATURE-----|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTED = re.compile(r"^(?:[>|:%] ?)+|^On [^\n]{4,80} wrote: *$|^-{2,}[^\n]{0,60}Hash: [^\n]*$", re.MULTILINE)


@cache
def _patterns() -> dict[str, tuple[re.Pattern[str], str]]:
    """The wordings, compiled when the first text is read: they take some tens of milliseconds."""
    exact = {"text a word"}
    return {
        name: (re.compile(pattern, 0 if name in exact else re.IGNORECASE), told)
        for name, (pattern, told) in _WORDINGS.items()
    }


def find(text: str) -> tuple[Found, str]:
    """(signal → (value, what is said of it), the text without what a mailing list added)."""
    text = text[:LOOKED_AT]
    plain = _QUOTED.sub("", _LIST.sub("", _TAG.sub(r"\1", text, count=1)))
    found: Found = {name: (1.0, told) for name, (pattern, told) in _patterns().items() if pattern.search(text[:WORDED])}
    start = plain[:WORDED]
    letters = [letter for letter in start if letter.isalpha()]
    size = max(len(start.strip()), 1)
    capitals = sum(map(str.isupper, letters)) / max(len(letters), 1)
    found["capitals"] = (min(1.0, 2 * capitals), "")
    found["digits"] = (min(1.0, 4 * sum(map(str.isdigit, start)) / size), "")
    found["exclamations"] = (min(plain.count("!"), 4) / 4, "")
    found["shouted words"] = (min(len(re.findall(r"\b[A-Z]{4,}\b", start)), 5) / 5, "it shouts")
    found["small letters alone"] = (float(bool(letters) and capitals == 0), "")
    found["length"] = (min(1.0, size / 1_000), "")
    found["odd marks"] = (min(len(re.findall(r"[*~^%$#]{2,}|[!?]{2,}|\.{4,}", start)), 4) / 4, "")
    if _LINK.search(plain):
        found["link"] = (1.0, "")
    return found, plain
