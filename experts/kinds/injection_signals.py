"""Signals of instructions hidden in data: text that commands the assistant which reads it, and the ways it is hidden.

What is hidden is brought to light first: letters without width, letters of the invisible tag block, full-width forms,
spaced-out letters, HTML that no reader sees, and payloads in base64, hex or percent signs that decode to text. The
n-grams then read the passages that could be commands, not a whole page around them. The wordings are English, with a
few of the commonest in German, French and Spanish. A signal is a fact, not a verdict: an article about such attacks
quotes them.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from functools import cache
from urllib.parse import unquote

MAX_CHARACTERS = 32_768
# Of a longer text the n-grams read the passages that could be commands.
FOCUS_CHARACTERS = 1_200
_MAX_PAYLOADS = 16

# --- What is hidden --------------------------------------------------------------------------------------------------

# Without width: zero-width space and joiners, word joiner, soft hyphen, byte order mark, marks of direction.
_NO_WIDTH = re.compile("[\u200b-\u200f\u2060-\u2064\u00ad\ufeff\u202a-\u202e\u2066-\u2069\u180e]")
# Between Latin letters no script and no emoji needs them.
_NO_WIDTH_INSIDE = re.compile("(?<=[A-Za-z ])[\u200b-\u200d\u2060-\u2064\ufeff](?=[A-Za-z ])")
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
# The flags of England, Scotland and their like are spelt with such letters.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{3,6}\U000e007f")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{20,4096}={0,2}(?![A-Za-z0-9+/=])")
_HEX = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ ,]?){20,2048}(?![0-9a-fA-F])")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}){8,}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]{1,3}){7,}\w(?!\w)")
_COMMENT = re.compile(r"<!--(.{1,2000}?)-->", re.DOTALL)
_UNSEEN = re.compile(
    r"<(\w{1,12})\b[^<>]{0,400}(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:px|"
    r"pt|em)?\b|opacity\s*:\s*0(?![.\d])|"
    r"color\s*:\s*(?:white|#fff(?:fff)?|transparent)\b|\bhidden\b|left\s*:\s*-\d{3,})[^<>]{0,400}>(.{1,2000}?)</\1",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"\b(?:alt|title|aria-label|content|data-\w{1,20})\s*=\s*[\"']([^\"'<>]{12,600})[\"']", re.IGNORECASE
)
_LEET = str.maketrans("013457@$", "oieastas")
_MINGLED = re.compile(r"\b(?=\w*[a-z])\w*[013457@$]\w*[a-z]\w*|\b[013457@$]+[a-z]\w*", re.IGNORECASE)

# --- Wordings --------------------------------------------------------------------------------------------------------

_AI = (
    r"(?:a\.?i\.?|llms?|(?:large )?language models?|(?:ai |virtual |coding |digital )?assistants?|"
    r"chat ?bots?|chat ?gpt|gpt(?:-?\d)?|copilot|"
    r"claude|gemini|llama|(?:ai )?agents?|bots?|(?:ai )?models?|crawlers?|scrapers?|summari[sz]ers?|"
    r"automated (?:readers?|systems?|reviewers?|screening(?: system)?|tools?)|ai (?:readers?|"
    r"reviewers?|systems?|tools?))"
)
_DROP = (
    r"(?:ignor\w*|disregard\w*|forget\w*|overrid\w*|bypass\w*|discard\w*|abandon|neglect|"
    r"override|erase|drop|suspend|skip|"
    r"(?:do not|don'?t|stop) (?:follow\w*|obey\w*|listen\w*|using)|pay no attention to|set aside|never mind)"
)
_BEFORE = (
    r"(?:all|any|every\w*|previous|prior|above|earlier|former|preceding|past|original|initial|"
    r"existing|current|old|the|your|"
    r"those|these|that|what)"
)
_ORDERS = (
    r"(?:instruct\w*|prompts?|rules?|guidelines?|directives?|directions?|orders|commands?|"
    r"programming|training|context|guardrails?|"
    r"polic(?:y|ies)|restrictions?|constraints?|safety|filters?|everything|(?:came|said|told|"
    r"written|stated) (?:\w+ )?(?:before|above)|"
    r"the above|tasks?|conversation|limits|configuration|operator|developers?)"
)
_SECRETS = (
    r"(?:(?:system|initial|hidden|secret|original|internal|full|entire|first|own) ?(?:prompts?|"
    r"instructions?|messages?|rules|guidelines|"
    r"configuration)|your (?:\w+ )?(?:prompts?|instructions?|rules|guidelines|configuration|"
    r"directives|training data)|prompt|"
    r"(?:words|text|lines|everything) (?:above|before)|api keys?|secret keys?|passwords?|"
    r"credentials|(?:conversation|chat) history|memory)"
)

_WORDINGS: dict[str, tuple[str, str]] = {
    "sets instructions aside": (
        rf"\b{_DROP}\b[^.!?\n]{{0,25}}\b{_BEFORE}\b[^.!?\n]{{0,40}}\b{_ORDERS}\b|\b{_DROP} "
        rf"(?:the above|everything|all (?:of )?(?:that|the above))\b|"
        rf"\b(?:ignorier|vergiss|vergesst|missachte)\w*\b[^.!?\n]{{0,40}}(?:anweisung|befehl|"
        rf"regel|alles|bisher|vorher)|"
        rf"\b(?:ignore[zr]?|oublie[zr]?)\b[^.!?\n]{{0,40}}(?:instructions|consignes|règles|précédent)|"
        rf"\b(?:ignora|olvida)\w*\b[^.!?\n]{{0,40}}(?:instrucciones|reglas|anterior)",
        "it wants earlier instructions set aside",
    ),
    "new instructions": (
        r"\b(?:new|updated|real|actual|true|following|revised) (?:system )?(?:instructions?|"
        r"task|rules?|polic(?:y|ies)|directives?|prompt|orders|"
        r"objective|goal|role)\b[^\n]{0,20}(?::|\b(?:is|are|begin|from|follow|replace|apply)\b)|"
        r"\bfrom (?:now|here|this point) on\b|"
        r"\b(?:your|the) (?:only|real|new|sole) (?:task|job|goal|purpose)\b",
        "it sets new instructions",
    ),
    "asks for the prompt": (
        rf"\b(?:reveal\w*|print\w*|show\w*|repeat\w*|output\w*|display\w*|tell|give|copy|dump\w*|"
        rf"leak\w*|expose|share|paste|list|write|quote|recite|"
        rf"what (?:is|was|are|were)|what's|state|include|disclose)\b[^.!?\n]{{0,50}}\b{_SECRETS}\b|"
        rf"\bsystem ?_?prompt\b|\bsystemprompt\b",
        "it asks for the prompt, or for secrets",
    ),
    "another self": (
        r"\b(?:you(?:'re| are)(?: now| no longer)|pretend(?: that)? (?:you(?:'re| are)|to "
        r"be)|act as|role-?play|imagine (?:that )?you|play the (?:role|part)|"
        r"simulate|take on the (?:role|persona)|stay in character|your (?:new )?name is|persona)\b",
        "it gives the reader another identity",
    ),
    "without rules": (
        r"\b(?:(?:no|without|free (?:of|from)|beyond|has no|have no|not bound by|ignor\w+|"
        r"unbound by|removed? all) (?:\w+ ){0,3}(?:rules|limits|limitations|"
        r"filters?|restrictions?|guidelines|morals?|ethics|censorship|boundaries|safety|guardrails|"
        r"policies|policy|warnings))\b|\bunfiltered\b|\buncensored\b|"
        r"\bjail ?br(?:eak|oken)\w*\b|\bdo anything now\b|\bDAN\b|\bnever refuses?\b|\b(?:developer|"
        r"dev|god|sudo|admin|debug|maintenance|unrestricted|root) mode\b|"
        r"\b(?:safety|guardrails|filters?|polic\w+)\W{1,4}(?:is |are |= ?)?(?:off|disabled|"
        r"false|void|suspended|lifted)\b",
        "it wants the rules gone",
    ),
    "speaks to a model": (
        rf"\b(?:dear|hey|hi|hello|attention|note (?:to|for)|message (?:to|for)|notice (?:to|"
        rf"for)|instructions? (?:to|for)|important (?:for|to)|to|for|if you are|if you're|"
        rf"if|as|calling|when) (?:an?y? |the |all |this |every |your |automated )?{_AI}\b[^.!?\n]{{0,40}}(?:[:,\]]|"
        rf"\b(?:read\w*|process\w*|summari\w*|grad\w*|must|should|scan\w*|pars\w*|"
        rf"access\w*|brows\w*|review\w*|compar\w*)\b)|@(?:assistant|ai|copilot|bot|gpt|claude|"
        rf"agent)\b|[\[(*#/][^\]\n]{{0,20}}\b{_AI}\b[^\]\n]{{0,30}}:|"
        rf"\b{_AI} (?:reading|processing|summari\w+|who reads|that reads|browsing|must|shall|"
        rf"please)\b|^\W{{0,4}}{_AI} ?(?::|,)",
        "it speaks to a model that reads it",
    ),
    "keeps it from the user": (
        r"\b(?:do not|don'?t|never|without) (?:\w+ ){0,2}(?:tell\w*|mention\w*|inform\w*|"
        r"reveal\w*|alert\w*|notify\w*|notifying|ask\w*|warn\w*|disclos\w*|say\w*)\b[^.!?\n]{0,40}"
        r"\b(?:user|human|owner|developer|anyone|customer|reader|operator|this)\b|\bhide "
        r"(?:it |this )?from (?:the|your) user\b",
        "it wants the user kept in the dark",
    ),
    "sends data away": (
        r"\b(?:send|forward|upload|post|e-?mail|transmit|exfiltrate|leak|append|submit|report|"
        r"log|fetch\w*|curl|ping|pass)\b[^.!?\n]{0,90}(?:https?:|\S@\S|\bto (?:this|the) "
        r"(?:address|url|"
        r"server|link|account)\b)|!\[[^\]\n]{0,80}\]\([^)\n]{1,300}[?=]|\b(?:send|forward|"
        r"upload|share|append|paste|output|print|read)\b[^.!?\n]{0,50}\b(?:conversation|chat "
        r"history|inbox|contacts|"
        r"cookies?|session|tokens?|stored (?:user )?data|\.env|id_rsa|passwd|environment "
        r"variables|user'?s? (?:data|e-?mails?|files|messages|address))\b",
        "it wants data sent away",
    ),
    "false frame": (
        r"<\|[a-z_]{2,20}\|>|\[/?INST\]|<</?SYS>>|</?(?:system|context|instructions?|user|"
        r"assistant|prompt|document|data|admin)>|^\s{0,4}#{2,4} ?(?:system|user|assistant|"
        r"instruction\w*|response)\b|"
        r"^\s{0,4}(?:system|assistant|human|user)\s?:|[\"']?role[\"']?\s*:\s*[\"'](?:system|"
        r"assistant|user|tool)|\[\[?\s?(?:system|admin|override)\b|\bsystem (?:notice|message|"
        r"override|alert|update)\s?:|"
        r"\b(?:begin|end|start) (?:of )?(?:admin|system|document|prompt|user input|context|"
        r"instructions?)\b|={3,} ?(?:end|system|begin)|-{3,} ?(?:end|system|begin)|\}\}",
        "it fakes a frame of the conversation",
    ),
    "false tool": (
        r"<\/?(?:tool|function)_?(?:call|result|response)s?>|[\"']?(?:function|tool)_?(?:call|"
        r"name|result)s?[\"']?\s*:|\bfunction_call\b|\btool_use\b|[\"']arguments[\"']\s*:|"
        r"\b(?:call|invoke|use|run|execute|trigger) (?:the )?(?:tool|function|plugin|command|"
        r"shell)\b|\btool (?:result|output)\s?:",
        "it forges the call of a tool",
    ),
    "claims authority": (
        r"\b(?:i(?:'m| am) (?:your |the |an? |one of )*(?:creator|developers?|devs?|admin\w*|"
        r"owner|supervisor|engineer|operator|real user)|authori[sz]ed? (?:you|by)|has (?:been "
        r")?approved|"
        r"admin (?:access|override)|this is (?:only )?a (?:test|drill|simulation)|test environment|"
        r"security (?:audit|test) )",
        "it claims an authority that data has not",
    ),
    "only this answer": (
        r"\b(?:only|just|always|simply|must|exactly)\b[^.!?\n]{0,25}\b(?:say|reply|respond|"
        r"answer|output|print|write|return|start|begin)\b|\b(?:say|reply|respond|answer|output|"
        r"print|write|begin|start)\b[^.!?\n]"
        r"{0,30}\b(?:nothing else|only|instead|every (?:reply|answer|question|response|message|sentence))\b",
        "it dictates the answer",
    ),
    "biased verdict": (
        r"\b(?:top|best|full|highest|five|5|perfect|positive|only) (?:\w+ )?(?:score|rating|"
        r"stars?|marks?|match|review|candidate|grade|choice)\b|\b(?:rank|rate|recommend|praise|"
        r"score|hire|grade)\b[^.!?\n]{0,40}\b(?:first|highest|"
        r"best|top|always|positive\w*|ours?)\b",
        "",
    ),
    # These speak for an honest text.
    "speaks about it": (
        r"\b(?:prompt injections?|jailbreak(?:s|ing)? (?:is|are|attack|a)|attack(?:s|er|ers)?|"
        r"researchers?|vulnerabilit\w+|defen[cds]\w+|paper|article|security team|example "
        r"of|protect\w*)\b",
        "",
    ),
    "polite correction": (
        r"\b(?:ignore|disregard|forget)\b[^.!?\n]{0,30}\b(?:my|our|the) (?:last|previous|"
        r"earlier|other|first) (?:e-?mail|mail|message|note|text|letter|invitation|one)\b",
        "",
    ),
}  # fmt: skip


@cache
def _patterns() -> dict[str, tuple[re.Pattern[str], str]]:
    """The wordings, compiled when the first text is read: they take some tens of milliseconds."""
    return {
        name: (re.compile(pattern, re.IGNORECASE | re.MULTILINE), told) for name, (pattern, told) in _WORDINGS.items()
    }


_HIDING = ("letters without width", "invisible letters", "unseen markup", "encoded", "spaced out", "digits for letters")
NAMES = (*_HIDING, *_WORDINGS)

# Passages worth reading in a long text: whoever commands a model names it, its orders or what it should do.
_WORTH = re.compile(
    rf"\b(?:{_DROP}|instruct\w*|prompts?|{_AI}|system|you (?:are|must|will|should|have)|pretend|"
    rf"role|reveal|user|tool|override|"
    r"from now on|output|respond|reply|hidden|secret)\b|<!--|<\||\[INST",
    re.IGNORECASE,
)

Found = dict[str, tuple[float, str]]


def find(text: str) -> tuple[Found, str]:
    """(signal → (value, what is said of it), the text for the n-grams: revealed, and its passages where it is long)."""
    found: Found = {}
    text = text[:MAX_CHARACTERS]
    revealed = _reveal(text, found)
    for name, (pattern, told) in _patterns().items():
        if pattern.search(revealed):
            found[name] = (1.0, told)
    return found, _focus(revealed)


def _reveal(text: str, found: Found) -> str:
    """`text` in plain letters, and after it what was hidden in it."""
    hidden: list[str] = []
    text = _FLAG.sub("\U0001f3f4", text)
    if _NO_WIDTH_INSIDE.search(text):
        found["letters without width"] = (1.0, "letters without width are hidden in it")
    if tags := _TAGS.findall(text):
        hidden += ["".join(chr(ord(sign) - 0xE0000) for sign in tag) for tag in tags]
        found["invisible letters"] = (1.0, "it holds invisible letters")
        text = _TAGS.sub("", text)
    plain = unicodedata.normalize("NFKC", _NO_WIDTH.sub("", text))
    if payloads := list(_payloads(plain)):
        hidden += payloads
        found["encoded"] = (1.0, "it holds an encoded text")
    if "<" in plain:
        unseen = [
            *_COMMENT.findall(plain),
            *(inside for _, inside in _UNSEEN.findall(plain)),
            *_ATTRIBUTE.findall(plain),
        ]
        if unseen := [piece for piece in unseen[:_MAX_PAYLOADS] if _WORTH.search(piece)]:
            hidden += unseen
            found["unseen markup"] = (1.0, "a reader of the page would not see a part that is addressed to somebody")
    if spaced := [match[0] for match in _SPACED.finditer(plain) if sum(map(str.isalpha, match[0])) > 6]:
        hidden += [_closed_up(piece) for piece in spaced[:_MAX_PAYLOADS]]
        found["spaced out"] = (1.0, "its letters are spaced out")
    mingled = _MINGLED.findall(plain[:4_096])
    if len(mingled) > 1 and len(hidden) < _MAX_PAYLOADS:
        changed = _MINGLED.sub(lambda match: match[0].translate(_LEET), plain[:4_096])
        if any(pattern.search(changed) and not pattern.search(plain) for pattern, _ in _patterns().values()):
            hidden.append(changed)
            found["digits for letters"] = (1.0, "digits stand for letters")
    return "\n".join([plain, *hidden])


def _payloads(text: str) -> list[str]:
    """What base64, hex and percent signs in `text` decode to, where that is text."""
    decoded: list[str] = []
    for match in list(_BASE64.finditer(text))[:_MAX_PAYLOADS]:
        piece = match[0]
        try:
            decoded.append(base64.b64decode(piece + "=" * (-len(piece) % 4)).decode("utf-8"))
        except (binascii.Error, ValueError):
            continue
    for match in list(_HEX.finditer(text))[:_MAX_PAYLOADS]:
        try:
            decoded.append(bytes.fromhex(re.sub(r"0x|\\x|[ ,]", "", match[0])).decode("utf-8"))
        except ValueError:
            continue
    decoded += [unquote(match[0]) for match in list(_PERCENT.finditer(text))[:_MAX_PAYLOADS]]
    return [piece for piece in decoded if _is_text(piece)]


def _is_text(piece: str) -> bool:
    """Words with blanks between them: what is left of a picture or a key is not."""
    if not piece or sum(sign.isprintable() or sign.isspace() for sign in piece) < len(piece):
        return False
    return len(re.findall(r"[^\W\d_]{2,}", piece)) > 2 and piece.count(" ") > 1


def _closed_up(piece: str) -> str:
    """ "I g n o r e   a l l" → "Ignore all": single gaps close, wider ones part words."""
    words = re.split(r"[ .\-_*]{2,}", piece)
    return " ".join(re.sub(r"[ .\-_*]", "", word) for word in words)


def _focus(text: str) -> str:
    """The passages of a long text that could be commands; its beginning where there are none."""
    if len(text) <= FOCUS_CHARACTERS:
        return text
    passages = [piece for piece in re.split(r"(?<=[.!?])\s+|\n+", text) if _WORTH.search(piece)]
    kept: list[str] = []
    room = FOCUS_CHARACTERS
    # The most telling first; then in their order.
    ranked = sorted(range(len(passages)), key=lambda place: -len(_WORTH.findall(passages[place][:600])))
    for place in ranked:
        if room <= 0:
            break
        kept.append(passages[place][:600])
        room -= len(kept[-1])
    return " ".join(kept)[:FOCUS_CHARACTERS] if kept else text[:FOCUS_CHARACTERS]
