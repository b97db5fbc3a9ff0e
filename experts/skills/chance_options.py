"""The things among which a sentence leaves the choice to chance: of "pick tea or coffee, please", tea and coffee."""

from __future__ import annotations

import re

_LEAD = re.compile(
    r"^(?:(?:please|pls|hey|ok|okay|so|just|now|can|could|would|will|you|help me|i|need|want|to|let's|randomly|"
    r"for me|me|us|at random|"
    r"quickly|hmm|um)[ ,]+)*"
    r"(?:should (?:i|we) (?:(?:wear|eat|have|order|buy|get|take|choose|pick|drink|watch|play|use|visit|"
    r"read) )?(?=\S+(?: \S+)* or )|i can'?t (?:decide|choose) between|(?:pick|choose|select|decide|draw|settle|"
    r"shuffle|scramble|jumble|mix|randomi[sz]e|"
    r"sort|order|put|split|divide|arrange|flip for it|toss for it|flip|toss|rock,? paper,? scissors|who|make|"
    r"draw lots|eeny meeny miny moe|eeny meeny|give)\b"
    r"(?:(?:\s+|(?=:))(?:out|up|me|us|for me|for us|at random|randomly|between|among|amongst|from|of|one|either|any|"
    r"some|a|an|the|these|those|them|this|"
    r"order of|names?|options?|things?|items?|following|winners?|person|people|someone|somebody|random|lots|all|on|"
    r"by|teams?|groups?|into|two|three|four|five|six|\d+|"
    r"goes first|out of|should \w+(?: the \w+)?|has to \w+(?: the \w+)?|gets to \w+(?: the \w+)?|does the \w+|"
    r"the four|in)\b)*)?[\s:,-]*",
    re.IGNORECASE,
)
_TRAIL = re.compile(
    r"[\s,;.?!-]*(?:\b(?:for me|for us|please|pls|you (?:pick|choose|decide)|(?:just )?pick one|choose one|at random|"
    r"randomly|thanks?|thank you|"
    r"in (?:a |any )?random order|(?:give me )?a random order|into (?:\w+ )?(?:random )?(?:teams?|groups?|pairs)|"
    r"for the \w+|which one|help me (?:choose|pick|decide)|"
    r"and tell me|to (?:go first|start|win|do (?:it|the dishes)))\b[\s,;.?!]*)+$",
    re.IGNORECASE,
)
_APART = re.compile(r"\s*(?:,\s*(?:and|or)\s|,|;|\n|\s(?:or|and|vs\.?|versus|oder|/)\s|\s&\s)\s*", re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s*")
# What can stand where an option does, and is none.
_NO_OPTION = re.compile(
    r"^(?:these|those|them|this|that|it|one|one of (?:these|those|them)|of (?:these|those|them|this)|something|"
    r"anything|me|us|for me|the list|this list|these names|"
    r"names|these options|the options|someone|somebody|a winner|you|from this|list|one of these names|the speakers|"
    r"the following|)$",
    re.IGNORECASE,
)


def find_options(text: str) -> tuple[str, ...]:
    """The things among which to choose: of "pick tea or coffee, please", ("tea", "coffee")."""
    body = text.strip()
    head, colon, tail = body.partition(":")
    if colon and tail.strip() and not re.search(r"\d$", head):
        body = tail if len(_split(_TRAIL.sub("", tail))) > 1 else body
    elif named := re.search(
        r"\b(?:among|amongst|out of|between|from|of) (?P<rest>[^,]+(?:,| and | or ).+)$", body, re.IGNORECASE
    ):
        body = named["rest"]
    elif asked := re.search(r"^(?P<who>(?:who|which|what)\b[^,]*?), (?P<rest>.+ or .+)$", body, re.IGNORECASE):
        body = asked["rest"]
    stripped = _TRAIL.sub("", body)
    match = _LEAD.match(stripped)
    stripped = _TRAIL.sub("", stripped[match.end() :] if match else stripped)
    return _split(stripped)


def _split(body: str) -> tuple[str, ...]:
    parts = [_MARK.sub("", part).strip(" .?!\"'“”") for part in _APART.split(body)]
    return tuple(dict.fromkeys(part for part in parts if not _NO_OPTION.match(part)))


def find_offered(text: str, more: str) -> tuple[str, ...]:
    if more.strip():
        lines = [_MARK.sub("", line).strip() for line in more.splitlines() if line.strip()]
        return tuple(dict.fromkeys(lines)) if len(lines) > 1 else _split(more)
    return find_options(text)
