"""A text → its sentences, each with its place in the text.

Lines come first: paragraphs, items of lists, headings and greetings end where their lines end, while lines that were
merely wrapped at a margin go on. Within them an end mark ends a sentence unless it belongs to an abbreviation, an
initial, a number or a quotation that goes on. Of a mail, `own` leaves out what others wrote: quoted replies, the line
that announces them, headers, the signature and the footer of a list.

Linear in the length of the text. Knows the end marks of many scripts, but abbreviations of English (and a few of
German, French and Spanish) alone; Thai and other scripts without end marks stay in pieces of `MAX_CHARACTERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from .words import word_list

# No sentence is longer; what has no end mark is cut at a blank.
MAX_CHARACTERS = 1_000
# A quotation or a bracket that stays open for longer was never closed.
_MAX_QUOTED = 400

Kind = Literal["prose", "item", "heading", "greeting"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """text: with white space evened out. start, end: its place in the whole text, end exclusive."""

    text: str
    start: int
    end: int
    kind: Kind = "prose"


def split(text: str, *, own: bool = False) -> list[Sentence]:
    """The sentences in order, none empty, none overlapping.

    own: of a mail, only what its writer wrote; where that would leave nothing, all of it.
    """
    lines = _lines(text)
    kept = _own(lines) if own else lines
    found = _sentences(text, kept)
    return found if found or not own else _sentences(text, lines)


def _sentences(text: str, lines: list[_Line]) -> list[Sentence]:
    found = []
    for block in _blocks(lines):
        for start, end in _ends(text, block):
            words = " ".join(_QUOTE_MARKS.sub(" ", text[start:end]).split())
            if any(character.isalnum() for character in words):
                found.append(Sentence(words, start, end, block.kind))
    return found


# --- Lines ------------------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """text: without the white space around it; start, end: its place in the whole text."""

    text: str
    start: int
    end: int


class _Block(NamedTuple):
    """Lines that belong together: a paragraph, one item, one heading. breaks: places where a line ends on purpose."""

    kind: Kind
    start: int
    end: int
    breaks: frozenset[int]


_QUOTED = re.compile(r"(?:[A-Za-z]{0,3}>|\| )")
_QUOTE_MARKS = re.compile(r"^[ \t]*(?:[>|]+[ \t]?)+", re.MULTILINE)
_ITEM = re.compile(r"(?:[-*•–·+‣]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\))\s+(?=\S)")
_NUMBERED = re.compile(r"(?:§ ?)?\d{1,3}(?:\.\d{1,3})*[.)]?\s+(?=\S)")
_MARKED_HEADING = re.compile(r"#{1,6}\s+(?=\S)")
_RULER = re.compile(r"[-_=*~#+]{3,}$")
_GREETING = re.compile(
    r"(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|hallo|liebe[r]?|sehr geehrte[r]?|bonjour|cher|chère|hola|"
    r"estimad[oa])\b[^.!?:]{0,50}[,!.:]?$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:with )?(?:best|kind|warm|many)?\s*(?:regards|wishes|thanks)|best|cheers|sincerely|yours (?:\w+)|"
    r"thanks(?: (?:again|a lot|in advance|so much|all|everyone|everybody))?|thank you|take care|all the best|"
    r"viele grüße|mit freundlichen grüßen|cordialement|saludos)[,.! ]*$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?:from|to|cc|bcc|sent|date|subject|reply-to|received|message-id|organi[sz]ation|x-[\w-]+|mime-version|"
    r"content-[\w-]+|return-path|delivered-to|von|an|betreff|gesendet|datum)\s*:",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(r"(?:wrote|writes|said|schrieb|a écrit|escribió)\s*:?$", re.IGNORECASE)
_ORIGINAL = re.compile(
    r"-{2,}\s*(?:original message|ursprüngliche nachricht|message d'origine)\s*-{2,}$", re.IGNORECASE
)
# More lines than these after its mark are no signature, and no footer.
_MOST_SIGNATURE_LINES = 12


def _lines(text: str) -> list[_Line]:
    lines, at = [], 0
    for raw in text.splitlines(keepends=True):
        stripped = raw.strip()
        start = at + (len(raw) - len(raw.lstrip()) if stripped else 0)
        lines.append(_Line(stripped, start, start + len(stripped)))
        at += len(raw)
    return lines


def _own(lines: list[_Line]) -> list[_Line]:
    """Without what others wrote; a line that is left out is blank."""
    kept = list(lines)
    last = len(lines)
    for number, line in enumerate(lines):
        if _ORIGINAL.match(line.text):
            last = number
            break
        is_mark = line.text == "--" or (len(line.text) >= 10 and _RULER.match(line.text) is not None)
        if is_mark and sum(1 for later in lines[number + 1 : number + 200] if later.text) <= _MOST_SIGNATURE_LINES:
            last = number
            break
    for number in range(last, len(lines)):
        kept[number] = _blank(lines[number])
    quoted = [_QUOTED.match(line.text) is not None for line in lines]
    headers = [_HEADER.match(line.text) is not None for line in lines]
    for number, line in enumerate(lines[:last]):
        beside = headers[max(number - 1, 0) : number + 2].count(True) > 1
        if quoted[number] or (headers[number] and beside):
            kept[number] = _blank(line)
        elif _ANNOUNCED.search(line.text) and any(quoted[number + 1 : number + 4]):
            kept[number] = _blank(line)
            # "On Monday, 3 March 2025 at 10:12," stands on a line of its own where the name is long.
            if number and lines[number - 1].text.startswith(("On ", "Am ", "Le ", "El ")):
                kept[number - 1] = _blank(lines[number - 1])
    return kept


def _blank(line: _Line) -> _Line:
    return _Line("", line.start, line.start)


def _blocks(lines: list[_Line]) -> Iterator[_Block]:
    group: list[_Line] = []
    for line in [*lines, _Line("", 0, 0)]:
        if line.text and not _RULER.match(line.text):
            group.append(line)
            continue
        # A ruler under a single line makes it a heading.
        underlined = bool(line.text) and len(group) == 1
        yield from _parts(group, underlined)
        group = []


def _parts(group: list[_Line], underlined: bool) -> Iterator[_Block]:
    """One paragraph, cut before items and around headings and greetings."""
    part: list[_Line] = []
    kind: Kind = "prose"
    alone = len(group) == 1
    margin = max((len(line.text) for line in group), default=0)
    for number, line in enumerate(group):
        if mark := _MARKED_HEADING.match(line.text):
            yield from _block(part, kind, margin)
            yield from _block([_after(line, mark.end())], "heading", margin)
            part, kind = [], "prose"
        elif alone and (mark := _NUMBERED.match(line.text)) and _is_title(line.text[mark.end() :]):
            yield from _block([_after(line, mark.end())], "heading", margin)
        elif mark := _ITEM.match(line.text):
            yield from _block(part, kind, margin)
            part, kind = [_after(line, mark.end())], "item"
        elif alone and (underlined or _is_title(line.text)) and not _CLOSING.match(line.text):
            yield from _block([line], "greeting" if _GREETING.match(line.text) else "heading", margin)
        elif (number == 0 and _GREETING.match(line.text)) or _CLOSING.match(line.text):
            yield from _block(part, kind, margin)
            part, kind = [line], "greeting"
            if _GREETING.match(line.text):
                yield from _block(part, kind, margin)
                part, kind = [], "prose"
        else:
            part.append(line)
    yield from _block(part, kind, margin)


def _after(line: _Line, length: int) -> _Line:
    return _Line(line.text[length:], line.start + length, line.end)


def _is_title(text: str) -> bool:
    if len(text) > 80 or text[-1] in ".!?:;,…。！？" or len(text.split()) > 10:
        return False
    return not text[0].islower() and any(character.isalpha() for character in text)


def _block(lines: list[_Line], kind: Kind, margin: int) -> Iterator[_Block]:
    if not lines:
        return
    # Where the next line's first word would still have fitted, the line was ended on purpose.
    breaks = frozenset(
        line.end
        for line, following in pairwise(lines)
        if not following.text[0].islower()
        and line.text[-1] not in ",;-–("
        and len(line.text) + 1 + len(following.text.split(None, 1)[0]) <= margin
    )
    yield _Block(kind, lines[0].start, lines[-1].end, breaks)


# --- Sentences of a block ---------------------------------------------------------------------------------------------

_MARK = re.compile(r"(?<!\s)[.!?…]+[)\]\"'”’»›]*(?=\s|$)|[。！？｡।؟۔]+[」』”’]*|(?<!\s)[ \t\r]*\n")
# "Dr. Brown": what follows belongs to it, whatever its case.
_BEFORE_NAMES = word_list(
    """mr mrs ms dr prof st mt gen col capt lt sgt rev hon gov sen rep pres fr sr. messrs mme mlle hr herr frau dott
    sra srta vs e.g i.e eg ie cf al ca approx fig figs eq no nos vol vols pp ch sec art ed eds dept est bzw z.b d.h
    u.a usw. evtl ggf nr bsp p.ex env tel ext attn re"""
)
# "at 5 p.m. We left", "at 5 p.m. on Monday": the sentence ends where a new one visibly begins.
_MAY_END = word_list("""etc inc ltd co corp jr sr bros a.m p.m am pm u.s u.k u.n e.u ph.d m.d b.a m.a usw min max""")
_STARTERS = word_list(
    """the a an it he she they we you i this that these those there in on at but and so if when while after before as
    for however then also what why how who where please thanks my our his her their its not no yes one some many
    most"""
)
_GERMAN_MONTHS = word_list("""Januar Februar März April Mai Juni Juli August September Oktober November Dezember""")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘«]+$")
_WORD_AFTER = re.compile(r"[\s(\[\"'“‘«]*([^\s]+)")


def _ends(text: str, block: _Block) -> Iterator[tuple[int, int]]:
    """(start, end) of the block's sentences, without white space around them."""
    marks = list(_MARK.finditer(text, block.start, block.end))
    # Where hardly any sentence begins with a capital, none can be told by it.
    followed = [text[m.end() : min(m.end() + 3, block.end)].lstrip()[:1] for m in marks if m.group()[-1] != "\n"]
    cased = sum(character.isupper() for character in followed) * 4 >= sum(character.islower() for character in followed)
    start = block.start
    for mark in marks:
        at = mark.end()
        if mark.group()[-1] == "\n":
            if mark.start() not in block.breaks:
                continue
        elif not _is_end(text, start, mark, block.end, cased):
            continue
        yield from _cut(text, start, at)
        start = at
    yield from _cut(text, start, block.end)


