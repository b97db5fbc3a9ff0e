"""The text model, on a real llama.cpp with a model whose answer is known in advance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.gguf_files import write_adapter, write_chain_model, write_random_model, write_slow_model
from expertd.experts.errors import BundleError, QueryError, UnavailableError
from expertd.experts.kinds.gguf import AsGrammarsRead, TextModel
from expertd.experts.kinds.json_schema import take
from expertd.experts.kinds.prompting import read_parameters
from expertd.experts.kinds.replies import StopWords
from expertd.experts.values import Abstention, Answer, Document, Query, Structured, Text

WORDS = ("Here", "is", "a", "short", "answer", "from", "one", "very", "small", "model", "and", "no", "thought.")
SAID = " ".join(WORDS)
PARAMETERS = {
    "default": "chat",
    "max_parts": 4,
    "prompts": {
        "chat": {"system": "Be brief.", "max_tokens": 100},
        "summarise": {"system": "Summarise.", "long": "merge", "max_tokens": 100, "min_words": 10},
        "translate": {"system": "Translate.", "long": "join", "max_tokens": 200},
    },
}


def query(text: str, **fields: object) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), **fields)  # type: ignore[arg-type]


def load(file: Path, name: str = "chain", **changes: object) -> TextModel:
    parameters = read_parameters({**PARAMETERS, **changes}, file.parent, bundle="text 1")
    return TextModel(file, parameters, name=name, context_tokens=1024, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def chain(folder: Path) -> Path:
    return write_chain_model(folder / "chain.gguf", WORDS)


@pytest.fixture(scope="module")
def model(chain: Path) -> TextModel:
    return load(chain)


@pytest.fixture(scope="module")
def slow(folder: Path) -> TextModel:
    return load(write_slow_model(folder / "slow.gguf"))


def told(model: TextModel, asked: Query, cancelled: Callable[[], bool] = lambda: False) -> tuple[Answer, list[str]]:
    pieces: list[str] = []
    outcome = model.answer(asked, pieces.append, cancelled)
    assert isinstance(outcome, Answer)
    return outcome, pieces


def generated(answer: Answer) -> Text:
    assert isinstance(answer.result, Text)
    return answer.result


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_it_says_what_the_model_says_piece_by_piece(model: TextModel) -> None:
    answer, pieces = told(model, query("hello"))
    assert answer.text == SAID
    assert len(pieces) == len(WORDS)
    assert "".join(pieces) == answer.text
    result = generated(answer)
    assert (result.finish, result.model, result.generated_tokens) == ("stop", "chain", len(WORDS))
    assert result.prompt_tokens > len("hello")


def test_an_answer_that_grows_too_long_is_ended_and_says_so(chain: Path) -> None:
    model = load(chain, prompts={"chat": {"system": "", "max_tokens": 5}})
    answer, _ = told(model, query("hello"))
    assert answer.text == " ".join(WORDS[:5])
    assert generated(answer).finish == "length"


def test_the_daemons_limit_goes_before_the_bundles(chain: Path) -> None:
    parameters = read_parameters(PARAMETERS, chain.parent, bundle="text 1")
    model = TextModel(chain, parameters, name="chain", max_tokens=3, threads=1)
    assert told(model, query("hello"))[0].text == " ".join(WORDS[:3])


def test_a_stop_word_ends_the_answer_and_is_no_part_of_it(chain: Path) -> None:
    answer, pieces = told(load(chain, stop=["swer fr", "never said"]), query("hello"))
    assert answer.text == "Here is a short an"
    assert "".join(pieces) == answer.text
    assert generated(answer).finish == "stop"


def test_a_letter_made_of_several_tokens_comes_whole(folder: Path) -> None:
    words = ("caf", "<0xC3>", "<0xA9>", "<0xF0>", "<0x9F>", "<0x8D>", "<0xB5>", "please")
    model = load(write_chain_model(folder / "bytes.gguf", words))
    answer, pieces = told(model, query("hello"))
    assert answer.text == "café🍵 please"
    assert not any("\ufffd" in piece for piece in pieces)


def test_what_people_write_never_becomes_a_control_mark(model: TextModel) -> None:
    assert model.count("</s>") >= len("</s>")
    plain, marked = (generated(told(model, query(f"say {mark} now"))[0]) for mark in ("(/s)", "</s>"))
    assert marked.prompt_tokens == plain.prompt_tokens


@pytest.mark.parametrize("heads", [8, 16])
def test_a_model_is_served_whatever_the_width_of_its_heads(folder: Path, heads: int) -> None:
    """768 numbers in 16 heads are 48 each: too odd for a context of 8-bit numbers."""
    sizes = {"layers": 2, "dim": 768, "feed_forward": 1024, "vocabulary": 600}
    path = write_random_model(folder / f"{heads}.gguf", heads=heads, heads_kv=2, **sizes)
    answer, _ = told(load(path, prompts={"chat": {"system": "", "max_tokens": 5}}), query("hello"))
    assert generated(answer).generated_tokens <= 5


def test_a_bundles_own_template_goes_before_the_models(chain: Path) -> None:
    bare = load(chain, template="{{ messages[-1]['content'] }}")
    asked = query("hello")
    assert generated(told(bare, asked)[0]).prompt_tokens < generated(told(load(chain), asked)[0]).prompt_tokens


def test_a_template_that_refuses_system_messages_gets_one_message(chain: Path) -> None:
    refusing = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m['content'] }}{% endfor %}"
    )
    assert told(load(chain, template=refusing), query("hello"))[0].text == SAID


# --- Texts that are missing, long or strange -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["summarise this", "Summarise my notes, please"])
def test_a_summary_of_nothing_asks_for_a_text(model: TextModel, text: str) -> None:
    outcome = model.answer(query(text, intent="summarise"))
    assert isinstance(outcome, Abstention)
    assert outcome.code == "needs_input"


@pytest.mark.parametrize(
    "fields", [{"document": Document("Two words.")}, {"payload": "two words"}], ids=["document", "payload"]
)
def test_a_short_text_that_was_set_apart_is_enough(model: TextModel, fields: dict[str, object]) -> None:
    assert told(model, query("summarise: two words", intent="summarise", **fields))[0].text == SAID


def test_an_empty_document_asks_for_a_text(model: TextModel) -> None:
    assert isinstance(model.answer(query("title", document=Document(" \n"))), Abstention)


def test_an_unknown_intent_is_refused_with_those_there_are(model: TextModel) -> None:
    with pytest.raises(QueryError, match="chat, summarise, translate") as caught:
        model.answer(query("hello", intent="sing"))
    assert caught.value.reason == "UNKNOWN_INTENT"


def test_a_text_beyond_the_context_is_cut_with_a_note(model: TextModel) -> None:
    answer, pieces = told(model, query("tell me", document=Document("One more sentence. " * 500)))
    assert generated(answer).text == SAID
    assert "this covers the first" in answer.text
    assert "".join(pieces) == answer.text


def test_a_long_translation_is_made_part_by_part(model: TextModel) -> None:
    sentence = "One more sentence. "
    text = sentence * 20
    answer, pieces = told(model, query("translate", intent="translate", document=Document(text)))
    # A part takes at most three quarters of 200 tokens, and this model reads a letter as a token.
    assert answer.text == "\n\n".join([SAID] * 3)
    assert "".join(pieces) == answer.text


def test_a_long_summary_is_made_of_the_parts_summaries(model: TextModel) -> None:
    long = Document("One more sentence. " * 80)
    answer, _ = told(model, query("summarise", intent="summarise", document=long))
    assert answer.text == SAID
    assert generated(answer).generated_tokens > 2 * len(WORDS)


def test_a_word_longer_than_the_context_is_cut_all_the_same(model: TextModel) -> None:
    answer, _ = told(model, query("translate", intent="translate", document=Document("x" * 50_000)))
    assert generated(answer).text == "\n\n".join([SAID] * 4)


def test_an_instruction_that_leaves_no_room_is_refused(model: TextModel) -> None:
    with pytest.raises(QueryError, match="say it shorter") as caught:
        model.answer(query("do this " * 200, document=Document("A text.")))
    assert caught.value.reason == "INSTRUCTION_TOO_LONG"


# --- Grammars and adapters -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random(folder: Path) -> Path:
    """Random weights: what holds with it holds whatever a model says."""
    sizes = {"layers": 2, "dim": 256, "feed_forward": 256, "heads": 8, "heads_kv": 2, "vocabulary": 1200}
    return write_random_model(folder / "random.gguf", **sizes)


def test_an_answer_keeps_the_bundles_grammar(random: Path) -> None:
    asked = query("hello")
    answer, _ = told(load(random, grammar='root ::= ("yes" | "no") "!"{3}'), asked)
    assert answer.text in {"yes!!!", "no!!!"}
    (random.parent / "digits.gbnf").write_text("root ::= [0-9]{7}")
    answer, pieces = told(load(random, grammar="digits.gbnf", temperature=1.5), asked)
    assert re.fullmatch("[0-9]{7}", answer.text)
    assert "".join(pieces) == answer.text


@pytest.mark.parametrize("grammar", ['root ::= "', "start ::= [a-z]", "root ::= nothing"])
def test_a_grammar_that_is_none_is_the_bundles_fault(chain: Path, grammar: str) -> None:
    with pytest.raises(BundleError, match="GBNF"):
        load(chain, grammar=grammar)


def test_a_grammar_that_the_models_words_do_not_fit_is_kept_letter_by_letter(chain: Path) -> None:
    answer, _ = told(load(chain, grammar='root ::= "Übermäßig 🍵"'), query("hello"))
    assert answer.text == "Übermäßig 🍵"


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 40))
def test_bytes_are_read_alike_in_one_piece_and_in_two(data: bytes, cut: int) -> None:
    reader = AsGrammarsRead()
    assert reader.decode(data[:cut]) + reader.decode(data[cut:], final=True) == AsGrammarsRead().decode(data, True)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_sound_text_is_read_as_it_is(text: str) -> None:
    assert AsGrammarsRead().decode(text.encode("utf-8", "ignore"), True) == text.encode("utf-8", "ignore").decode()


def test_what_llama_cpp_takes_for_a_quotation_mark_is_one() -> None:
    assert AsGrammarsRead().decode(b'"a\xc0\xa2', True) == '"a"'


def test_an_adapter_changes_what_the_model_says(chain: Path) -> None:
    adapter = write_adapter(chain.parent / "adapter.gguf", "small", WORDS)
    parameters = read_parameters(PARAMETERS, chain.parent, bundle="text 1")
    adapted = TextModel(chain, parameters, name="chain", adapter=adapter, threads=1)
    assert told(adapted, query("hello"))[0].text == "small model and no thought."
    assert told(load(chain), query("hello"))[0].text == SAID


@pytest.mark.parametrize(
    ("changes", "why"), [({"architecture": "qwen2"}, "arch mismatch"), ({"dim": 128}, "wrong base model")]
)
def test_an_adapter_of_another_model_is_refused_with_the_reason(chain: Path, changes: dict[str, Any], why: str) -> None:
    adapter = write_adapter(chain.parent / "other.gguf", "small", WORDS, **changes)
    parameters = read_parameters(PARAMETERS, chain.parent, bundle="text 1")
    with pytest.raises(UnavailableError, match=f"other.gguf is no adapter of this model.*{why}") as caught:
        TextModel(chain, parameters, name="chain", adapter=adapter, threads=1)
    assert caught.value.reason == "BAD_ADAPTER"


def test_a_model_is_no_adapter(chain: Path) -> None:
    parameters = read_parameters(PARAMETERS, chain.parent, bundle="text 1")
    with pytest.raises(UnavailableError, match="no adapter"):
        TextModel(chain, parameters, name="chain", adapter=chain, threads=1)


# --- Data ------------------------------------------------------------------------------------------------------------

FORM = {"default": "extract", "prompts": {"extract": {"system": "Fill in {schema}", "max_tokens": 900}}}
SHORT = {"type": "string", "maxLength": 12}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"name": SHORT}, "required": ["name"]},
    {"type": "object", "properties": {"a": SHORT, "b": {"type": "boolean"}, "c": {"type": "null"}}},
    {"properties": {"n": {"type": "integer", "minimum": -17, "maximum": 1234}}, "required": ["n"]},
    {"properties": {"p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}}, "required": ["p"]},
    {
        "properties": {"when": {"type": "string", "format": "date-time"}, "id": {"type": "string", "format": "uuid"}},
        "required": ["when", "id"],
    },
    {
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/row"}, "minItems": 2, "maxItems": 3}},
        "required": ["rows"],
        "$defs": {"row": {"properties": {"what": SHORT, "price": {"type": "number"}}, "required": ["price"]}},
    },
    {
        "properties": {"pay": {"anyOf": [{"const": "cash"}, {"properties": {"card": SHORT}, "required": ["card"]}]}},
        "required": ["pay"],
    },
    {
        "properties": {"kind": {"enum": ["a", 'b"c', "d\\e", "zeile\nzwei", "größer 🍵", 3, 2.5, None]}},
        "required": ["kind"],
    },
    {"properties": {'od"d \\ näme': {"type": ["string", "null"], "maxLength": 5}}, "required": ['od"d \\ näme']},
    {"type": "object", "additionalProperties": {"type": "integer", "maximum": 9, "minimum": 0}},
    {"properties": {"deep": {"properties": {"er": {"properties": {"est": SHORT}, "required": ["est"]}}}}},
    {
        "properties": {
            "d": {"type": "string", "format": "date"},
            "l": {"type": "string", "minLength": 3, "maxLength": 4},
        }
    },
]


@pytest.fixture(scope="module", params=[0.0, 1.5], ids=["greedy", "hot"])
def filler(random: Path, request: pytest.FixtureRequest) -> TextModel:
    return load(random, temperature=request.param, repeat_penalty=1.0, **FORM)


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_data_keeps_its_schema_whatever_the_model(filler: TextModel, schema: dict[str, Any]) -> None:
    for document in ("Ana paid 3.50 on 4 May.", "天気 <|assistant|> {{}} \\ \" '"):
        answer, pieces = told(filler, query("read it", document=Document(document), schema=schema))
        assert isinstance(answer.result, Structured)
        assert take(schema).problem(answer.text) == ""
        assert json.loads(answer.text) == answer.result.data
        assert pieces == [answer.text]


def test_without_a_schema_the_fields_that_the_request_names_are_filled(filler: TextModel) -> None:
    document = Document("Ana paid 3.50 on 4 May.")
    answer, _ = told(filler, query("extract the name and the due date from this", document=document))
    assert isinstance(answer.result, Structured)
    assert set(answer.result.data) == {"name", "due_date"}


def test_data_that_never_ends_is_no_answer(chain: Path) -> None:
    model = load(chain, prompts={"extract": {"system": "{schema}", "max_tokens": 20}}, default="extract")
    schema = {"properties": {"all": {"type": "string", "minLength": 400}}, "required": ["all"]}
    pieces: list[str] = []
    outcome = model.answer(query("read it", document=Document("A text."), schema=schema), pieces.append)
    assert isinstance(outcome, Abstention)
    assert "40 tokens" in outcome.reason
    assert pieces == []


def test_data_that_needs_more_room_gets_it_once(chain: Path) -> None:
    schema = {"properties": {"all": {"type": "string", "maxLength": 80}}, "required": ["all"]}
    asked = query("read it", document=Document("A text."), schema=schema)
    for tokens, answered in ((10, False), (20, True), (60, True)):
        model = load(
            chain, temperature=0.0, prompts={"extract": {"system": "{schema}", "max_tokens": tokens}}, default="extract"
        )
        assert isinstance(model.answer(asked), Answer) is answered


def test_a_long_text_is_cut_with_a_note_that_is_no_part_of_the_data(filler: TextModel) -> None:
    schema = {"properties": {"name": SHORT}, "required": ["name"]}
    answer, _ = told(filler, query("read it", document=Document("One more sentence. " * 900), schema=schema))
    assert "this covers the first" in answer.text
    assert isinstance(answer.result, Structured)
    assert list(answer.result.data) == ["name"]


def test_a_schema_that_leaves_no_room_is_refused(filler: TextModel) -> None:
    schema = {"properties": {f"field number {n}": SHORT for n in range(90)}}
    with pytest.raises(QueryError, match="the schema take") as caught:
        filler.answer(query("read it", document=Document("A text."), schema=schema))
    assert caught.value.reason == "INSTRUCTION_TOO_LONG"


def test_cancelled_data_is_no_answer_and_leaves_the_model_sound(filler: TextModel) -> None:
    asked_times = 0

    def soon() -> bool:
        nonlocal asked_times
        asked_times += 1
        return asked_times > 30

    asked = query("read it", document=Document("A text."), schema=SCHEMAS[0])
    pieces: list[str] = []
    assert isinstance(filler.answer(asked, pieces.append, soon), Abstention)
    assert pieces == []
    assert isinstance(filler.answer(asked), Answer)


# --- Cancelling ------------------------------------------------------------------------------------------------------


def test_cancelling_stops_between_tokens(slow: TextModel) -> None:
    pieces: list[str] = []
    outcome = slow.answer(query("hello"), pieces.append, lambda: len(pieces) >= 3)
    assert isinstance(outcome, Answer)
    assert generated(outcome).finish == "cancelled"
    assert len(pieces) == 3


def test_cancelling_stops_while_the_prompt_is_read_and_leaves_the_model_sound(slow: TextModel) -> None:
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20

    answer, pieces = told(slow, query("tell me", document=Document("One more sentence. " * 500)), soon)
    assert pieces == []
    assert (generated(answer).finish, generated(answer).generated_tokens) == ("cancelled", 0)
    pieces = []
    slow.answer(query("hello"), pieces.append, lambda: len(pieces) >= len(WORDS))
    assert "".join(pieces) == SAID


# --- Files and parameters --------------------------------------------------------------------------------------------


def test_a_file_that_is_no_model_is_refused_by_name(folder: Path) -> None:
    file = folder / "notes.gguf"
    file.write_text("these are my notes")
    with pytest.raises(UnavailableError, match=r"notes\.gguf") as caught:
        load(file)
    assert caught.value.reason == "BAD_MODEL"


def test_a_file_that_was_cut_short_is_refused(folder: Path, chain: Path) -> None:
    file = folder / "cut.gguf"
    file.write_bytes(chain.read_bytes()[:50_000])
    with pytest.raises(UnavailableError, match=r"cut\.gguf"):
        load(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default": "sing"}, "none of the prompts"),
        ({"temprature": 0.5}, "temprature"),
        ({"temperature": 3.0}, "between 0 and 2"),
        ({"stop": [""]}, "no stop string empty"),
        ({"prompts": {"chat": {"system": "", "max_tokens": 0}}}, "between 1 and 32768"),
        ({"prompts": {"chat": {"system": "", "long": "skip"}}}, "skip"),
        ({"prompts": {"chat": {"system": "{schema}", "long": "join"}}}, "long is cut"),
        ({"grammar": "missing.gbnf"}, "missing.gbnf: the grammar cannot be read"),
    ],
)
def test_parameters_that_break_a_rule_are_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=message):
        read_parameters({**PARAMETERS, **change}, tmp_path, bundle="text 1")


# --- Stop words ------------------------------------------------------------------------------------------------------

LETTERS = st.text(alphabet="ab", max_size=20)


@settings(deadline=None)
@given(
    words=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    chunks=st.lists(LETTERS, max_size=12),
)
def test_stop_words_cut_where_they_would_cut_the_whole_text(words: list[str], chunks: list[str]) -> None:
    stops = StopWords(words)
    passed = "".join(stops.push(chunk) for chunk in chunks)
    assert not any(word in passed for word in words)
    whole = "".join(chunks)
    # A stream ends at the stop word that is complete first, and cannot wait for one that may begin earlier.
    if not any(word in whole for word in words):
        assert passed + stops.rest() == whole
    else:
        assert stops.met
        assert whole.startswith(passed)
        assert any(whole[len(passed) :].startswith(word) for word in words)
