"""The calculator: sums as people type and say them, "what's 18% of 2450" and "twelve times nine point five".

Turns words into the symbols that `arithmetic` evaluates. A text that holds anything else is not for it: units, dates
and word problems are not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction

from ..errors import QueryError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .arithmetic import DIGITS, NotArithmeticError, Token, Value, evaluate, tokenise
from .timex.numbers import ORDINALS, SCALES, TENS, UNITS, cardinal

MAX_TEXT = 1_000
SHOWN_DIGITS = 12
LONGEST_SHOWN = 60  # digits of a whole number that are written out for people


class Calculator:
    """Answers `Structured`: expression, value (a double, None beyond its range), decimal, exact, fraction, percent."""

    async def answer(self, query: Query) -> Outcome:
        return calculate(query.text if query.payload is None else query.payload)


def calculate(text: str) -> Outcome:
    """The value of a sum in words or symbols.

    Raises: QueryError: TOO_LARGE, DIVISION_BY_ZERO, NOT_REAL, BAD_EXPRESSION (symbols alone that make no sum).
    """
    if len(text) > MAX_TEXT:
        return Abstention(f"a sum of more than {MAX_TEXT} characters is not for the calculator", "not_mine")
    if _COMPARISON.match(text.lower()):
        return Abstention("the calculator works sums out, it does not compare", "not_mine")
    if _DATE.search(text):
        return Abstention("this holds a date or a time of day, not a sum", "not_mine")
    money = _MONEY.search(text.lower())
    symbols, asks_percent = _symbols(text)
    try:
        tokens = tokenise(symbols)
    except NotArithmeticError as error:
        return Abstention(f'"{error}" is nothing that the calculator knows', "not_mine")
    if not any(token.kind == "number" or token.text in ("pi", "e", "tau", "phi") for token in tokens):
        return Abstention("there is no number in it", "not_mine")
    if len([token for token in tokens if token.text not in ("(", ")", "")]) == 1:
        return Abstention("a number alone is no sum", "not_mine")
    try:
        value = evaluate(tokens)
    except QueryError as error:
        if error.reason == "BAD_EXPRESSION" and _WORD.search(text.lower()):
            return Abstention(f"no sum that the calculator understands: {error}", "not_mine")
        raise
    sign = "" if money is None else money["sign"] or ("$" if money["dollars"] else "€" if money["euros"] else "£")
    return _told(tokens, value, percent=asks_percent, money=sign)


# --- From words to symbols -------------------------------------------------------------------------------------------

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("×✕✖⨯∙·⋅", "*"),
        **dict.fromkeys("÷∕⁄", "/"),
        **dict.fromkeys("−–—﹣－", "-"),
        **dict.fromkeys("’ʼ`´", "'"),
        "＋": "+", "％": "%", "＝": "=", "（": "(", "）": ")", "[": "(", "]": ")", "{": "(", "}": ")",
        "²": "^2", "³": "^3", "√": " sqrt ", "∛": " cbrt ", "π": " pi ", "τ": " tau ", "φ": " phi ", "º": "°",
        "½": " (1/2)", "⅓": " (1/3)", "⅔": " (2/3)", "¼": " (1/4)", "¾": " (3/4)", "⅛": " (1/8)",
    }
)  # fmt: skip
_MIXED = re.compile(r"(\d+)\s*([½⅓⅔¼¾⅛])", re.ASCII)
_MONEY = re.compile(r"(?P<sign>[$€£¥₹])|\b(?P<dollars>dollars?|bucks)\b|\b(?P<euros>euros?)\b|\bquid\b")
_DATE = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d{1,2}:\d\d\b|\b\d+(?:st|nd)\b(?! (?:power|root))",
    re.ASCII,
)
_COMPARISON = re.compile(r"\W*(?:is|are|which)\b.*\b(?:less|more|greater|bigger|larger|smaller|equal)\b", re.DOTALL)
_PIECE = re.compile(r"\d{1,3}(?:[,'\u00a0\u202f]\d{3})+(?:\.\d+)?|\d*\.\d+|\d+|[a-z]+|\S", re.ASCII)
_WORD = re.compile(r"[a-z]{2,}", re.ASCII)
# What may stand before a sum, between the words of it, and after it, without meaning anything.
_PRELUDE = re.compile(
    r"(?:\s|[,:;=\"']|\b(?:hey|hi|hello|ok|okay|so|now|and|please|pls|just|some|would|tip|a bill of|quick|quickly|"
    r"question|"
    r"calculator|calculate|calcualte|calulate|calc|compute|evaluate|solve|simplify|find|find out|figure out|work out|"
    r"maths?|"
    r"give me|show me|tell me|help me|do|does|add up(?= to)|(?:can|could|would|will) (?:you|i)(?: please)?|"
    r"i(?: would|'d) like to know|i need(?: to know)?|i want(?: to know)?|do you know|"
    r"what(?:'s|s)?|wat|wats|is|are|was|would be|will be|be|get|when|if|you|i|we|"
    r"how much|how many|how large|how big|how does|equals?|the|an?|my|"
    r"(?:the )?(?:value|result|answer|solution|outcome)(?: of| to| for)?)(?![a-z']))+"
)
_NOISE = re.compile(
    r"[$€£¥₹\"]|(?<![a-z])(?:dollars?|bucks|euros?|quid|usd|eur|gbp|people|persons|friends|the|please)(?![a-z])"
)
_CODA = re.compile(
    r"(?:[\s,;:=?\"']|\.(?!\d)|(?<=\s)!|(?<![a-z])(?:please|pls|plz|thanks|thank you|thx|for me|"
    r"equals?(?: to)?|make|makes|come to|comes to|is|be|gives?|get|in total|total|altogether|all together|"
    r"exactly|now|quickly|right now|what|each(?: one)?|per person|each person))+$"
)

# Tried in this order: a longer phrase before the shorter one in it.
_PHRASES = (
    (r"(?:multiplied|multiply)(?: (?:by|with))?|times", "*"),
    (r"x(?=\s*[\d(.])", "*"),
    (r"divided? (?:by|with)|over|split (?:by|between|among|into|in)|shared (?:by|between|among)", "/"),
    (r"(?:raised )?to (?:the )?power(?: of)?|raised to|power", "^"),
    (r"squared", "^2"),
    (r"cubed", "^3"),
    (r"plus|added to|increased by|on top of", "+"),
    (r"minus|take away|takeaway|subtract|decreased by|reduced by|less|negative", "-"),
    (r"per ?cents?|percents|pct|percentage", "%"),
    (r"modulo|modulus", "mod"),
    (r"degrees?|deg", "°"),
    (r"(?:square|sq) ?(?:root|rt)", "sqrt"),
    (r"(?:cube|cubic) root", "cbrt"),
    (r"factorial(?= of|\s*\()", "factorial"),
    (r"factorial", "!"),
    (r"average|avg", "mean"),
    (r"absolute value", "abs"),
    (r"sine", "sin"),
    (r"cosine", "cos"),
    (r"tangent", "tan"),
    (r"natural log(?:arithm)?", "ln"),
    (r"logarithm", "log"),
    (r"minimum|smallest|lowest", "min"),
    (r"maximum|biggest|largest|highest", "max"),
    (r"greatest common (?:divisor|factor)|highest common factor|hcf|gcf", "gcd"),
    (r"(?:least|lowest) common multiple", "lcm"),
    (r"open(?:ing)? (?:brackets?|parenthes[ie]s|paren)", "("),
    (r"clos(?:e|ing) (?:brackets?|parenthes[ie]s|paren)", ")"),
    (r"(?:twice|double)(?: of)?", "2*"),
    (r"(?:thrice|triple)(?: of)?", "3*"),
    (r"(?:tip|discount|tax|vat|interest|commission) (?:of|on|for)|on", "of"),
)
_PHRASE = re.compile(r"(?<![a-z])(?:" + "|".join(f"({pattern})" for pattern, _ in _PHRASES) + r")(?![a-z])")

# Whole sentences that are no infix expression. A and B stand for expressions; what they become is an expression again.
_A, _B = r"(?P<a>.+?)", r"(?P<b>.+)"
_TO_ORDINAL = re.compile(r"(?:raised )?to (?:the )?(\d+)(?:st|nd|rd|th)(?: power)?(?![\d.])", re.ASCII)
_NTH_ROOT = re.compile(r"(\d+)(?:st|nd|rd|th) root of ([\d.,]+|\([^()]*\))", re.ASCII)
_LOG_BASE = re.compile(r"log(?:arithm)?(?:,? to the|,? to)? base ([\d.]+|e) of ([\d.,]+|\([^()]*\))", re.ASCII)
_FORMS = tuple(
    (re.compile(pattern), template, percent)
    for pattern, template, percent in (
        (rf"subtract {_A} from {_B}", "{b}-{a}", False),
        (rf"multiply {_A} (?:by|with|and|times) {_B}", "{a}*{b}", False),
        (rf"divide {_A} (?:by|with|into|between) {_B}", "{a}/{b}", False),
        (rf"(?:split|share) {_A} (?:by|into|between|among) {_B}", "{a}/{b}", False),
        (rf"(?:split|share|divide)(?: (?:a |the )?bill of)? {_A} {_B} ways", "{a}/{b}", False),
        (rf"square of {_A}", "{a}^2", False),
        (rf"cube of {_A}", "{a}^3", False),
        (rf"round {_A} to (?P<b>\d+)(?: decimal)?(?: places?| decimals?| digits?)?", "round({a},{b})", False),
        (rf"(?:increase|raise) {_A} by {_B}", "{a}+{b}", False),
        (rf"add (?:an? )?(?:tip|tax|vat|interest|commission) of {_A}(?:%| ?(?:per ?cents?|percents|pct)) to {_B}",
         "{b}+{a}%", False),
        (rf"add (?:an? )?{_A}(?:%| ?(?:per ?cents?|percents|pct)) ?(?:tip|tax|vat|interest|commission)? to {_B}",
         "{b}+{a}%", False),
        (rf"(?:decrease|reduce|lower|discount) {_A} by {_B}", "{a}-{b}", False),
        (rf"(?:difference (?:between|of)) {_A} and {_B}", "abs({a}-{b})", False),
        (rf"quotient of {_A} and {_B}", "{a}/{b}", False),
        (rf"remainder (?:of|when|if) {_A} (?:is )?divided by {_B}", "{a} mod {b}", False),
        (r"(?P<a>[\d.,]+) less than (?P<b>[\d.,]+)", "{b}-{a}", False),
        (r"(?P<a>[\d.,]+) more than (?P<b>[\d.,]+)", "{b}+{a}", False),
        (rf"(?:what )?percent(?:age)? (?:change|increase|decrease|difference) (?:from|between) {_A} (?:to|and) {_B}",
         "({b}-{a})/{a}*100", True),
        (rf"(?:what )?(?:percent(?:age)?|per ?cent|%) of {_A} is {_B}", "{b}/{a}*100", True),
        (rf"{_A} is (?:what|which|how many) (?:percent(?:age)?|per ?cent|%) of {_B}", "{a}/{b}*100", True),
        (rf"{_A} (?:out of|of|over) {_B} (?:as|in) (?:a )?(?:percent(?:age)?|per ?cent|%)", "{a}/{b}*100", True),
        (rf"{_A} as (?:a )?(?:percent(?:age)?|per ?cent|%) of {_B}", "{a}/{b}*100", True),
        (rf"{_A} is {_B} of (?:what|which)(?: number)?", "{a}/{b}", False),
    )
)  # fmt: skip
_BARE = re.compile(r"[\d.,]+ *%?", re.ASCII)
_LISTS = re.compile(
    r"(?P<name>add up|add|sum up|sum|total|average|mean|avg|median|product|min|minimum|max|maximum|smallest|largest|"
    r"biggest|highest|lowest|greatest common (?:divisor|factor)|highest common factor|gcd|hcf|gcf|"
    r"(?:least|lowest) common multiple|lcm)(?: of)?:? (?P<items>.+)"
)
_SEPARATOR = re.compile(r"\s*(?:,\s*and(?![a-z])|,|(?<![a-z])(?:and|to|with|or)(?![a-z])|&)\s*")


def _symbols(text: str) -> tuple[str, bool]:
    """An expression in symbols, as far as the words allow, and whether the result is meant in percent."""
    plain = _MIXED.sub(r"(\1+\2)", text.lower()).translate(_CHARACTERS)
    plain = _NOISE.sub(" ", plain)
    plain = " ".join(_digits(plain).split())
    plain = plain[found.end() :] if (found := _PRELUDE.match(plain)) else plain
    plain = _CODA.sub("", plain) if not re.search(r"\b(?:what|which)(?: number)?\W*$", plain) else plain.rstrip(" ?.!")
    plain = _TO_ORDINAL.sub(r"^\1", plain)
    plain = _NTH_ROOT.sub(r"root(\1,\2)", plain)
    plain = _LOG_BASE.sub(r"log(\2,\1)", plain)
    for pattern, template, percent in _FORMS:
        if match := pattern.fullmatch(plain):
            return template.format(**{name: _bracketed(part) for name, part in match.groupdict().items()}), percent
    if match := _LISTS.fullmatch(plain):
        items = _SEPARATOR.split(match["items"].replace("numbers", ""))
        if len(items) > 1:
            name = {"add": "sum", "add up": "sum", "sum up": "sum", "total": "sum"}.get(match["name"], match["name"])
            bare = [re.sub(r"(?<=\d),(?=\d{3})", "", _phrases(item)) for item in items]
            return f"{_phrases(name)}({','.join(bare)})", False
    return _phrases(plain), False


def _bracketed(part: str) -> str:
    symbols = _phrases(part).strip()
    return symbols if _BARE.fullmatch(symbols) else f"({symbols})"


def _phrases(text: str) -> str:
    return _PHRASE.sub(lambda match: f" {_PHRASES[(match.lastindex or 1) - 1][1]} ", text)


def _digits(text: str) -> str:
    """Numbers in words become digits, everything else stays as it is."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    found = list(_PIECE.finditer(text))
    words = [match.group() for match in found]
    at = end = 0
    while at < len(words):
        yield text[end : found[at].start()]
        number, after = _number(words, at)
        yield words[at] if number is None or number == words[at] else f" {number} "
        at = after
        end = found[at - 1].end()
    yield text[end:]