def _is_end(text: str, start: int, mark: re.Match[str], limit: int, cased: bool) -> bool:
    if mark.group()[0] in "。！？｡।؟۔":
        return True
    following = _WORD_AFTER.match(text, mark.end(), min(mark.end() + 200, limit))
    if following is None:
        return True
    after = following[1]
    if (after[0].islower() and (cased or mark.group()[0] in "!?…" or mark.group().startswith(".."))) or after[
        0
    ] in ",;":
        return False
    if mark.group()[0] == "." and not mark.group().startswith(".."):
        found = _WORD_BEFORE.search(text, max(start, mark.start() - 40), mark.start())
        word = found.group() if found else ""
        lower = word.lower()
        if lower in _BEFORE_NAMES or (
            word.isdigit() and (start + len(word) == mark.start() or after.rstrip(".,") in _GERMAN_MONTHS)
        ):
            return False
        if lower in _MAY_END or re.fullmatch(r"(?:\w\.)+\w", word):
            return after.strip(",").lower() in _STARTERS and after[0].isupper()
        if len(word) == 1 and word.isupper() and word != "I":
            return after.strip(",").lower() in _STARTERS
    return not _is_quoted(text, start, mark.end(), limit)


def _is_quoted(text: str, start: int, at: int, limit: int) -> bool:
    """Whether a quotation or a bracket that was opened in this sentence is closed further on."""
    if at - start > _MAX_QUOTED:
        return False
    ahead = min(at + _MAX_QUOTED, limit)
    so_far = text[start:at]
    for opened, closed in (("“", "”"), ("«", "»"), ("„", "“"), ("(", ")")):
        if so_far.count(opened) > so_far.count(closed) and text.find(closed, at, ahead) >= 0:
            return True
    return so_far.count('"') % 2 == 1 and text.find('"', at, ahead) >= 0


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) without white space around it, in pieces of at most `MAX_CHARACTERS`."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if end - start <= MAX_CHARACTERS:
            break
        blank = text.rfind(" ", start + MAX_CHARACTERS // 2, start + MAX_CHARACTERS)
        cut = blank if blank > 0 else start + MAX_CHARACTERS
        yield start, cut
        start = cut
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end
