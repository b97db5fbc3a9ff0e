"""One clause of a request: where it ends, how it begins, what it belongs to, what in it points back.

Knows English forms and the text that it is given; no part, no router.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# The patterns here are text: `re` compiles them when a request first needs them, not at the start.

# --- Where it ends ---------------------------------------------------------------------------------------------------

_CONNECTIVE = (
    r"(?:and|&|plus|then|also|finally|lastly|afterwards?|after (?:that|this)|following that|in addition|additionally|"
    r"besides|oh|next|at the same time|(?:while|when|once) (?:you're|you are) (?:at it|done)|"
    r"(?:when|once) (?:that|it|this)(?:'s| is) done|secondly|thirdly)\b"
)
# Between two clauses. stop: a sentence's end, `more`: the connectives after it; after: those after a comma, "" for a
# comma alone; joined: connectives without a mark.
DELIMITER = (
    rf"(?i)\s*(?:(?P<stop>[.!?…]+(?=\s+\S)|;(?=\s)|\n)[\s\-*•]*(?:\d{{1,2}}[.)]\s+)?(?P<more>(?:{_CONNECTIVE}[\s,]+)*)"
    rf"|,\s*(?P<after>(?:{_CONNECTIVE}[\s,]+)*)(?<=\s)"
    rf"|\s(?P<joined>(?:and|&|plus|then|also|afterwards|after that)\s(?:\s*{_CONNECTIVE}[\s,]+)*))"
)
QUOTED = r"[\"“”„«»][^\"“”„«»]*[\"“”„«»]|(?<!\w)['‘][^'‘’]*['’](?!\w)|`[^`]*`|\([^()]*\)"


def first_clause(text: str) -> str:
    """Up to the first delimiter; past a bare "and" where nothing was said before it ("can you check and tell me …")."""
    end = re.search(DELIMITER, text)
    if end and end["joined"] and _empty(text[: end.start()]):
        end = re.compile(DELIMITER).search(text, end.end())
    return text[: end.start()] if end else text


# --- How it begins ---------------------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WH = _words("what who whom whose where when why which how")
_WH_SHORT = _words("what's who's where's when's why's how's whats whos wheres hows what're who're what'll what'd how'd")
_BE = _words("is are was were am isn't aren't wasn't isnt")
_AUXILIARY = _BE | _words(
    "do does did don't doesn't didn't can can't could will won't would should shall may might must has have had"
)
_DEFINITE = _words("i you we he she it they there the my your our his her their its this that these those")
_SUBJECT = _DEFINITE | _words("any a an some all anyone anything everyone everything someone something")
# Words that begin a command wherever they stand, if anything follows.
_VERBS = _words(
    """accept activate add adjust analyse analyze announce apply approve arrange ask assign attach avoid bake begin
    book bring browse buy calculate call cancel capture change check choose classify clear close compare compile
    complete compose compute condense confirm connect continue convert correct create cut deactivate decide
    decline decrease define delete describe determine dictate dim disable discard disconnect discover display
    divide download draft draw drop edit email empty enable end enter erase evaluate examine exit explain extend
    extract fetch figure fill find finish fix flip forecast format forward freeze generate get give go google
    grab guess hang help hide identify ignore include increase inform insert install interpret invite join keep
    launch learn leave let list listen locate lock log look lower make mark measure merge message move multiply
    mute name navigate notify open order organise organize paraphrase pause pay pick place play post predict
    prepare print proofread provide pull purchase put queue quit raise rate read recite recommend redial reduce
    refill register reject remember remind remove rename reopen repeat rephrase replace reply report request
    reschedule reserve reset resolve restart restore resume retrieve return reverse revert review rewrite ring
    roll round run save say scan schedule search see select sell send set share shorten show shuffle shut
    simplify sing skip snooze solve sort speak spell split start stop submit subscribe subtract suggest
    summarise summarize switch take talk teach tell terminate test text throw toggle track transfer translate
    try turn type unblock undo uninstall unlock unmute unpause unsubscribe update upgrade upload use verify
    visit wake warn watch engage wipe write"""
)
# Verbs that are nouns at least as often: inside a sentence they begin a command only before one of _COMPLEMENT.
_NOUNS = _words(
    """alarm alert answer archive back balance bill block board boost brew chart chat charge cook copy count cover crop
    date defrost design dial document drive dust feed file film flag float focus heat hold host import iron lift light
    link load mail map mix mop water note nudge page paint park phone photograph pin ping plan plot point pop power
    preheat press program project push quiz quote rank record remark research route rule score screenshot ship sign star
    store stream study sum swap sync tag time title touch trace train trim tune vacuum value view wash work wrap zip"""
)
_COMPLEMENT = _SUBJECT - _words("there i he she they we") | _words(
    """me us them him every each both another on off up down out in back for to with at from about by one two three four
    five ten new how what mum mom dad whether if more"""
)
# Two nouns: "the order and check number".
_SECOND_NOUN = _words(
    """of and or is was are were has had number numbers history log logs list date dates status name names type types
    rate rates fee fees limit limits balance balances info information details price prices code codes size level values
    amount amounts usage space"""
)
# Any other word before these is a verb by its place ("defrost the chicken"), unless it is one of _NEVER.
_OBJECT = _words("the a an my me us it them him this these those all every another our your")
_NEVER = (
    _AUXILIARY
    | _SUBJECT
    | _WH
    | _words(
        """and or but nor not me us in on at to of for from by with about as than into onto over under off up down out
        after before during since until till while if whether because though although so here been both half only even
        maybe perhaps also too very today tomorrow yesterday tonight later once twice every each yes like unlike near
        between among through without within around across behind beside except plus minus times per via got made paid
        bought lost went sent found took gave came saw told said knew thought kept left spent never always usually still
        already given unless despite soon again instead anyway however therefore regarding then just now please against
        bring ai hey siri alexa yet"""
    )
)
_ALONE = _words("stop pause resume mute unmute cancel undo continue skip repeat help")
_WANT = _words("want need wanna wish looking wondering needing")
_FILLED = _words("would really also will am do just like to be")
_I = _words("i we i'd we'd i'm we're i'll we'll id im")
_AT_WHICH = _words("at in on to for from with by about of")
_CONDITION = (
    r"(?i)(?:if|unless|once|while|because|since|although|though|after|before|until|till|whenever|as\s+soon\s+as|in\s+case|"
    r"as\s+long\s+as|even\s+if|suppos\w+|assuming|say\s+(?:that\s+)?i\b|(?:every|each|the\s+next)\s+time|"
    r"when(?!['’]?s\b|\s+(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b))\b"
)
_STATEMENT = (
    r"(?i)(?:i|we|he|she|it|they|you|there|this|that|these|those|some(?:one|body)|my|our|the|his|her|their|i['’]\w+)\b"
)
_PREPOSITION = r"(?i)(?:at|in|on|by|for|to|from|with|within|during|about|as|of|or|but|not|because|which|than)\b"
# Words of which a clause that only asks back consists: "can you help me with that", "what is it", "are you".
_EMPTY = (
    _WH
    | _WH_SHORT
    | _AUXILIARY
    | _SUBJECT
    | _words(
        """me us him them help understand please possible so to if out about for with on know check double doing done
        tell explain okay ok right correct true work happen happened happening mean going wrong think sure fix and see
        find be one look into hi hello hey up guys not or like want need try again now more tails heads thanks thank
        yes no"""
    )
)
_WORD = r"[\w'$£€#+\-]+"


def tokens(clause: str) -> list[str]:
    """Its first eight words, in lower case."""
    return re.findall(_WORD, clause[:120].casefold().replace("’", "'"))[:8]


def opens(clause: str, inside: bool = False) -> bool:
    """Whether a clause begins as a request does: a command, a question, a wish.

    inside: it stands after a bare "and" or a comma, where a noun or a second verb may stand as well.
    """
    words = tokens(clause)
    return _commands(words, inside) or asks(words, inside) or wishes(words, inside)


def _commands(words: Sequence[str], inside: bool) -> bool:
    first, second = (*words, "", "")[:2]
    if not second:
        return first in _ALONE
    if first in ("don't", "dont"):
        return second not in _SUBJECT
    if first in ("do", "be", "have"):
        return first != "have" and second in _OBJECT and second != "your"
    if second in _SECOND_NOUN:
        return False
    if first in _VERBS:
        return True
    if first in _NOUNS:
        return not inside or second in _COMPLEMENT or second[0].isdigit()
    shape = len(first) > 2 and first.isalpha() and not first.endswith(("ed", "ing", "ly", "ss"))
    return shape and second in _OBJECT and first not in _NEVER


def asks(words: Sequence[str], inside: bool) -> bool:
    """A question by itself puts the verb first ("what is it"); one inside a clause does not ("what it is")."""
    if len(words) > 2 and words[0] in _AT_WHICH and words[1] in _WH:
        words = words[1:]
    first, second = (*words, "", "")[:2]
    if not second:
        return False
    if first in _WH_SHORT:
        return True
    if first in _WH:
        if second in _AUXILIARY or (first == "who" and len(words) > 2 and second not in _SUBJECT):
            return True
        if first in ("what", "which", "whose", "how"):
            for word in words[1:6]:
                if word in _AUXILIARY:
                    return True
                if word in _DEFINITE or word == "to":
                    break
        return (first, second) in (("why", "not"), ("how", "come")) or (not inside and (first, second) == ("how", "to"))
    if first not in _AUXILIARY or second == "not":
        return False
    if first in ("have", "had", "must"):
        return second in ("i", "you", "we", "they", "he", "she")
    if first in ("do", "did", "does"):
        return second in _DEFINITE or second.startswith("any") or (second not in _SUBJECT and first != "do")
    return second in _SUBJECT or not inside


def wishes(words: Sequence[str], inside: bool) -> bool:
    """Whether they begin what one wants: "I'd like …", "let's …"; inside, "want to …" alone does not."""
    if not words:
        return False
    first, rest = words[0], words[1:5]
    if first in ("let's", "lets") or (first == "let" and rest[:1] in (["me"], ["us"])):
        return len(words) > 1
    if first in ("like", "wish", "want", "need", "would", "wanna") and not (first == "would" and rest[:1] != ["like"]):
        return not inside and "to" in words[1:3]
    if first not in _I:
        return False
    polite = first in ("i'd", "we'd", "id")
    for number, word in enumerate(rest):
        if word in _WANT or (word in ("like", "love") and (polite or "would" in rest[:number])):
            return True
        if word not in _FILLED:
            return False
    return False


def conditional(clause: str) -> bool:
    """A condition governs all that follows it in its sentence: "if it rains, …"."""
    return re.match(_CONDITION, clause) is not None


def tells(clause: str) -> bool:
    """Whether it begins as what only tells something: "my card is lost"."""
    return re.match(_STATEMENT, clause) is not None


def continues(clause: str) -> bool:
    """Whether it begins as the rest of another: "for ten minutes"."""
    return re.match(_PREPOSITION, clause) is not None


def _empty(clause: str) -> bool:
    return all(word in _EMPTY for word in re.findall(_WORD, clause.casefold().replace("’", "'")))


# --- What it belongs to ----------------------------------------------------------------------------------------------

_DANGLING = _words("the a an my your our their his its and or both between than because if whether not very")
# What leads up to a command, and says nothing alone: "go ahead and …", "can you find and …", "do me a favour and …".
_RUN_UP = (
    r"(?i)(?:(?:let['’]?s|(?:can|could|would|will)\s+you|(?:i\s+(?:want|need|would\s+like)|i['’]?d\s+like)\s+(?:you\s+)?to|"
    r"help\s+me)\b\s*)?(?:please\s+)?(?:go(?:\s+(?:ahead|on|back|in|online))?|come(?:\s+on)?|be\s+\w+(?:\s+\w+)?|"
    r"do\s+me\s+a\s+favou?r|hurry\s+up|sit\s+down|tell\s+me|help(?:\s+me)?|excuse\s+me|(?:i\s+)?wanna\s+try|stop\s+by|use\s+(?:the|my|your)\s+\w+|"
    r"[a-z]+(?:\s+(?:up|out|through|over|down))?)?\W*$"
)
_CONTACT = (
    r"(?i)\b(?:call|text|phone|ring|message|e-?mail|mail|write|contact|ping|dm|reach|notify|alert|inform|tell|ask|meet|visit|"
    r"let|invite|find|send|thank)\b"
)
_TELL_THEM = (
    r"(?i)(?:(?:tell|ask|let|inform|invite|warn|wish|thank|remind|give)\s+(?:him|her|them)|say\s+(?:hi|hello|that|i)|"
    r"see\s+if\s+(?:they|he|she)|ask\s+(?:if|whether|what|when|where|who|how))\b"
)
_TAKE = r"(?i)(?:\w+\s+){0,4}?(?:take|move|get|grab|pull|copy|cut|transfer)\b"
_PUT_IT = r"(?i)(?:put|paste|move|place|deposit|add|transfer|flip|roll|toss)\s+(?:it|them|that)\b"
# What only says how the thing before is wanted: "and make it short", "and call it pasta", "and read it to me".
_MANNER = (
    r"(?i)(?:(?:make|call|name|label|title|mark|tag|keep|leave|do|have|let|try|get|need|want)\s+(?:it|that|them|these|those)\b"
    r"|(?:tell|show|read|give|bring|hand|say|state|list)\s+(?:it|that|them)(?:\s+(?:back|out|aloud|loud|all|up))?"
    r"(?:\s+to\s+(?:me|us))?\W*$"
    r"|(?:tell|show|give|read|get|see)\s+(?:me\s+)?the\s+(?:results?|outcome|answers?|steps|total|list|details)\W*$"
    r"|(?:let|tell|show)\s+(?:me|us)(?:\s+know)?(?:\s+about\s+it)?\W*$|(?:show|give|get)\s+me\s+(?:suggestions|options|directions)\W*$|(?:go\s+to|play)\s+the\s+next\b"
    r"|(?:i\s+)?(?:just\s+)?(?:want|need|would\s+like)\s+to\s+(?:make|be)\s+sure\b"
    r"|(?:be\s|don['’]?t\s+be|make\s+sure|try\s+to|don['’]?t\s+forget|keep\s+in\s+mind|use\s+(?:only|no|at\s+most))\b)"
)
_LOOK = (
    r"(?i)\b(?:look\s+(?:at|through|into|in|up|over)|check|go\s+(?:through|over|to|into|on|in)|read|(?:take|have)\s+a\s+look|"
    r"open|listen\s+to|see|scan|analy[sz]e|examine|inspect|review|study|consider|search|find\s+out)\b"
)
_SAY_WHAT = (
    r"(?i)(?:(?:tell|show|let|give)\s+(?:me|us)\s+(?:know|if|whether|about|what|who|where|when|why|which|how)|say|state|see|"
    r"find\s+out|explain)\b"
)
# "Wake me at 7 and tell me to …" is one alert, unless the second has a time of its own.
_ALERT = r"(?i)(?:wake|nudge|ping|remind|get\s+me\s+up)\b|.*\b(?:alarm|timer|reminder)\b"
_TELL_ME = r"(?i)(?:tell|remind|notify|alert|warn|let)\s+(?:me|us)\s+(?:to|that|about|know|it['’]?s|when)\b"
_TIME = (
    r"(?i)\b(?:(?:at|in|by|on|every|around)\s+(?:\d|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|"
    r"midnight|half|quarter|an?\s+(?:hour|minute)|(?:mon|tues|wednes|thurs|fri|satur|sun)day)|tomorrow|tonight|today)\b"
)
# Words to be taken as they are: "how do you say open the door and come in".
_VERBATIM = (
    r"(?i)(?:(?:translate|say|spell|type|dictate|repeat|pronounce|define)\s+(?!(?:this|that|it|these|those|the|my|them|again)\b)"
    r"|how\s+(?:do|would|can|should)\s+(?:you|i|we|one)\s+(?:say|spell|write|pronounce)\b"
    r"|.*\bthat\s+goes\b)"
)
# "Add a reminder, pay the rent": the comma is a colon.
_ANNOUNCED = r"(?i)\b(?:reminder|note|task|memo|message|entry|event)\W*$"
# "… to my list and remove the eggs": the same list.
_LIST = r"(?i)\b(?:list|calendar|playlist|cart|basket)\b"
_ON_LIST = r"(?i)(?:add|remove|delete|drop|put|take)\b"
_WHICH_LIST = r"(?i)\b(?:list|calendar|playlist|cart|basket|to|from|on|in|off)\b"
_WHAT_DOES, _MEAN = r"(?i)what\s+(?:does|do)\b", r"(?i).*\bmean\W*$"
_PAIRED = r"(?i)\b(?:between|both|either|neither|combine|mix)\b(?!.*\band\b)"
# An errand holds whatever follows: "remind me to buy bread and call mum".
_ERRAND = (
    r"(?i)(?:\bremind\s+(?:me|us|him|her|them)\b(?!\s+(?:about|of)\b)"
    r"|\b(?:tell|ask|text|message|e-?mail|warn|inform|notify|write|let|teach)\s+(?:(?!me\b)[\w'’]+\s+){1,4}?"
    r"(?:to|that|if|whether|know|i['’]?m|i)\b"
    r"|\b(?:tell|nudge|ping|ask|poke|get|wake)\s+me\s+(?:(?!how\b|wh)[\w:]+\s+){0,4}?to\s+(?!\d|the\b|my\b|a\b)"
    r"|\b(?:reminder|alarm|alert|note|task|to-?do|memo|entry|event)\s+(?:[\w:]+\s+){0,4}?(?:to|that|saying)\s+"
    r"(?!my\b|me\b|the\b|\d)"
    r"|\b(?:mark|note|write|jot)\s+(?:it\s+)?(?:down\s+)?that\b|\b(?:forget|remember)\s+to\b|\bmake\s+sure\b|\bsaying\b)"
)
# What is said to the assistant cannot be inside an errand or a condition.
_TO_ASSISTANT = r"(?i)(?:(?:can|could|will|would)\s+you|\w+\s+(?:me|us))\b"


def dangles(clause: str) -> bool:
    """Whether its last word wants another: "both the lamp and the"."""
    return clause.rsplit(None, 1)[-1].casefold() in _DANGLING


def belongs(left: str, clause: str, right: str, *, stop: bool, comma: bool) -> bool:
    """Whether the right clause is part of the left request although it could stand by itself.

    clause: the last one of the left. stop: a sentence ends between them. comma: a comma alone stands there.
    """
    if re.match(_RUN_UP, left) and not (stop and left.casefold() in _ALONE):
        return True
    if re.match(_MANNER, right) or _empty(right):
        return True
    if (re.match(_TELL_THEM, right) and re.search(_CONTACT, left)) or (
        re.match(_PUT_IT, right) and re.match(_TAKE, left)
    ):
        return True
    if stop:
        return False
    if comma and re.search(_ANNOUNCED, left):
        return True
    if (re.search(_LOOK, left) and re.match(_SAY_WHAT, right)) or re.match(_VERBATIM, left) or re.search(_PAIRED, left):
        return True
    if re.match(_SAY_WHAT, right) and points_back(right):
        return True
    if re.search(_LIST, left) and re.match(_ON_LIST, right) and not re.search(_WHICH_LIST, right):
        return True
    if re.match(_WHAT_DOES, left) and re.match(_MEAN, right):
        return True
    if re.match(_ALERT, left) and re.match(_TELL_ME, right) and not re.search(_TIME, right):
        return True
    question = asks(tokens(right), inside=True)
    if re.search(_ERRAND, left):
        return not (question or re.match(_TO_ASSISTANT, right))
    return conditional(clause) or (conditional(left) and not (question and clause != left))


# --- What points back ------------------------------------------------------------------------------------------------

_POINTER = (
    r"(?i)\b(?:(?:it|them|they|those|these|its|their)"
    r"|that(?=\W*$|\s+(?:to|in|on|for|at|with|by|into|from|is|was|as|too|again|now|and|or|one|back|up|down|"
    r"off|out|over)\b)"
    r"|(?P<there>there)"
    r"|(?P<person>him|her|his|he|she|hers)"
    r"|(?P<one>(?<=another )one|(?<=second )one|(?<=first )one|(?<=last )one|(?<=other )one|(?<=new )one|"
    r"one(?=\W*$|\s+(?:for|at|to|too|on)\b)))\b"
)
# "What time is it", "is it raining", "is there any milk": these words stand for nothing.
_EXPLETIVE = (
    r"(?i)(?:(?:what\s+(?:time|day|date|year|month|weekday|week|hour)|how\s+(?:late|hot|cold|warm|early|far|windy|humid|long))\s+"
    r"(?:is|was|will|does)\s+it\b|(?:what|which)\s+\w+\s+it\s+is\b"
    r"|(?:is|was|will|does|did|if|when|whether|that|how\s+likely\s+is)\s+it(?:['’]s|\s+is|\s+be|\s+will|\s+going\s+to|\s+gonna)*"
    r"(?:\s+be)?\s+(?:rain\w*|snow\w*|hot|cold|warm\w*|cool\w*|sunny|windy|cloudy|humid|freez\w*|storm\w*|dark|late|night|"
    r"noon|midnight|time|possible|true|(?:mon|tues|wednes|thurs|fri|satur|sun)day|take|cost|\d)"
    r"|it['’]s\s+(?:raining|snowing|hot|cold|late|time|\d)"
    r"|(?:how\s+(?:long|much)\s+(?:does|will|would)\s+it\s+(?:take|cost))"
    r"|(?:is|are|was|were|will|can|could|if)\s+there\b|there\s+(?:is|are|was|were|will|might)\b|there['’]s\b|\bover\s+there\b)"
)
# A thing named before the pronoun, in the same part, is what it means.
_NAMED = (
    r"(?i)\b(?:the|a|an|my|our|your|this|some|any|every)\s+\w+(?:\s+\w+)*?\s+"
    r"(?:and|if|when|while|until|that|before|after|so|because|who|which)\b"
)
_PLACE = (
    r"(?i)\b(?:in|at|to|near|from|around)\s+(?!\d|me\b|my\s+(?:list|account)|the\s+(?:list|morning|evening)|do\b)\w+"
)


def points_back(clause: str) -> bool:
    """Whether a word in it stands for something that was said before it."""
    return _pointer(clause) is not None


def reference(clause: str, earlier: Sequence[str]) -> tuple[str, int]:
    """The word that points back, and the number of the earlier clause that it points to; "" and -1: none does."""
    pointer = _pointer(clause)
    if pointer is None:
        return "", -1
    word, last = pointer[0], len(earlier) - 1
    if pointer["one"] and clause[: pointer.start()].rstrip().casefold().endswith("first"):
        return word, 0
    fits = _PLACE if pointer["there"] else _CONTACT if pointer["person"] else None
    if fits is None:
        return word, last
    return word, next((number for number in range(last, -1, -1) if re.search(fits, earlier[number])), last)


def _pointer(clause: str) -> re.Match[str] | None:
    blank = [match.span() for match in (*re.finditer(_EXPLETIVE, clause), *re.finditer(QUOTED, clause))]
    for match in re.finditer(_POINTER, clause):
        expletive = any(begin <= match.start() < end for begin, end in blank)
        if not expletive and not re.search(_NAMED, clause[: match.start()]):
            return match
    return None
