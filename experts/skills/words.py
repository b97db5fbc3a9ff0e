"""The words of a text: where they stand, which of them carry no meaning, and which are forms of one.

Words are runs of letters and digits, so scripts that write none apart (Chinese, Japanese, Thai) come as whole phrases.
Function words are listed for seven languages; the language of a text is told by which of them it uses. Plurals are
joined by the "S" stemmer (Harman, 1991), for English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Addresses hold letters, but no words.
ADDRESS = re.compile(r"(?:https?://|www\.|mailto:)\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
WORD = re.compile(r"[^\W_]+(?:['’.&+-]?[^\W_]+)*(?:\+\+|#)?")

_FUNCTION_WORDS = {
    "en": """a about above across actually after again against ago all almost already also although always am among an
        and another any anybody anyone anything are aren't around as at away back be became because become been
        before being below between both but by came can can't cannot come comes could couldn't did didn't do does
        doesn't doing don't done down during each either else enough etc even ever every everybody everyone
        everything few first for from further get gets getting give given go goes going gone got had hadn't has
        hasn't have haven't having he he'd he'll he's hello her here here's hers herself hi him himself his how
        how's however i i'd i'll i'm i've if in indeed instead into is isn't it it'd it'll it's its itself just
        keep kind know last least less let let's like likely look looking looks lot made make makes many may maybe
        me mean might mine more most much must mustn't my myself near need never new next no nobody none nor not
        nothing now of off often oh ok okay on once one ones only onto or other others otherwise ought our ours
        ourselves out over own perhaps please put quite rather re really right said same saw say saying says
        second see seem seemed seems seen several shall she she'd she'll she's should shouldn't since so some
        somebody someone something sometimes somewhere soon still such sure take taken tell than thank thanks that
        that'd that's the their theirs them themselves then there there's these they they'd they'll they're
        they've thing things think this those though three through thus till to together too took toward towards
        tried try trying two under unless until up upon us use used uses using usually various very via want wants
        was wasn't way we we'd we'll we're we've well went were weren't what what's whatever when when's where
        where's whether which while who who'd who's whole whom whose why why's will with within without won't
        would wouldn't yes yet you you'd you'll you're you've your yours yourself yourselves able anyway bit came
        different per quite regard regards wrote dear cheers""",
    "de": """aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bin bis bist da
        damit dann das dass dein deine dem den denn der des dessen die dies diese diesem diesen dieser dieses doch
        dort du durch ein eine einem einen einer eines einige er es etwas euch euer für gegen gibt hab habe haben
        hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im immer in ins ist ja jede
        jedem jeden jeder jedes jetzt kann kein keine keinen können könnte machen man mehr mein meine mich mir mit
        muss müssen nach nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner seit
        sich sie sind so soll sollte sondern sowie über um und uns unser unsere unter viel viele vom von vor war
        waren was weil weiter welche wenn wer werde werden wie wieder will wir wird wo wurde wurden würde zu zum
        zur zwischen zwei""",
    "fr": """à au aux avec ce ceci cela celle ces cet cette ceux chez comme d dans de des donc dont du elle elles en
        encore entre est et étaient était être eu fait faire fois font il ils j je jusque l la le les leur leurs
        lui ma mais me même mes moi moins mon n ne ni nos notre nous on ont ou où par parce pas peu peut plus pour
        pourquoi qu quand que quel quelle qui quoi s sa sans se sera ses si son sont sous sur ta te tes toi ton
        tous tout toute toutes très trop tu un une vos votre vous y ai as avait avoir c'est d'un d'une n'est qu'il
        qu'elle deux autre autres aussi bien""",
    "es": """a al algo algunas algunos ante antes aquí así aunque bajo bien cada casi como con contra cual cuando de
        del desde donde dos durante e el él ella ellas ellos en entre era eran es esa esas ese eso esos esta está
        están este esto estos fue fueron ha había han hasta hay la las le les lo los más me mi mientras mis mucho
        muy nada ni no nos nosotros o os otra otras otro otros para pero poco por porque puede que qué quien se
        sea ser si sí sido sin sobre son su sus también tanto te tener tiene tienen todo todos tu un una uno unos
        y ya yo""",
    "it": """a ad agli ai al alla alle allo anche ancora avere aveva c che chi ci come con contro cui da dagli dai dal
        dalla dalle degli dei del della delle dello di dopo dove due e è ed era essere fa fra fu gli ha hanno ho i
        il in io l la le lei li lo loro lui ma me mi mia mio molto ne negli nei nel nella nelle noi non nostro o
        ogni per perché più poi prima può qua quale quando quella quello questa queste questi questo qui sarà se
        sei si sia sono su sua sue sugli sui sul sulla suo suoi te ti tra tu tutti tutto un un' una uno vi voi""",
    "pt": """à a ainda ao aos as às até cada com como da das de dela dele delas deles depois do dos e é ela elas ele
        eles em entre era eram essa esse esta está estão este eu foi foram há isso isto já lhe mais mas me mesmo
        meu minha muito na nas nem no nos nós não o os ou para pela pelas pelo pelos por porque quando que quem se
        sem ser será seu seus só sobre sua suas também te tem têm tinha todos tudo um uma uns você vocês""",
    "nl": """aan al alle alles als altijd ander andere ben bij daar dan dat de der deze die dit doch doen door dus een
        en er ga gaan geen had hadden heb hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je jij
        jullie kan kon kunnen maar me meer men met mij mijn moet moeten na naar niet niets nog nu of om omdat
        onder ons ook op over te tegen toch toen tot u uit uw van veel voor want waren was wat we wel werd wie wij
        wil worden wordt zal ze zei zelf zich zij zijn zo zonder zou""",
}


def word_list(words: str) -> frozenset[str]:
    """The words of a column that is easier to read than as many strings."""
    return frozenset(words.split())


_LANGUAGES = {language: word_list(words) for language, words in _FUNCTION_WORDS.items()}


def function_words(words: Iterable[str]) -> frozenset[str]:
    """Of the language that these words, in lower case, are most likely of; English where they tell nothing."""
    sample = list(words)[:2_000]
    return max(_LANGUAGES.values(), key=lambda listed: sum(word in listed for word in sample))


def lower(word: str) -> str:
    """In lower case, without a possessive: "Bank's" → "bank"."""
    return word.replace("’", "'").lower().removesuffix("'s")


def stem(word: str) -> str:
    """One form for singular and plural of a lower-case word."""
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word


def content_stems(text: str, *, empty: frozenset[str] | None = None) -> list[str]:
    """The stems of the words that carry meaning, in order.

    empty: the function words; None: those of the language that the text is in.
    """
    found = [lower(word) for word in WORD.findall(ADDRESS.sub(" ", text))]
    listed = function_words(found) if empty is None else empty
    return [stem(word) for word in found if word not in listed]
