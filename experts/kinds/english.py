"""Is this English, or does it at least look like it? For experts that learnt from English alone.

A cheap check that errs on the side of yes: it sends away what is written in other letters, what holds no word at all,
and sentences in which hardly any common English word stands. It does not know which language a text is in.
"""

from __future__ import annotations

import re

# More of a text is not looked at.
LOOKED_AT = 2_000
# Shorter texts may do without any common word ("parcel arrived broken").
LEAST_WORDS = 6
# At least one word in so many is a common one.
ONE_IN = 10

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Addresses, names of accounts and marks of markup are no words.
_NO_WORD = re.compile(r"https?://\S+|@\w+|&#?\w{1,8};|<[^>]{0,200}>")
# Words that stand in most English sentences, tidy or not, and in hardly any of other languages: "a", "i", "in", "an"
# and "go" are left out.
_COMMON = (
    "the of and to is that it for you with this have be are was not they my your she his her we our their what "
    "which who when where why how there all been would could should will can if about up out more very just like "
    "get got know think want need really too much than then because these those were has had does did doing don't "
    "doesn't didn't can't won't isn't wasn't ain't it's i'm i've i'd i'll you're you've he's she's we're they're "
    "that's what's there's let's how's who's please thank thanks some any every other good bad great people time "
    "day work make makes made making take taken today tomorrow tonight now never always only still back after "
    "before again its us but from one me him them so on or yes yeah yep here off over into even ever nothing "
    "something anything everything someone everyone anyone nobody through while without between under until since "
    "both each few many most such same another next last first second two three little big old new year years "
    "week month night morning home house way thing things life love hate hope feel feels look looks looking see "
    "say says said saying tell told talk talking call called ask asked goes going gone come comes coming give "
    "gives given keep kept put set let find found use used try trying start started stop stopped help play watch "
    "read write wrote buy bought pay paid send sent show shows wait waiting working works sleep eat live run runs "
    "left right wrong true sure sorry okay well better best worse worst nice happy sad funny cool awesome awful "
    "amazing beautiful stupid money food phone car job school boy girl man woman women friend friends guy guys "
    "kids baby name number world film movie story though maybe probably actually already enough almost quite soon "
    "later long far away down around together hey hello lol lmao omg wtf gonna wanna gotta cause cuz ur dont cant "
    "wont thats im ive didnt doesnt isnt aint txt pls plz damn shit fuck fucking bitch bitches ass hoes dude"
)
COMMON = frozenset(_COMMON.split())


def is_english(text: str) -> bool:
    """Whether `text` may be English; False also where there is no word in it."""
    found = _WORD.findall(_NO_WORD.sub(" ", text[:LOOKED_AT].lower()))
    letters = "".join(found)
    # Latin letters with all their accents end before U+0250, and go on from U+1E00 to U+1EFF.
    latin = sum(letter < "\u0250" or "\u1e00" <= letter <= "\u1eff" for letter in letters)
    if 2 * latin <= len(letters):
        return False
    common = sum(word.replace("’", "'") in COMMON for word in found)
    return len(found) < LEAST_WORDS or common * ONE_IN >= len(found)