def _number(words: list[str], at: int) -> tuple[str | None, int]:
    """The number that begins at index `at`, as an expression, and the index after it."""
    word = words[at]
    following = words[at + 1 : at + 4]
    if word in ("a", "an", "one") and following[:1] == ["half"]:
        return "(1/2)", at + 2
    if word == "half":
        return ("(1/2)" if following[:1] == ["of"] else "(1/2)*"), at + 1
    denominator = _denominator(following[0]) if following else None
    if word in ("a", "an", "one") and denominator and following[1:2] == ["of"]:
        return f"(1/{denominator})", at + 2
    if word in ("a", "an") and following[:1] == ["dozen"]:
        return "12", at + 2
    if word == "point" and at + 1 < len(words) and (words[at + 1] in UNITS or words[at + 1].isdigit()):
        decimals, after = _decimals(words, at + 1)
        return f"0.{decimals}", after
    if word[0].isdigit():
        number, after = word, at + 1
        while after < len(words) and words[after] in SCALES:
            number, after = _times(number, SCALES[words[after]]), after + 1
        if number == word and following[:1] == ["k"]:
            return _times(number, 1000), at + 2
        if number == word and len(following) > 1 and following[0] == "point" and following[1].isdigit():
            return f"{number}.{following[1]}", at + 3
    else:
        if word in ORDINALS and (following[:1] in (["power"], ["root"]) or "to" in words[max(at - 2, 0) : at]):
            return f"{ORDINALS[word]}th", at + 1
        first = following[0] if word in ("a", "an") and following else word
        if not (first == "hundred" or first in SCALES or (first == word and (word in UNITS or word in TENS))):
            return None, at + 1
        spoken = cardinal(words, at)
        if spoken is None:
            return None, at + 1
        number, after = str(spoken[0]), spoken[1]
        if words[after : after + 1] == ["point"]:
            decimals, end = _decimals(words, after + 1)
            if decimals:
                number, after = f"{number}.{decimals}", end
                while after < len(words) and words[after] in SCALES:
                    number, after = _times(number, SCALES[words[after]]), after + 1
        if words[after : after + 1] == ["dozen"]:
            number, after = _times(number, 12), after + 1
    if words[after : after + 2] in (["and", "a"], ["and", "one"]) and words[after + 2 : after + 3]:
        part = _denominator(words[after + 2])
        if part:
            return f"({number}+1/{part})", after + 3
    if not word[0].isdigit() and words[after : after + 1] and (part := _denominator(words[after])):
        return f"({number}/{part})", after + 1
    return number, after


