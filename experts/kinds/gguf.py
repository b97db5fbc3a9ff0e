"""The kind `gguf`: a text model that reads a GGUF file with llama.cpp, one request at a time.

Importing this module is cheap; llama.cpp itself is loaded by `TextModel`, in the worker's process alone. Knows nothing
of that process, of queues or of the wire.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ..errors import BundleError, QueryError, UnavailableError
from ..values import Abstention, Answer, Outcome, Query, Text

if TYPE_CHECKING:
    import llama_cpp

_SPARE_TOKENS = 8  # for marks that a template adds between a cut text and what follows
_CHARACTERS_PER_TOKEN = 12  # hardly any text has longer tokens on average: what is beyond is not even counted
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

# For models that bring no template of their own.
_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)


# --- What a bundle says of it ----------------------------------------------------------------------------------------


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one intent is put to the model.

    long: what becomes of a text that does not fit the context. "cut": its beginning is read; "join": it is worked on
    part by part and the answers stand one after the other; "merge": each part is answered, then the answers together
    are. min_words: a typed request of fewer words that carries no text beside it is asked what it is about.
    """

    system: str
    long: Literal["cut", "join", "merge"] = "cut"
    max_tokens: int = 512
    min_words: int = 0


class TextParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [parameters] of a bundle of kind gguf.

    prompts: per intent; default: the intent of a request that names none. template: Jinja, instead of the model's
    own. stop: strings that end an answer and are not part of it. max_parts: of a long text, what is beyond is left out.
    """

    prompts: dict[str, Prompt]
    default: str
    template: str = ""
    stop: tuple[str, ...] = ()
    temperature: float = 0.4
    top_p: float = 0.9
    min_p: float = 0.05
    repeat_penalty: float = 1.05
    max_parts: int = 8

    def __post_init__(self) -> None:
        if self.default not in self.prompts:
            raise ValueError(f"default = {self.default!r} is none of the prompts {', '.join(sorted(self.prompts))}")
        if not 0 <= self.temperature <= 2 or self.max_parts < 1 or "" in self.stop:
            raise ValueError("temperature is between 0 and 2, max_parts at least 1, and no stop string empty")
        for name, prompt in self.prompts.items():
            if not 1 <= prompt.max_tokens <= 32768:
                raise ValueError(f"prompts.{name}: max_tokens is {prompt.max_tokens}; it is between 1 and 32768")


def read_parameters(parameters: Mapping[str, Any], *, bundle: str) -> TextParameters:
    """Checks a manifest's [parameters].

    Raises: BundleError.
    """
    try:
        return msgspec.convert(parameters, TextParameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml [parameters]: {error}") from None


# --- The model -------------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A piece of generated text; the last one says why it ended (stop, length, cancelled) and counts."""

    text: str
    finish: str = ""
    prompt_tokens: int = 0
    generated_tokens: int = 0


