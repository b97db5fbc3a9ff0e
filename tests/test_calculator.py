"""The calculator: what people type and say, exact where it can be, bounded always, and never `eval`."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.errors import QueryError
from expertd.experts.skills.arithmetic import NotArithmeticError, evaluate, tokenise
from expertd.experts.skills.calculator import calculate
from expertd.experts.values import Abstention, Answer, Structured


def worked_out(text: str) -> dict[str, Any]:
    outcome = calculate(text)
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Structured)
    return {**outcome.result.data, "text": outcome.text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("what's 18% of 2450", 441),
        ("20 % off 80", 64),
        ("450 plus 7 %", 481.5),
        ("80 - 25%", 60),
        ("100 + 50 * 10%", 105),
        ("50% of 50% of 80", 20),
        ("twelve times nine point five", 114),
        ("three point one four times two", 6.28),
        ("one hundred and twenty divided by eight", 15),
        ("the sum of two hundred and five and seven", 212),
        ("two thirds of ninety", 60),
        ("half of 386", 193),
        ("two and a half times 4", 10),
        ("2½ + 1", 3.5),
        ("minus four times minus five", 20),
        ("2 × 3 ÷ 4 − 1", 0.5),
        ("1,234,567 + 1", 1234568),
        ("3.5 million divided by 7", 500000),
        ("a dozen times 12", 144),
        ("20% of 5k", 1000),
        ("what's the square root of 144 plus 5", 17),
        ("cube root of 27", 3),
        ("4th root of 16", 2),
        ("two to the power of ten", 1024),
        ("2 to the fifth power", 32),
        ("five squared", 25),
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2^-3", 0.125),
        ("2(3+4)", 14),
        ("5 factorial", 120),
        ("7!", 5040),
        ("10 mod 3", 1),
        ("17 % 5", 2),
        ("10 choose 3", 120),
        ("max(1,234)", 234),
        ("gcd of 12 and 18", 6),
        ("average of 3, 4 and 8", 5),
        ("log base 2 of 8", 3),
        ("sin 30 degrees", 0.5),
        ("cos(pi)", -1),
        ("ln(e)", 1),
        ("subtract 85 from 997", 912),
        ("divide 3 by 2", 1.5),
        ("what do you get if you multiply 6 by 7", 42),
        ("what percent of 80 is 20", 25),
        ("20 is what percent of 80", 25),
        ("40 is 25% of what", 160),
        ("percentage change from 80 to 100", 25),
        ("increase 200 by 12 percent", 224),
        ("split a bill of 96.40 four ways", 24.1),
        ("15% tip on $84", 12.6),
        ("what is 5 less than 12", 7),
        ("5 + 5 = ?", 10),
        ("hey can you please work out 17 times 23 for me", 391),
        ("0^0", 1),
    ],
)
def test_sums_in_words_and_symbols(text: str, value: float) -> None:
    assert worked_out(text)["value"] == pytest.approx(value, rel=1e-12)


def test_decimals_are_exact() -> None:
    found = worked_out("0.1 + 0.2")
    assert (found["decimal"], found["exact"], found["text"]) == ("0.3", True, "0.1 + 0.2 = 0.3")
    assert worked_out("9007199254740993 + 1")["decimal"] == "9007199254740994"
    assert worked_out("2^200")["decimal"] == str(2**200)


def test_what_was_rounded_says_so() -> None:
    assert worked_out("1/3")["text"] == "1 ÷ 3 ≈ 0.333333333333"
    assert worked_out("1/3")["fraction"] == "1/3"
    assert worked_out("sqrt(2)")["exact"] is False
    assert "≈" in worked_out("sqrt(2)")["text"]
    assert worked_out("100!")["text"] == "100! ≈ 9.33262154439×10^157"
    assert worked_out("100!")["decimal"] == str(math.factorial(100))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9^9^9^9", "TOO_LARGE"),
        ("10^1000000000000", "TOO_LARGE"),
        ("100000!", "TOO_LARGE"),
        ("1e999999999 + 1", "TOO_LARGE"),
        ("2^2^2^2^2^2^2", "TOO_LARGE"),
        ("(" * 100 + "1+1" + ")" * 100, "TOO_LARGE"),
        ("-" * 500 + "1", "TOO_LARGE"),
        ("2" + "+2" * 300, "TOO_LARGE"),
        ("5000 choose 2500", "NOT_REAL"),
        ("what is five divided by zero", "DIVISION_BY_ZERO"),
        ("0^-1", "DIVISION_BY_ZERO"),
        ("7 mod 0", "DIVISION_BY_ZERO"),
        ("square root of minus 4", "NOT_REAL"),
        ("log(0)", "NOT_REAL"),
        ("tan(90°)", "NOT_REAL"),
        ("(0-1)!", "NOT_REAL"),
        ("(2+3)*(4-1", "BAD_EXPRESSION"),
        ("2 +", "BAD_EXPRESSION"),
        ("3 4", "BAD_EXPRESSION"),
        ("3,5 * 2", "BAD_EXPRESSION"),
        ("1 + 2)", "BAD_EXPRESSION"),
    ],
)
def test_what_has_no_result_is_refused_at_once(text: str, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        calculate(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "what's the weather",
        "42",
        "5 km + 3 km",
        "12/05/2024",
        "7:30",
        "is 5 less than 12",
        "i bought 6 shirts at 20 each, how much is left of my 200",
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "lambda: 1",
        "how many days until christmas",
        "",
    ],
)
def test_what_is_no_sum_is_not_ours(text: str) -> None:
    outcome = calculate(text)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"


# --- Against Python's fractions --------------------------------------------------------------------------------------


@st.composite
def sums(draw: st.DrawFn, depth: int = 4) -> tuple[str, Fraction | None]:
    """An expression with all its brackets, and its value; None where a division by zero is in it."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        digits = draw(st.integers(0, 10**6))
        places = draw(st.integers(0, 3))
        number = Fraction(digits, 10**places)
        text = f"{digits // 10**places}.{digits % 10**places:0{places}}" if places else str(digits)
        return text, number
    if draw(st.integers(0, 5)) == 0:
        text, value = draw(sums(depth - 1))
        return f"-({text})", None if value is None else -value
    if draw(st.integers(0, 5)) == 0:
        text, value = draw(sums(depth - 1))
        power = draw(st.integers(0, 4))
        return f"({text})^{power}", None if value is None else value**power
    left, a = draw(sums(depth - 1))
    right, b = draw(sums(depth - 1))
    sign = draw(st.sampled_from(["+", "-", "*", "/", "×", "÷", "−"]))
    text = f"({left}){draw(st.sampled_from(['', ' ']))}{sign} ({right})"
    if a is None or b is None:
        return text, None
    match sign:
        case "+":
            return text, a + b
        case "-" | "−":
            return text, a - b
        case "*" | "×":
            return text, a * b
        case _:
            return text, None if b == 0 else a / b