def _decimals(words: list[str], at: int) -> tuple[str, int]:
    """The digits after "point": "one four", "fourteen", "14"."""
    digits = ""
    while at < len(words):
        word = words[at]
        if word in ("oh", "o"):
            digits += "0"
        elif word.isdigit():
            digits += word
        elif word in UNITS or word in TENS:
            value, after = cardinal(words, at) if word in TENS else (UNITS[word], at + 1)  # type: ignore[misc]
            digits, at = digits + str(value), after
            continue
        else:
            break
        at += 1
    return digits, at


def _times(number: str, factor: int) -> str:
    return f"{Decimal(re.sub('[^0-9.]', '', number)) * factor:f}"


def _denominator(word: str) -> int | None:
    """2 for "half", 5 for "fifths"; None for any other word. "second" is time, not a part."""
    if word in ("half", "halves"):
        return 2
    if word in ("quarter", "quarters"):
        return 4
    value = ORDINALS.get(word.removesuffix("s"), 0)
    return value if value > 2 else None


# --- What is said ----------------------------------------------------------------------------------------------------

_ENDS_OPERAND = frozenset({")", "!", "%", "°", "pi", "e", "tau", "phi"})
_OF_ANGLES = frozenset({"sin", "cos", "tan", "asin", "acos", "atan"})
_SIGNS = {"*": " × ", "/": " ÷ ", "+": " + ", ",": ", "} | {
    word: f" {word} " for word in ("of", "off", "mod", "choose")
}


