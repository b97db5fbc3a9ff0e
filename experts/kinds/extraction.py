"""What a request for facts wants: the fields that it names, as a JSON Schema; without any, names, dates and amounts.

"extract name, date and total from this invoice" names three. Of what is in the plural, or asked for as "every", all are
wanted. What the text does not say is null, so that no model is made to invent it. English alone. Knows no model and no
grammar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..values import Json

MAX_FIELDS = 20
_MAX_CHARACTERS = 2_000  # of a request; what is longer is a text, and names nothing

# What a request says before the fields and after them.
_BEFORE = re.compile(
    r"""^.*?\b(?:
      (?:with|under|use|using)\s+(?:the\s+)?(?:keys?|fields?|columns?|properties)(?:\s+named)?
    | (?:keys?|fields?|columns?)\s*:
    | extract(?:ing)? | (?:pull|take|pick|read|fish|lift|get|copy|scrape)\s+(?:out|off) | pull | grab | get\s+me | get
    | give\s+me | find\s+me | find | list | capture | collect | return | need | want | fetch | copy | lift
    | identify | note | record | tell\s+me | show\s+me | (?:scan|search|look|go)\b.*?\bfor
    | (?:what|which|who)\s+(?:is|are|was|were) | what's
    | (?:what|which)(?=\s+[\w-]+\s+(?:is|are|was|were|do|does|did)\b)
    | into(?=[\w\s-]+,)
    )\b\s*:?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_AFTER = re.compile(
    r"\b(?:from|out\s+of|in|inside|within|on|off|of\s+(?:this|that|these|those|the|my|our|it)|as|to|into|for|that|which|"
    r"mentioned|named|contained|here|below|above|please|according|is|are|was|were|do|does|did)\b.*$",
    re.IGNORECASE | re.DOTALL,
)
_APART = re.compile(r"\s*(?:[,;/&\n]|\band\b|\bor\b|\bplus\b|\bas well as\b)\s*", re.IGNORECASE)
_LED_BY = re.compile(
    r"^(?:(?:the|an?|all|every|each|any|both|its|his|her|their|my|our|me|us|just|only|also|out|of|full)\s+)+",
    re.IGNORECASE,
)
_MANY = re.compile(r"^(?:the\s+)?(?:all|every|each|any)\b", re.IGNORECASE)
_POINTED = re.compile(r"^(?:this|that|these|those|it|them)\b|\d", re.IGNORECASE)
# Nothing in particular.
_VAGUE = frozenset(
    re.split(
        r"\s+",
        "everything anything something data info information details detail facts fact fields field key keys json"
        " schema record records table rows entities entity structure structured csv yaml object objects text values"
        " content contents stuff things relevant important main essentials",
    )
)
_USUAL = ("names", "dates", "amounts")


def fields(request: str) -> Mapping[str, bool]:
    """The fields that the request names, in its own words and order, and whether all there are of each are wanted;
    empty where it names none.
    """
    if len(request) > _MAX_CHARACTERS:
        return {}
    before = _BEFORE.match(request)
    # "name, date and total from this invoice" needs no verb.
    if before is None and not re.match(r"\w+(?:\s+\w+)?\s*(?:,|\band\b)", request):
        return {}
    rest = request if before is None else request[before.end() :]
    found: dict[str, bool] = {}
    for part in _APART.split(_AFTER.sub("", rest)):
        name = _LED_BY.sub("", re.sub(r"[^\w\s'-]", " ", part).strip())
        name = " ".join(name.split()).strip(" '-_").lower()
        words = name.split()
        if 0 < len(words) <= 4 and not _VAGUE.issuperset(words) and not _POINTED.search(name):
            found.setdefault(name, bool(_MANY.match(part)) or _is_plural(words[-1]))
    return dict(list(found.items())[:MAX_FIELDS])


def schema_of(named: Mapping[str, bool]) -> Mapping[str, Json]:
    """An object with a property for each field: a list of strings where all are wanted, else a string, or null.

    named: as `fields` gives them; empty for the usual ones.
    """
    properties: dict[str, Json] = {}
    for name, many in (named or dict.fromkeys(_USUAL, True)).items():
        one: dict[str, Json] = {"type": ["string", "null"], "maxLength": 200}
        all_of_them: dict[str, Json] = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 30}
        properties[re.sub(r"\W+", "_", name)] = all_of_them if many else one
    return {"type": "object", "properties": properties, "required": list(properties)}


def _is_plural(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "news", "gas"))
