"""Evaluates an arithmetic expression: a hand-written parser over exact fractions, never `eval`.

    sum      = product (("+" | "-") product)*            "450 + 7%" adds 7 percent of 450
    product  = power (("*" | "/" | "mod" | "of" | "off" | "choose" | nothing) power)*
    power    = ("+" | "-") power | postfix ("^" power)?    -2^2 is -4, 2^3^2 is 2^9
    postfix  = atom ("!" | "%" | "°")*
    atom     = number | constant | function power | function "(" sum ("," sum)* ")" | "(" sum ")"

From addition to powers and exact roots all stays a fraction, so 0.1 + 0.2 is 0.3; what is irrational is worked out to
40 digits and marked. Every step is bounded, so no expression takes long. Knows symbols only, no words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from statistics import median
from typing import NoReturn

from ..errors import QueryError

MAX_TOKENS = 400
MAX_DEPTH = 40
MAX_BITS = 20_000  # about 6,000 digits
MAX_FACTORIAL = 1_000
DIGITS = 40
_CONTEXT = Context(prec=DIGITS, Emax=10**9, Emin=-(10**9))
_PI = Fraction("3.1415926535897932384626433832795028841971693993751")
_CONSTANTS = {
    "pi": _PI,
    "tau": 2 * _PI,
    "e": Fraction("2.7182818284590452353602874713526624977572470936999"),
    "phi": Fraction("1.6180339887498948482045868343656381177203091798058"),
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:[,'\u00a0\u202f]\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?![\d.])|\.\d+(?![\d.]))"
    r"|(?P<word>[a-z_][a-z_0-9]*)|(?P<symbol>\*\*|[-+*/^()!%°,]))",
    re.ASCII,
)
# Between the brackets of a function a comma parts arguments: max(1,234) has two.
_PLAIN_NUMBER = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\d.])|\.\d+(?![\d.]))", re.ASCII)
_PRODUCT_WORDS = frozenset({"mod", "of", "off", "choose"})


class NotArithmeticError(ValueError):
    """The text holds something that is no part of any expression: a word, a strange symbol."""


@dataclass(frozen=True, slots=True)
class Value:
    """number: the value; exact: whether it is that very number, not one near it; percent: written as "7%"."""

    number: Fraction
    exact: bool = True
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """kind: "number", "word", "symbol" or "end"; at: where it stands in the expression."""

    kind: str
    text: str
    at: int


def tokenise(expression: str) -> list[Token]:
    """The tokens of an expression in lower case, "end" the last.

    Raises: NotArithmeticError for what is no number, known word or operator; QueryError(TOO_LARGE) for too many.
    """
    tokens: list[Token] = []
    calls: list[bool] = []  # one per open bracket: does it hold a function's arguments?
    at, end = 0, len(expression.rstrip())
    while at < end:
        match = (_PLAIN_NUMBER.match(expression, at) if calls and calls[-1] else None) or _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise NotArithmeticError(expression[at : at + 12].strip())
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind == "word" and text not in _FUNCTIONS and text not in _CONSTANTS and text not in _PRODUCT_WORDS:
            raise NotArithmeticError(text)
        if text == "(":
            calls.append(bool(tokens) and tokens[-1].text in _FUNCTIONS)
        elif text == ")" and calls:
            calls.pop()
        tokens.append(Token(kind, "^" if text == "**" else text, match.start(kind)))
        if len(tokens) > MAX_TOKENS:
            raise QueryError(
                f"the expression has more than {MAX_TOKENS} numbers and signs; split it", reason="TOO_LARGE"
            )
        at = match.end()
    return [*tokens, Token("end", "", end)]


def evaluate(tokens: list[Token]) -> Value:
    """The value of a whole expression.

    Raises: QueryError: BAD_EXPRESSION, DIVISION_BY_ZERO, NOT_REAL, TOO_LARGE.
    """
    parser = _Parser(tokens)
    value = parser.sum()
    if parser.token.kind != "end":
        wrong = {")": '")" is one too many', ",": 'a comma parts thousands ("1,234"), decimals take a point ("3.5");'}
        parser.fail(wrong.get(parser.token.text, "an operator is missing"))
    return value


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def fail(self, why: str) -> NoReturn:
        where = "at the end" if self.token.kind == "end" else f"at character {self.token.at + 1}"
        raise QueryError(f"this is no whole expression: {why} {where}", reason="BAD_EXPRESSION")

    def _take(self, *texts: str) -> str | None:
        if self.token.kind != "end" and self.token.text in texts:
            self._next += 1
            return self._tokens[self._next - 1].text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            self.fail(f'"{text}" is missing')

    def sum(self) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(f"brackets are nested more than {MAX_DEPTH} deep; simplify it", reason="TOO_LARGE")
        left = self._product()
        while sign := self._take("+", "-"):
            right = self._product()
            share = right.number * left.number if right.percent and not left.percent else right.number
            number = left.number + share if sign == "+" else left.number - share
            left = _checked(number, left.exact and right.exact, percent=left.percent and right.percent)
        self._depth -= 1
        return left

    def _product(self) -> Value:
        left = self._power()
        while True:
            sign = self._take("*", "/", "mod", "of", "off", "choose")
            if sign is None:
                if self.token.kind not in ("number", "word") and self.token.text != "(":
                    return left
                if self.token.kind == "number" and self._tokens[self._next - 1].kind == "number":
                    self.fail("an operator is missing")
                sign = "*"  # 2(3 + 4), 2 pi
            right = self._power()
            left = _checked(_multiply(sign, left.number, right.number), left.exact and right.exact)

    def _power(self) -> Value:
        sign = self._take("+", "-")
        if sign is not None:
            self._deepen()
            value = self._power()
            self._depth -= 1
            return Value(-value.number, value.exact, value.percent) if sign == "-" else value
        base = self._postfix()
        if self._take("^") is None:
            return base
        self._deepen()
        exponent = self._power()
        self._depth -= 1
        return _raise(base, exponent)

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(f"signs and powers are nested more than {MAX_DEPTH} deep", reason="TOO_LARGE")

    def _postfix(self) -> Value:
        value = self._atom()
        while sign := self._take("!", "%", "°"):
            if sign == "!":
                value = _factorial([value])
            elif sign == "°":
                value = _checked(value.number * _PI / 180, exact=value.number == 0)
            elif self.token.kind == "number":
                divisor = self._power()  # "17 % 5" has a number on either side
                value = _checked(_multiply("mod", value.number, divisor.number), value.exact and divisor.exact)
            else:
                value = Value(value.number / 100, value.exact, percent=True)
        return value

    def _atom(self) -> Value:
        token = self.token
        if token.kind == "number":
            self._next += 1
            return _number(token.text)
        if self._take("("):
            value = self.sum()
            self._expect(")")
            return Value(value.number, value.exact)
        if token.text in _CONSTANTS:
            self._next += 1
            return Value(_CONSTANTS[token.text], exact=False)
        function = _FUNCTIONS.get(token.text)
        if function is None:
            self.fail("a number is missing")
        self._next += 1
        if self._take("("):
            arguments = [self.sum()]
            while self._take(","):
                arguments.append(self.sum())
            self._expect(")")
        else:
            self._take("of")
            self._deepen()
            arguments = [self._power()]
            self._depth -= 1
        low, high, apply = function
        if not low <= len(arguments) <= high:
            self.fail(f"{token.text} takes {low if low == high else f'{low} or more'} numbers, not {len(arguments)},")
        return apply(arguments)


# --- Arithmetic ------------------------------------------------------------------------------------------------------


def _number(text: str) -> Value:
    digits, _, exponent = re.sub("[,'\u00a0\u202f]", "", text).partition("e")
    if len(digits) + abs(int(exponent[:9] or 0)) > MAX_BITS // 4:
        _too_large()
    return Value(Fraction(digits) * Fraction(10) ** int(exponent or 0))


def _checked(number: Fraction, exact: bool, *, percent: bool = False) -> Value:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        _too_large()
    return Value(number if exact else Fraction(_decimal(number)), exact, percent)


def _too_large() -> NoReturn:
    raise QueryError(
        "the result or a step on the way to it has more than 6,000 digits, more than this calculator writes out",
        reason="TOO_LARGE",
    )


def _by_zero() -> NoReturn:
    raise QueryError("division by zero has no result", reason="DIVISION_BY_ZERO")


def _not_real(why: str) -> NoReturn:
    raise QueryError(why, reason="NOT_REAL")


def _multiply(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign in ("*", "of"):
        return left * right
    if sign == "off":
        return right * (1 - left)
    if sign == "choose":
        if left.denominator != 1 or right.denominator != 1 or not 0 <= right <= left <= MAX_FACTORIAL:
            _not_real(f"n choose k needs whole numbers, 0 ≤ k ≤ n ≤ {MAX_FACTORIAL}")
        return Fraction(math.comb(int(left), int(right)))
    if right == 0:
        _by_zero()
    return left % right if sign == "mod" else left / right


def _raise(base: Value, exponent: Value) -> Value:
    b, x = base.number, exponent.number
    exact = base.exact and exponent.exact
    if b == 0:
        return _by_zero() if x < 0 else Value(Fraction(int(x == 0)), exact)
    if abs(b) == 1 and x.denominator == 1:
        return Value(b if x % 2 else abs(b), exact)
    log2 = math.log2(abs(b.numerator)) - math.log2(b.denominator)
    if abs(x) * max(abs(log2), math.log2(b.denominator)) > MAX_BITS:
        _too_large()
    if exact and x.denominator <= 64:
        root = _exact_root(b, x.denominator)
        if root is not None:
            return _checked(root ** int(x.numerator), exact=True)
    if b < 0:
        if x.denominator != 1:
            _not_real("a negative number has no real power that is not whole; try its absolute value")
        return _checked(b ** int(x), exact)
    return _approximate(_CONTEXT.power(_decimal(b), _decimal(x)))


def _exact_root(number: Fraction, degree: int) -> Fraction | None:
    if degree == 1:
        return number
    if number < 0:
        return None
    parts = [_whole_root(number.numerator, degree), _whole_root(number.denominator, degree)]
    return None if None in parts else Fraction(parts[0] or 0, parts[1] or 1)


def _whole_root(number: int, degree: int) -> int | None:
    """Newton's method from above, in whole numbers."""
    if number < 2:
        return number
    guess = 1 << -(-number.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess if guess**degree == number else None
        guess = better


def _decimal(number: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(number.numerator), Decimal(number.denominator))


def _approximate(number: Decimal) -> Value:
    # 0.999…9 of forty nines is one that rounding spoilt.
    return _checked(Fraction(Context(prec=DIGITS - 4).plus(number)), exact=False)


# --- Functions -------------------------------------------------------------------------------------------------------

_Function = Callable[[list[Value]], Value]


def _root(values: list[Value]) -> Value:
    degree, value = values
    if degree.number.denominator != 1 or not 1 <= degree.number <= 64:
        _not_real("the degree of a root is a whole number from 1 to 64")
    negative = value.number < 0
    if negative and degree.number % 2 == 0:
        _not_real(f"{_plain(value.number)} has no real root of even degree, since it is negative")
    root = _raise(Value(abs(value.number), value.exact), Value(1 / degree.number))
    return Value(-root.number, root.exact) if negative else root


def _factorial(values: list[Value]) -> Value:
    (value,) = values
    number = value.number
    if number.denominator != 1 or number < 0:
        _not_real(f"the factorial of {_plain(number)} is not defined; it takes a whole number from 0 on")
    if number > MAX_FACTORIAL:
        _too_large()
    return Value(Fraction(math.factorial(int(number))), value.exact)


def _logarithm(values: list[Value]) -> Value:
    value, base = values[0], (values[1] if len(values) == 2 else Value(Fraction(10)))
    if value.number <= 0 or base.number <= 0 or base.number == 1:
        _not_real("a logarithm takes a number above 0, to a base above 0 that is not 1")
    ratio = _CONTEXT.divide(_CONTEXT.ln(_decimal(value.number)), _CONTEXT.ln(_decimal(base.number)))
    whole = round(ratio)
    if value.exact and base.exact and abs(whole) <= MAX_BITS and base.number**whole == value.number:
        return Value(Fraction(whole))
    return _approximate(ratio)


def _exponential(values: list[Value]) -> Value:
    return _raise(Value(_CONSTANTS["e"], exact=False), values[0])


def _tangent(values: list[Value]) -> Value:
    if abs(math.cos(values[0].number)) < 1e-15:
        _not_real("the tangent is not defined there")
    return _float(math.tan)(values)


def _float(function: Callable[[float], float]) -> _Function:
    def apply(values: list[Value]) -> Value:
        try:
            result = function(float(values[0].number))
        except (ValueError, OverflowError):
            _not_real(f"{function.__name__} is not defined for {_plain(values[0].number)}")
        # The last bits of a double are noise: the sine of pi is 0, not 1.2e-16.
        return _checked(Fraction(round(result, 15)), exact=False)

    return apply


def _over(function: Callable[[list[Fraction]], Fraction | int]) -> _Function:
    """A function that keeps what is exact exact."""

    def apply(values: list[Value]) -> Value:
        number = function([value.number for value in values])
        return _checked(Fraction(number), all(value.exact for value in values))

    return apply


def _whole(function: Callable[..., int]) -> _Function:
    def apply(values: list[Value]) -> Value:
        if any(value.number.denominator != 1 for value in values):
            _not_real(f"{function.__name__} takes whole numbers")
        return Value(Fraction(function(*(int(value.number) for value in values))))

    return apply


def _round(numbers: list[Fraction]) -> Fraction:
    """Half away from zero, as people round."""
    places = int(numbers[1]) if len(numbers) == 2 else 0
    if abs(places) > 100:
        _not_real("rounding takes at most 100 places")
    scaled = abs(numbers[0]) * Fraction(10) ** places
    rounded = Fraction(math.floor(scaled + Fraction(1, 2))) / Fraction(10) ** places
    return rounded if numbers[0] >= 0 else -rounded


def _plain(number: Fraction) -> str:
    return f"{number.numerator:,}" if number.denominator == 1 else f"{float(number):g}"


_MANY = MAX_TOKENS
# name: (fewest arguments, most, the function)
_FUNCTIONS: dict[str, tuple[int, int, _Function]] = {
    "abs": (1, 1, _over(lambda numbers: abs(numbers[0]))),
    "acos": (1, 1, _float(math.acos)),
    "asin": (1, 1, _float(math.asin)),
    "atan": (1, 1, _float(math.atan)),
    "cbrt": (1, 1, lambda values: _root([Value(Fraction(3)), *values])),
    "ceil": (1, 1, _over(lambda numbers: math.ceil(numbers[0]))),
    "cos": (1, 1, _float(math.cos)),
    "cosh": (1, 1, _float(math.cosh)),
    "exp": (1, 1, _exponential),
    "factorial": (1, 1, _factorial),
    "floor": (1, 1, _over(lambda numbers: math.floor(numbers[0]))),
    "gcd": (1, _MANY, _whole(math.gcd)),
    "lcm": (1, _MANY, _whole(math.lcm)),
    "ln": (1, 1, lambda values: _logarithm([*values, Value(_CONSTANTS["e"], exact=False)])),
    "log": (1, 2, _logarithm),
    "log2": (1, 1, lambda values: _logarithm([*values, Value(Fraction(2))])),
    "log10": (1, 1, _logarithm),
    "max": (1, _MANY, _over(max)),
    "mean": (1, _MANY, _over(lambda numbers: sum(numbers, Fraction()) / len(numbers))),
    "median": (1, _MANY, _over(median)),
    "min": (1, _MANY, _over(min)),
    "product": (1, _MANY, _over(math.prod)),
    "root": (2, 2, _root),
    "round": (1, 2, _over(_round)),
    "sin": (1, 1, _float(math.sin)),
    "sinh": (1, 1, _float(math.sinh)),
    "sqrt": (1, 1, lambda values: _root([Value(Fraction(2)), *values])),
    "sum": (1, _MANY, _over(lambda numbers: sum(numbers, Fraction()))),
    "tan": (1, 1, _tangent),
    "tanh": (1, 1, _float(math.tanh)),
}