def _told(tokens: list[Token], value: Value, *, percent: bool, money: str) -> Answer:
    number = value.number
    decimal, exact = _decimal(number, exact=value.exact)
    expression = _shown(tokens)
    result = _grouped(decimal) if len(decimal) <= LONGEST_SHOWN + 1 else _scientific(number)
    exact_shown = exact and "×10^" not in result
    if percent:
        result += " %"
    elif money and len(decimal) <= LONGEST_SHOWN:
        cents = round(abs(number), 2)
        amount = _grouped(f"{int(cents)}" if cents.denominator == 1 else f"{float(cents):.2f}")
        exact_shown = exact_shown and cents == abs(number)
        result = f"{'-' if number < 0 else ''}{money}{amount}"
    text = f"{expression} {'=' if exact_shown else '≈'} {result.replace('-', '−')}"
    names = {token.text for token in tokens}
    if names & _OF_ANGLES and not names & {"°", "pi", "tau"}:
        text += ", in radians"
    data: dict[str, Json] = {"expression": expression, "decimal": decimal, "exact": exact, "percent": percent}
    try:
        data["value"] = float(number)
    except OverflowError:
        data["value"] = None
    if value.exact and 1 < number.denominator < 10**6:
        data["fraction"] = fraction = f"{number.numerator}/{number.denominator}"
        if not exact and not money and fraction.replace("/", " ÷ ") != expression:
            text += f" ({fraction})"
    return Answer(text, Structured(data))