class TextModel:
    """A model in memory. Not for several threads at a time."""

    def __init__(
        self,
        file: Path,
        parameters: TextParameters,
        *,
        name: str,
        context_tokens: int = 4096,
        max_tokens: int = 512,
        threads: int = 2,
    ) -> None:
        """Loads it. name: what answers say they come from. max_tokens: of one answer, whatever a prompt allows.

        Raises: UnavailableError (BAD_MODEL) when llama.cpp cannot load the file.
        """
        import llama_cpp
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        self._lib = llama_cpp
        self._name = name
        self._parameters = parameters
        self._max_tokens = max_tokens
        self._cancelled: Callable[[], bool] = _never
        complaints, _ = _listen()
        # llama.cpp keeps no reference of its own.
        self._abort = llama_cpp.ggml_abort_callback(lambda _: self._cancelled())
        try:
            self._llama = _open(file, context_tokens, threads)
        except (ValueError, RuntimeError, OSError) as error:
            detail = "; ".join(complaints) or str(error)
            raise UnavailableError(
                f"{name}: {file.name} is no model that llama.cpp can load ({detail}); pull or adopt it again",
                reason="BAD_MODEL",
            ) from None
        llama_cpp.llama_set_abort_callback(self._llama.ctx, self._abort, None)
        # Beyond what it was trained on, a model rambles.
        self._window: int = min(self._llama.n_ctx(), llama_cpp.llama_model_n_ctx_train(self._llama.model))
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(self._llama.model)
        bos, eos = self._llama.token_bos(), self._llama.token_eos()
        self._formatter = Jinja2ChatFormatter(
            template=parameters.template or self._llama.metadata.get("tokenizer.chat_template", _PLAIN_TEMPLATE),
            eos_token="" if eos < 0 else llama_cpp.llama_vocab_get_text(self._vocabulary, eos).decode(),
            bos_token="" if bos < 0 else llama_cpp.llama_vocab_get_text(self._vocabulary, bos).decode(),
        )

    def answer(
        self, query: Query, emit: Callable[[str], None] = lambda _: None, cancelled: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """Answers token by token through `emit`; the pieces together are the answer's text.

        `cancelled` is asked between tokens and while the prompt is read; once it says yes, the answer ends with
        finish "cancelled" within a token's time.

        Raises: QueryError when the request leaves no room to answer.
        """
        intent = query.intent or self._parameters.default
        prompt = self._parameters.prompts.get(intent)
        if prompt is None:
            known = ", ".join(sorted(self._parameters.prompts))
            raise QueryError(
                f"{self._name}: no intent {intent!r}; there are {known}", reason="UNKNOWN_INTENT", field="intent"
            )
        prompt = msgspec.structs.replace(prompt, max_tokens=min(prompt.max_tokens, self._max_tokens))
        instruction, subject = _set_apart(query)
        bare = query.document is None and not instruction
        if not subject.strip() or (bare and len(subject.split()) < prompt.min_words):
            return Abstention(
                f"What should I {intent}? Write it after a colon, or give a document.", code="needs_input"
            )
        self._cancelled = cancelled
        try:
            return _Reply(self, prompt, instruction, emit).answer(subject)
        finally:
            self._cancelled = _never

    def close(self) -> None:
        self._llama.close()

    # What a reply is made with.

    @property
    def name(self) -> str:
        return self._name

    @property
    def max_parts(self) -> int:
        return self._parameters.max_parts

    def count(self, text: str) -> int:
        """Tokens in it."""
        return len(self._tokens(text, special=False))

    def room(self, prompt: Prompt, instruction: str) -> int:
        """Tokens of subject that fit beside this prompt and its answer.

        Raises: QueryError when hardly any do.
        """
        frame = len(self._prompt_tokens(prompt, instruction, ""))
        answer = min(prompt.max_tokens, self._window // 2)
        room = self._window - frame - answer - _SPARE_TOKENS
        if room < self._window // 8:
            raise QueryError(
                f"{self._name}: the instruction takes {frame} of the {self._window} tokens that this model reads at"
                " once; say it shorter, or put the long part into a document",
                reason="INSTRUCTION_TOO_LONG",
                field="input.text",
            )
        return room

    def generate(self, prompt: Prompt, instruction: str, subject: str) -> Iterator[Piece]:
        """Pieces as they come, at least one."""
        tokens = self._prompt_tokens(prompt, instruction, subject)
        parameters = self._parameters
        stream = self._llama.generate(
            tokens,
            temp=parameters.temperature,
            top_p=parameters.top_p,
            min_p=parameters.min_p,
            repeat_penalty=parameters.repeat_penalty,
        )
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stops = StopWords(parameters.stop)
        limit = min(prompt.max_tokens, self._window - len(tokens))
        for generated in range(limit):
            token = self._next(stream)
            if token is None:
                yield Piece("", "cancelled", len(tokens), generated)
                return
            if self._lib.llama_vocab_is_eog(self._vocabulary, token):
                yield Piece(stops.push(decoder.decode(b"", final=True)) + stops.rest(), "stop", len(tokens), generated)
                return
            text = stops.push(decoder.decode(self._llama.detokenize([token])))
            if stops.met:
                yield Piece(text, "stop", len(tokens), generated + 1)
                return
            if text:
                yield Piece(text)
        yield Piece(stops.push(decoder.decode(b"", final=True)) + stops.rest(), "length", len(tokens), limit)

    def _next(self, stream: Iterator[int]) -> int | None:
        """The next token; None once cancelled."""
        if self._cancelled():
            return None
        try:
            return next(stream)
        except RuntimeError:
            # So llama.cpp's binding says that the abort callback stopped it.
            if self._cancelled():
                return None
            raise

    def _prompt_tokens(self, prompt: Prompt, instruction: str, subject: str) -> list[int]:
        """The template's marks become control tokens; what people wrote never does, whatever it looks like."""
        written = (prompt.system, f"{instruction}\n\n{subject}" if instruction else subject)
        marks = ("\x02system\x03", "\x02request\x03")
        messages: Any = [{"role": role, "content": mark} for role, mark in zip(("system", "user"), marks, strict=True)]
        try:
            rendered = self._formatter(messages=messages).prompt
        except ValueError:
            # Some templates refuse a system message: then it opens the request.
            rendered = self._formatter(messages=[{"role": "user", "content": "\n\n".join(marks)}]).prompt
        tokens: list[int] = []
        for piece in re.split("(\x02(?:system|request)\x03)", rendered):
            if piece in marks:
                tokens += self._tokens(written[marks.index(piece)], special=False)
            elif piece:
                tokens += self._tokens(piece, special=True)
        bos = self._llama.token_bos()
        if self._lib.llama_vocab_get_add_bos(self._vocabulary) and bos >= 0 and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        return self._llama.tokenize(text.encode("utf-8", errors="replace"), add_bos=False, special=special)


class _Reply:
    """One answer in the making: cuts or splits what is too long, counts, passes the pieces on."""

    def __init__(self, model: TextModel, prompt: Prompt, instruction: str, emit: Callable[[str], None]) -> None:
        self._model = model
        self._prompt = prompt
        self._instruction = instruction
        self._emit = emit
        self._said: list[str] = []
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def answer(self, subject: str) -> Answer:
        room = self._model.room(self._prompt, self._instruction)
        long = self._prompt.long
        # A translation is about as long as its original: a part must leave its answer the room.
        limit = min(room, self._prompt.max_tokens * 3 // 4) if long == "join" else room
        parts, share = self._parts(subject, limit, 1 if long == "cut" else self._model.max_parts)
        finish = "stop"
        if long == "merge":
            while len(parts) > 1 and finish != "cancelled":
                answers = []
                for part in parts:
                    piece, finish = self._generate(part, emit=False)
                    answers.append(piece)
                    if finish == "cancelled":
                        break
                # Answers as long as their parts would never come down to one: the second half of each is let go.
                merged, _ = self._parts("\n\n".join(answers), room, max(1, len(parts) // 2))
                parts = merged
        if finish != "cancelled":
            for number, part in enumerate(parts):
                if number:
                    self._say("\n\n")
                _, finish = self._generate(part, emit=True)
                if finish == "cancelled":
                    break
        text = "".join(self._said)
        if share < 1 and finish != "cancelled":
            self._say(
                f"\n\n(The text is longer than this model reads: this covers the first {max(1, int(share * 100))} %.)"
            )
        result = Text(text, finish, self._model.name, self._prompt_tokens, self._generated_tokens)
        return Answer("".join(self._said), result)

    def _generate(self, subject: str, *, emit: bool) -> tuple[str, str]:
        """The text and why it ended."""
        said, finish = "", ""
        for piece in self._model.generate(self._prompt, self._instruction, subject):
            # Models open with a blank or a line break as often as not.
            shown = piece.text if said else piece.text.lstrip()
            said += shown
            if emit and shown:
                self._say(shown)
            finish = piece.finish
            self._prompt_tokens += piece.prompt_tokens
            self._generated_tokens += piece.generated_tokens
        return said, finish

    def _say(self, piece: str) -> None:
        self._said.append(piece)
        self._emit(piece)

    def _parts(self, text: str, limit: int, count: int) -> tuple[list[str], float]:
        """At most `count` parts of at most `limit` tokens, cut between sentences, and the share of the text in them."""
        readable = text[: limit * count * _CHARACTERS_PER_TOKEN]
        whole = max(1, len(text))
        parts, start, end, used = [], 0, 0, 0
        for unit_end in _unit_ends(readable, self._model.count, limit):
            tokens = self._model.count(readable[end:unit_end])
            if used + tokens > limit and end > start:
                parts.append(readable[start:end])
                if len(parts) == count:
                    return parts, end / whole
                start, used = end, 0
            end, used = unit_end, used + tokens
        parts.append(readable[start:end])
        return parts, end / whole


class StopWords:
    """Cuts a stream of text before the first stop word, holding back only what could be the beginning of one."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.met = False

    def push(self, piece: str) -> str:
        """What may be passed on by now."""
        if self.met:
            return ""
        text = self._held + piece
        found = min((at for word in self._words if (at := text.find(word)) >= 0), default=-1)
        if found >= 0:
            self.met, self._held = True, ""
            return text[:found]
        longest = max((len(word) for word in self._words), default=1) - 1
        kept = next(
            (n for n in range(min(longest, len(text)), 0, -1) if any(w.startswith(text[-n:]) for w in self._words)), 0
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What was held back, once nothing follows."""
        held, self._held = self._held, ""
        return held


_LOG_ERROR = 4  # GGML_LOG_LEVEL_ERROR


@functools.cache
def _listen() -> tuple[deque[str], Any]:
    """What llama.cpp last complained of, and the callback that hears it.

    Once per process and cached: llama.cpp calls it for as long as it is loaded, whichever model comes and goes.
    """
    import llama_cpp

    complaints: deque[str] = deque(maxlen=2)

    def hear(level: int, text: bytes, _: Any) -> None:
        if level == _LOG_ERROR:
            complaints.append(text.decode(errors="replace").strip())

    callback = llama_cpp.llama_log_callback(hear)
    llama_cpp.llama_log_set(callback, None)
    return complaints, callback


def _open(file: Path, context_tokens: int, threads: int) -> llama_cpp.Llama:
    """The file as a `llama_cpp.Llama`. Raises: ValueError, RuntimeError, OSError."""
    import llama_cpp

    def load(kind: int) -> llama_cpp.Llama:
        return llama_cpp.Llama(
            str(file),
            n_ctx=context_tokens,
            n_batch=256,
            n_ubatch=128,
            n_threads=threads,
            n_threads_batch=threads,
            type_k=kind,
            type_v=kind,
            flash_attn=True,  # without it, quantised values are not read
            verbose=False,
        )

    with _weights_as_they_lie():
        try:
            # Half the memory of half precision.
            return load(llama_cpp.GGML_TYPE_Q8_0)
        except ValueError:
            # Heads of a width that is no multiple of 32 cannot be quantised.
            return load(llama_cpp.GGML_TYPE_F16)


@contextmanager
def _weights_as_they_lie() -> Iterator[None]:
    """While a model loads: its weights stay mapped, in the order that the file has.

    By default llama.cpp copies most of them into an order that some processors multiply faster by. That doubles the
    memory, none of it shared with a worker that takes this one's place nor given back under pressure, and loading takes
    three times as long. The binding has no argument for it; its defaults do.
    """
    from llama_cpp import llama_cpp as library

    usual = library.llama_model_default_params

    def defaults() -> Any:
        parameters = usual()
        parameters.use_extra_bufts = False
        return parameters

    library.llama_model_default_params = defaults
    try:
        yield
    finally:
        library.llama_model_default_params = usual


def _never() -> bool:
    return False


def _set_apart(query: Query) -> tuple[str, str]:
    """The instruction and what it is about; without a document or a payload the request is its own subject."""
    if query.document is None and query.payload is None:
        return "", query.text
    instruction = query.text
    if query.payload and query.document is None:
        instruction = instruction.replace(query.payload, " ")
    return instruction.strip(" \t\n:;,-–—\"'"), query.subject


def _unit_ends(text: str, count: Callable[[str], int], limit: int) -> Iterator[int]:
    """Offsets after each sentence; after each bit of at most `limit` tokens where a sentence is longer than that."""
    start = 0
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    for end in [*ends, len(text)]:
        while end > start:
            # Every halving leaves a blank at the end where there is one.
            step = min(end, start + limit * _CHARACTERS_PER_TOKEN)
            while count(text[start:step]) > limit and step - start > 1:
                middle = (start + step) // 2
                blank = text.rfind(" ", start + 1, middle)
                step = blank + 1 if blank > start else middle
            yield step
            start = step
