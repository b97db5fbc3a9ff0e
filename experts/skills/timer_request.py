"""What a sentence about timers, alarms and reminders asks for: the verb, the kind, and the name or the task.

Reads sentences; sets nothing, and knows nothing of what is set already, nor of time: that is `timer_time`'s.
"""

from __future__ import annotations

import re

VERBS = ("create", "list", "remaining", "cancel", "skip", "snooze", "pause", "resume", "extend", "change")


# --- The verb and the kind --------------------------------------------------------------------------------------------

_THING = r"(?:timers?|alarms?|reminders?|count ?downs?|wake[- ]?up(?: calls?)?)"
_KINDS = (
    (
        "reminder",
        re.compile(
            r"\bremind(?:er|ers|ing|ed|s)?\b|\bdon'?t let me forget\b|\b(?:nudge|ping|alert|"
            r"notify) me\b"
        ),
    ),
    ("alarm", re.compile(r"\ball?arms?\b|\bwak(?:e|ing)\b|\bget me up\b|\bwake[- ]?up\b|\bsnooz\w*|\brouse me\b")),
    ("timer", re.compile(r"\btimers?\b|\bcount ?downs?\b|\bcount down\b")),
)
_ASKING = r"(?:(?:please|hey|ok|okay|can|could|would|will|you|i(?:'d| would)? (?:like|want|need)(?: you)? to)[ ,]+)*"
# The first that fits counts; but for snooze and create a word for what is meant must stand beside it.
_RULES = (
    ("snooze", (
        r"\bsnooz\w*",
        r"\bremind me (?:again|later)\b(?! today| this| tonight)",
        r"^(?:\S+ ){1,4}more minutes(?: of sleep| in bed)?\b(?!.* timer)",
        r"\blet me sleep\b", r"\bring again\b",
    )),
    ("create", (
        rf"^{_ASKING}(?:remind me|wake me|get me up|nudge me|ping me|alert me|notify me|don'?t let me forget|"
        rf"be reminded)\b",
    )),
    ("cancel", (
        r"\b(?:don'?t|do not|no need to|stop|never) (?:ever )?(?:remind|wak|bother)\w*",
        r"\bforget (?:about )?(?:the|my|that)\b",
    )),
    ("remaining", (
        r"\bhow (?:long|much time|much longer|many (?:minutes|seconds|hours))\b",
        r"\btime (?:is |'s )?(?:left|remaining)\b", r"\b(?:left|remaining) on\b", r"\bremaining (?:time|minutes)\b",
        rf"\bwhen(?:'s| is| does| will| do)?\b.*\b(?:{_THING}|go(?:es)? off|ring|done|finish)",
        rf"\bwhat time (?:is|does|will|do)\b.*\b(?:{_THING}|go(?:es)? off|wake)",
        r"\bis (?:the|my) .*timer (?:done|up|over|finished)",
    )),
    ("extend", (
        r"\b(?:extend|prolong|lengthen|shorten)\b", r"\b(?:longer|shorter)\b",
        rf"\b(?:add|put|give|tack|knock|take)\b.*\b(?:(?:to|on|onto|off) (?:the|my|that|this)\b.*{_THING}|more\b)",
        r"\bmore (?:time|minutes?|seconds?|hours?) (?:on|to|for)\b",
    )),
    ("resume", (
        r"\b(?:resume|unpause|un-pause|continue|carry on|restart|start .* again|unfreeze|run on|back on)\b",
    )),
    ("pause", (r"\b(?:pause|hold|freeze|suspend|halt)\b",)),
    ("change", (
        r"\b(?:rename|relabel)\b", rf"\b(?:call|name|label) (?:the|my|that|this)\b.*\b{_THING}\b.",
        rf"\b(?:change|move|reschedule|postpone|shift|edit|update|push|bring forward|delay)\b.*\b(?:{_THING}|to)\b",
        rf"\b{_THING}\b.*\binstead\b", rf"\bmake (?:my|the|that)\b.*\b{_THING}\b.*\b\d",
    )),
    ("cancel", (
        r"\b(?:cancel|cancle|delete|remove|clear|stop|kill|turn off|switch off|disable|dismiss|scrap|get rid of|"
        r"call off)\b",
        r"\b(?:turn|switch) .* off\b", r"\b(?:drop|abort|end|unset|silence|shut off|erase)\b",
        r"\bdon'?t need\b", rf"^no (?:more )?{_THING}",
    )),
    ("list", (
        rf"\b(?:list|show|display|read|see|view|check|tell me|review|go through|give me (?:a list|all))\b.*\b{_THING}",
        rf"\b(?:what|which|any|how many)\b.*\b{_THING}", rf"\b(?:do i have|have i|are there|did i|"
        rf"i have)\b.*\b{_THING}",
        r"^(?:all |my |the |active |current |running |pending |upcoming )*(?:timers|alarms|reminders)$",
        rf"\bis (?:there )?an?\b.*\b{_THING}", r"\bwhat .*\b(?:remind me|wake me)\b",
    )),
)  # fmt: skip
_COMPILED = tuple((verb, re.compile("|".join(patterns))) for verb, patterns in _RULES)
_CREATES = re.compile(
    rf"\b{_THING}\b|\ballarm\b|\bremind\b|\bbe reminded\b|\bwake (?:me|us)\b|\bcount down\b|"
    r"^(?:every|each|weekdays|daily)\b.*\d|^time \S+ (?:minutes?|seconds?|hours?)\b|"
    r"\b(?:let me know|tell me) (?:when|in|after)\b.*\b(?:minutes?|seconds?|hours?)\b"
)
_TIME_LEFT = re.compile(
    r"\btime (?:is )?(?:left|remaining)\b|\bhow (?:long|much longer) (?:is |do i have )?(?:left|to go)\b"
)