def _decimal(number: Fraction, *, exact: bool) -> tuple[str, bool]:
    """The number in digits, and whether that is all of it: a terminating fraction is written whole, others rounded."""
    if exact and number.denominator == 1:
        # Digit by digit through Decimal: Python refuses to write very long integers.
        return f"{Context(prec=7_000).create_decimal(number.numerator):f}", True
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if exact and rest == 1:
        whole = Context(prec=DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator))
        if Fraction(whole) == number:
            return f"{whole:f}", True
    rounded = Context(prec=SHOWN_DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator))
    rounded = rounded.normalize()
    return (f"{rounded:f}" if -SHOWN_DIGITS < rounded.adjusted() < LONGEST_SHOWN else f"{rounded}"), False


def _grouped(decimal: str) -> str:
    whole, point, rest = decimal.partition(".")
    if not whole.lstrip("-").isdigit():
        return decimal
    sign = "-" if whole.startswith("-") else ""
    digits = whole.lstrip("-")
    first = len(digits) % 3
    groups = [digits[:first]] * bool(first) + [digits[at : at + 3] for at in range(first, len(digits), 3)]
    return sign + ",".join(groups) + point + rest


def _scientific(number: Fraction) -> str:
    rounded = Context(prec=SHOWN_DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator)).normalize()
    exponent = rounded.adjusted()
    return f"{rounded.scaleb(-exponent)}×10^{exponent}"


def _shown(tokens: list[Token]) -> str:
    """The expression as it was understood."""
    shown = ""
    for before, token in zip([None, *tokens], tokens[:-1], strict=False):
        after_operand = before is not None and (before.kind == "number" or before.text in _ENDS_OPERAND)
        name = token.kind == "word" and token.text not in _SIGNS
        starts_operand = name or token.kind == "number" or token.text == "("
        if starts_operand and after_operand:
            # "17 % 5" is a remainder, two operands side by side a product.
            modulo = before is not None and before.text == "%" and token.kind == "number"
            shown = f"{shown[:-1]} mod " if modulo else f"{shown} × "
        elif starts_operand and before is not None and before.kind == "word" and before.text not in _SIGNS:
            shown += "" if token.text == "(" else " "
        if token.kind == "number" and "e" not in token.text:
            shown += _grouped(re.sub(r"[^\d.]", "", token.text))
        elif token.text == "-":
            shown += " − " if after_operand else "−"
        else:
            shown += token.text if starts_operand else _SIGNS.get(token.text, token.text)
    return shown