@settings(max_examples=300, deadline=None)
@given(sums())
def test_generated_sums_agree_with_fractions(made: tuple[str, Fraction | None]) -> None:
    text, value = made
    symbols = text.translate(str.maketrans("×÷−", "*/-"))
    if value is None:
        with pytest.raises(QueryError) as caught:
            evaluate(tokenise(symbols))
        assert caught.value.reason == "DIVISION_BY_ZERO"
        return
    found = evaluate(tokenise(symbols))
    assert found.exact
    assert found.number == value
    told = calculate(f"what is {text}")
    if isinstance(told, Answer):
        assert isinstance(told.result, Structured)
        assert told.result.data["value"] == pytest.approx(float(value), rel=1e-9, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 999)), min_size=1, max_size=8), st.integers(1, 999))
def test_precedence_without_brackets_is_pythons(steps: list[tuple[str, int]], first: int) -> None:
    text = str(first) + "".join(f" {sign} {number}" for sign, number in steps)
    expected = eval(  # the digits and signs above, nothing else
        f"Fraction({first})" + "".join(f" {sign} Fraction({number})" for sign, number in steps), {"Fraction": Fraction}
    )
    assert evaluate(tokenise(text)).number == expected


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="0123456789+-*/^%!().,e pixsqrtofn√×½²$", max_size=60))
def test_no_text_makes_it_fail_otherwise_than_with_a_reason(text: str) -> None:
    reasons = {"TOO_LARGE", "DIVISION_BY_ZERO", "NOT_REAL", "BAD_EXPRESSION"}
    try:
        outcome: Any = calculate(text)
    except QueryError as error:
        outcome = error
    assert isinstance(outcome, (Answer, Abstention)) or outcome.reason in reasons


def test_a_word_that_it_does_not_know_is_named() -> None:
    with pytest.raises(NotArithmeticError, match="foo"):
        tokenise("1 + foo(2)")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("add 20% tip to 45", 54),
        ("add a tip of 20 percent to 45", 54),
        ("add 19% vat to 250", 297.5),
        ("add a 15 percent tip to 80 euros", 92),
        ("add 20 to 45", 65),
    ],
)
def test_a_share_is_added_of_what_it_is_added_to(text: str, value: float) -> None:
    assert worked_out(text)["value"] == pytest.approx(value)


def test_an_angle_without_a_unit_is_said_to_be_in_radians() -> None:
    assert worked_out("sin(30)")["text"].endswith("in radians")
    assert "radians" not in worked_out("sine of 30 degrees")["text"]
    assert "radians" not in worked_out("cos(pi)")["text"]