_FORBIDDING = rf"^{_ASKING}(?:don'?t|do not|never|no need to)(?: ever)? "
_FORBIDS_WAKING = re.compile(rf"{_FORBIDDING}(?:remind|wak|bother)")
_FORBIDS_SETTING = re.compile(rf"{_FORBIDDING}(?:set|start|create|make|add|put|run|ring)\b")
# Without one of these, "timer 3 seconds" asks for another timer, however it was routed.
_OF_MORE = re.compile(
    r"\b(?:add|extend|prolong|lengthen|longer|more|put|tack|give|another|increase|extra|plus|"
    r"shorten|shorter|reduce|less|knock|take|off|subtract)\b"
)


_SKIPS = re.compile(rf"^{_ASKING}(?:skip|leave out|miss out)\b(?=.*\b{_THING}\b|.*\b(?:next|upcoming) one$)")
# Said to nobody but us: there is nothing else in it.
_ALL_OF_IT = re.compile(
    rf"^{_ASKING}(?P<verb>cancel|stop|clear|delete|pause|resume)(?: them)? (?:all|everything|them all|all of (?:it|"
    rf"them))(?: please| now)?$"
)


def forbids(text: str) -> bool:
    """Whether it says that nothing shall be set: "don't set a timer"."""
    return _FORBIDS_SETTING.match(_plain(text)) is not None


def find_verb(text: str, intent: str = "") -> str | None:
    """What is asked for, one of VERBS; None when the sentence is about something else. intent: the router's word, which
    counts unless it is no verb of ours."""
    plain = _plain(text)
    if intent == "create" and _FORBIDS_WAKING.match(plain):
        return "cancel"
    if _SKIPS.match(plain) and intent in ("", "cancel", "skip", "pause", "change", "list"):
        return "skip"
    if not intent and (everything := _ALL_OF_IT.match(plain)) is not None:
        return everything["verb"] if everything["verb"] in VERBS else "cancel"
    if intent == "extend" and not _OF_MORE.search(plain):
        return "create"
    if intent in VERBS:
        return intent
    named = any(pattern.search(plain) for _, pattern in _KINDS)
    for verb, pattern in _COMPILED:
        if pattern.search(plain) and (named or verb in ("snooze", "create")):
            return verb
    if _TIME_LEFT.search(plain):
        return "remaining"
    return "create" if _CREATES.search(plain) else None


def find_kinds(text: str) -> tuple[str, ...]:
    """Of "timer", "alarm" and "reminder", the one that the sentence speaks of, both of "alarms and timers", or none."""
    plain = _plain(text)
    # What comes first counts: "cancel the reminder to set an alarm" speaks of a reminder.
    found = sorted((match.start(), kind) for kind, pattern in _KINDS if (match := pattern.search(plain)))
    side_by_side = re.search(rf"{_THING}(?:,| and| or) (?:my |the |all )?{_THING}", plain)
    return tuple(kind for _, kind in found) if side_by_side else tuple(kind for _, kind in found[:1])


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").strip(" .?!,").split())


# --- What it is called ------------------------------------------------------------------------------------------------

_BEFORE_TIME = re.compile(
    r"(?:\b(?:for|at|in|on|by|from|every|each|until|till|of|around|about|to|starting|due|set|@)\s*)+$", re.IGNORECASE
)
# The end of a repetition: "every day until friday", "daily for two weeks".
_EVERY = r"\b(?:every|each|daily|hourly|weekly|monthly|yearly)\b"
_END = (
    r"\b(?:until|till|til)\b|\b\d+ times\b|"
    r"\bfor (?:the next )?(?:(?!(?:the|my|our|this|next) )\w+ )?(?:days?|weeks?|months?|years?)\b"
)
_ENDS = re.compile(rf"{_EVERY}.*(?:{_END})|(?:{_END}).*{_EVERY}", re.DOTALL)


def ends(text: str) -> bool:
    """Whether it names the end of a repetition."""
    return _ENDS.search(text.lower()) is not None


