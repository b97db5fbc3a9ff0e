"""Grammars expand to varied sentences, the same for the same seed, and no template serves two parts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.distill import phrases, sentiment, topic, toxicity
from expertd.distill.phrases import GrammarError

WEATHER = """
[rules]
start = [
  "it is {adj} [today ]in {city}", "{city}: {1..3} degrees", "2* (rain|snow) over {city}", "code {digits 4}",
  "{adj} again",
]
adj = ["warm", "cold"]
city = ["Oslo", "Rome", "Lima", "Graz", "Cork", "Bern"]
"""


def test_the_same_seed_tells_the_same_story_and_another_another() -> None:
    grammar = phrases.parse("weather", WEATHER)
    assert grammar.phrases("start", 20, "train", 1) == grammar.phrases("start", 20, "train", 1)
    assert grammar.phrases("start", 20, "train", 1) != grammar.phrases("start", 20, "train", 2)


def test_templates_and_fillers_belong_to_one_part_alone() -> None:
    grammar = phrases.parse("weather", WEATHER)
    assert not set(grammar.templates("start", "train")) & set(grammar.templates("start", "validation"))
    assert not set(grammar.templates("city", "train")) & set(grammar.templates("city", "validation"))
    train = grammar.phrases("start", 200, "train", 1)
    assert not {phrase.template for phrase in train} & {
        phrase.template for phrase in grammar.phrases("start", 200, "validation", 1)
    }


def test_a_rule_of_few_alternatives_is_shared_by_all_parts() -> None:
    grammar = phrases.parse("weather", WEATHER)
    assert grammar.templates("adj", "train") == grammar.templates("adj", "validation") == ["warm", "cold"]


def test_sentences_are_distinct_and_end_when_the_grammar_has_no_more() -> None:
    found = phrases.parse("two", '[rules]\nstart = ["a[ b]"]').phrases("start", 50, "train", 1)
    assert sorted(phrase.text for phrase in found) == ["a", "a b"]


def test_in_turn_every_template_speaks_as_often_as_any_other() -> None:
    grammar = phrases.parse("turns", '[rules]\nstart = ["a{1..100000}", "50* b{1..100000}"]')
    assert "".join(text[0] for text in grammar.in_turn("start", 6)) == "ababab"
    assert grammar.in_turn("start", 6) == grammar.in_turn("start", 6) != grammar.in_turn("start", 6, seed=2)


def test_in_turn_every_so_many_th_template_is_held_out_and_fillers_serve_both_parts() -> None:
    grammar = phrases.parse("held", '[rules]\nstart = ["a {x}", "b {x}", "c {x}"]\nx = ["1", "2", "3", "4", "5", "6"]')
    train, validation = (grammar.in_turn("start", 100, part, one_in=3) for part in ("train", "validation"))
    assert {text[0] for text in train} == {"a", "b"}
    assert {text[0] for text in validation} == {"c"}
    assert {text[-1] for text in train} == {text[-1] for text in validation} == set("123456")
    assert grammar.in_turn("start", 100, "validation") == []


def test_in_turn_a_heavier_filler_comes_more_often() -> None:
    grammar = phrases.parse("heavy", '[rules]\nstart = ["{x}{1..100000}"]\nx = ["9* x", "y"]')
    assert sum(text.startswith("x") for text in grammar.in_turn("start", 400)) > 300


def test_a_heavier_alternative_comes_more_often() -> None:
    grammar = phrases.parse("heavy", '[rules]\nstart = ["9* x{1..100000}", "y{1..100000}"]')
    texts = [phrase.text for phrase in grammar.phrases("start", 400, "train", 1)]
    assert sum(text.startswith("x") for text in texts) > 300


def test_brackets_are_words_behind_a_backslash() -> None:
    found = phrases.parse(
        "escaped",
        r"""[rules]
start = ['\{a\} \[b\] \(c\|d\)']""",
    ).phrases("start", 1, "train", 1)
    assert found[0].text == "{a} [b] (c|d)"


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[rules]\nstart = ["{nobody}"]', "no such rule"),
        ('[rules]\nstart = ["{start}"]', "leads back to itself"),
        ('[rules]\na = ["{b}"]\nb = ["[x {a}]"]', "leads back to itself"),
        ('[rules]\nstart = ["(a|b"]', "missing"),
        ('[rules]\nstart = ["a]"]', "never opened"),
        ('[rules]\nstart = ["{open"]', "missing"),
        ('[rules]\nstart = ["{9..1}"]', "counts down"),
        ("[rules]\nstart = []", "no list"),
        ('[rules]\nstart = ["a", "a"]', "twice"),
        ("[rules", "not valid TOML"),
    ],
)
def test_a_broken_grammar_is_refused_with_its_fault(toml: str, told: str) -> None:
    with pytest.raises(GrammarError, match=told):
        phrases.parse("broken", toml)


@pytest.mark.parametrize("name", ["urgency", "question-type", "phishing", "prompt-attack"])
def test_every_grammar_of_ours_is_sound_and_rich(name: str) -> None:
    grammar = phrases.read(name)
    named = {
        "urgency": ["low", "normal", "high"],
        "phishing": ["legitimate", "phishing"],
        "prompt-attack": ["harmless", "attack", "order"],
        "question-type": ["yes-no", "who", "when", "where", "what", "how-to", "why", "how-many", "choice", "none"],
    }[name]
    for label in named:
        for part, least in (("train", 300), ("validation", 60)):
            found = grammar.phrases(label, 300, part, 1)  # type: ignore[arg-type]
            assert len(found) >= least, (label, part)
            assert all(phrase.text for phrase in found)


@pytest.mark.parametrize(
    ("name", "labels", "one_in"),
    [
        ("sentiment", sentiment.RECIPE.labels, 0),
        ("topic", topic.RECIPE.labels, topic.HELD_OUT),
        ("toxicity", toxicity.RECIPE.labels, toxicity.HELD_OUT),
    ],
)
def test_every_grammar_that_is_used_in_turn_is_rich(name: str, labels: Sequence[str], one_in: int) -> None:
    grammar = phrases.read(name)
    for label in labels:
        assert len(grammar.in_turn(label, 300, "train", one_in)) == 300, label
        if one_in:
            assert len(grammar.in_turn(label, 60, "validation", one_in)) > 30, label


@given(st.text(max_size=60), st.integers(0, 1_000))
def test_what_a_hand_makes_of_a_text_is_never_empty(text: str, seed: int) -> None:
    assert phrases.typed(text, random.Random(seed)).strip() or not text.strip()


@given(st.integers(0, 2_000))
def test_a_slip_leaves_links_alone(seed: int) -> None:
    link = "http://paypal.com.check.example/login?id=77"
    assert link in phrases.typed(f"Your account is locked, see {link} please", random.Random(seed)) + " "