_QUOTED = re.compile(r"[\"“”]([^\"“”]{1,80})[\"“”]|(?<!\w)'([^']{1,80})'(?!\w)")
_CALLED = re.compile(
    r"(?:,? ?(?:and|that's|which is)? ?)\b(?:called|named|labell?ed|titled|name(?:d)? it|call it|label(?: it)?|"
    r"with the (?:name|label))"
    r" (?:as )?(?P<name>.+?)(?=$|[,.;]|\s(?:for|at|in|to go off|please|that|which|timer)\b)",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"\b(?:timer|alarm|countdown|wake[- ]?up(?: call)?)s?\b[ ,]*(?:for|to|so (?:that )?i can|about|:|-)\s+"
    r"(?:(?:my|the|when|that) )?(?P<name>[^,.;]+)",
    re.IGNORECASE,
)
_WAKE_FOR = re.compile(
    r"\bwake me(?: up)?\b[ ,]*(?:for|to|so (?:that )?i can)\s+(?:(?:my|"
    r"the) )?(?P<name>[^,.;]+)",
    re.IGNORECASE,
)
_BEFORE_NOUN = re.compile(r"(?P<name>(?:[\w'-]+ ){0,2}[\w'-]+) (?:timer|alarm|countdown|reminder)s?\b", re.IGNORECASE)
# What stands before "timer" without being its name.
_NO_NAME = frozenset(
    """
    a an the my our your this that these those all both every each any some one another new next last first latest
    other set start make create add begin put give get have need want please run timer alarm reminder countdown me i
    us for on off of to in at and or with cancel delete remove clear stop kill turn switch disable dismiss pause
    resume unpause extend change move snooze list show what which is are do does did how long left when current
    active running pending quick short long morning evening daily weekly minute minutes second seconds hour hours
    min mins sec secs hr hrs day half am pm o'clock no more up there got reschedule silence scrap drop abort forget
    upcoming existing it's i've repeating recurring wake tomorrow's today's tomorrow today check read see display
    continue hold freeze will be time much go can could would you just now same about from by weekday weekdays
    weekend
    """.split()  # noqa: SIM905 - a list of a hundred strings is no easier to read
)
_NEW_NAMES = (
    re.compile(r"\brename (?P<which>.*?\breminder to .+?) (?:to|as|into) (?P<name>.+)$", re.IGNORECASE),
    re.compile(r"\b(?:rename|relabel) (?P<which>.+?)(?: (?:to|as|into) (?P<name>.+))?$", re.IGNORECASE),
    re.compile(
        r"\b(?:change|set|update) the (?:name|label|title) of (?P<which>.+?)(?: (?:to|into|as) (?P<name>.+))?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:call|name|label) (?P<which>(?:the|my|that|this) (?:[\w:'-]+ ){{0,4}}?{_THING}) (?P<name>.+)$",
        re.IGNORECASE,
    ),
)
_REMIND = re.compile(
    r"^.*?\b(?:remind (?:me|us)(?: again)?|be reminded|(?:nudge|ping|alert|notify) me|don'?t let me forget|"
    r"reminders?(?: for me)?|remember)\b[ ,:]*"
    r"(?:(?:please|to|that|about|of|for|called|named|saying|which says|with the text|i (?:have|need|want) to)\b[ ,]*)*"
    r"(?P<text>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_COURTESY = re.compile(
    r"(?:[\s,.;:!?-]|\b(?:and|please|pls|thanks|thank you|thx|ok|okay|again|for me|will you|would you|"
    r"can you)\b)+$",
    re.IGNORECASE,
)


def without_times(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    """The sentence with its time expressions cut out, and the prepositions before them."""
    for start, end in sorted(spans, reverse=True):
        before = _BEFORE_TIME.sub("", text[:start])
        text = f"{before.rstrip()} {text[end:].lstrip()}"
    return " ".join(text.split())


def find_name(text: str, spans: tuple[tuple[int, int], ...] = ()) -> str:
    """The name that a timer or an alarm is given or called by; "" for none."""
    if quoted := _QUOTED.search(text):
        return (quoted[1] or quoted[2]).strip()
    rest = without_times(text, spans)
    for pattern in (_CALLED, _PURPOSE, _WAKE_FOR):
        if match := pattern.search(rest):
            name = _COURTESY.sub("", match["name"]).strip()
            if name and name.lower() not in _NO_NAME and not name.isdigit():
                return name
    if match := _BEFORE_NOUN.search(rest):
        words = match["name"].split()
        while words and (words[0].lower() in _NO_NAME or words[0].isdigit()):
            words = words[1:]
        if not any(word.lower() in _NO_NAME or word[0].isdigit() for word in words):
            return " ".join(words)
    return ""


def find_new_name(text: str) -> tuple[str, str] | None:
    """Of "rename the pasta timer to rice", the words that say which and the new name, "" where none is given."""
    for pattern in _NEW_NAMES:
        if match := pattern.search(_COURTESY.sub("", text)):
            return match["which"], (match["name"] or "").strip(" \"'“”.")
    return None


def find_task(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    """What a reminder is about: of "remind me on friday to call mum", "call mum"."""
    rest = without_times(text, spans)
    match = _REMIND.match(rest)
    task = match["text"] if match else ""
    if quoted := _QUOTED.search(rest):
        task = quoted[1] or quoted[2]
    if not task and match and (named := _BEFORE_NOUN.search(rest)):
        words = [word for word in named["name"].split() if word.lower() not in _NO_NAME]
        task = " ".join(words)
    return _COURTESY.sub("", task).strip(" ,.;:-")
