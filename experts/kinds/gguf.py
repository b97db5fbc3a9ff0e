"""The kind `gguf`: a text model that reads a GGUF file with llama.cpp, one request at a time.

Importing this module is cheap; llama.cpp itself is loaded by `TextModel`, in the worker's process alone. Knows nothing
of that process, of queues or of the wire.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError, QueryError, UnavailableError
from ..values import Abstention, Outcome, Query
from . import prompting, sampling
from .prompting import Brief, TextParameters
from .replies import Filling, Piece, Reply, StopWords

if TYPE_CHECKING:
    import llama_cpp

_SPARE_TOKENS = 8  # for marks that a template adds between a cut text and what follows

# For models that bring no template of their own.
_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)


class TextModel:
    """A model in memory. Not for several threads at a time."""

    def __init__(
        self,
        file: Path,
        parameters: TextParameters,
        *,
        name: str,
        adapter: Path | None = None,
        context_tokens: int = 4096,
        max_tokens: int = 512,
        threads: int = 2,
    ) -> None:
        """Loads it. name: what answers say they come from. adapter: a LoRA (Hu et al., 2021) as GGUF, applied to it.
        max_tokens: of one answer, whatever a prompt allows.

        Raises: UnavailableError BAD_MODEL when llama.cpp cannot load the file, BAD_ADAPTER when the adapter is not one
        of this model; BundleError when the grammar is none.
        """
        import llama_cpp
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        if any(prompt.fills_in for prompt in parameters.prompts.values()):
            import jsonschema  # noqa: F401  what an answer will need: where it is missing, that is told now

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
        if adapter is not None:
            complaints.clear()
            if not _adapt(self._llama, adapter):
                raise UnavailableError(
                    f"{name}: {adapter.name} is no adapter of this model ({'; '.join(complaints)}); pull the model that"
                    " the bundle names, or bring an adapter that was trained on this one",
                    reason="BAD_ADAPTER",
                )
        llama_cpp.llama_set_abort_callback(self._llama.ctx, self._abort, None)
        # Beyond what it was trained on, a model rambles.
        self._window: int = min(self._llama.n_ctx(), llama_cpp.llama_model_n_ctx_train(self._llama.model))
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(self._llama.model)
        sampling.constrain(self._llama, self._vocabulary)
        if parameters.grammar and (problem := self._misread(parameters.grammar)):
            raise BundleError(f"{name}: expert.toml [parameters]: grammar is no GBNF that llama.cpp reads ({problem})")
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
        brief = prompting.brief(self._parameters, query, name=self._name, max_tokens=self._max_tokens)
        if isinstance(brief, Abstention):
            return brief
        self._cancelled = cancelled
        try:
            if brief.schema is not None:
                return Filling(self, brief, brief.schema, emit).answer()
            return Reply(self, brief, emit).answer()
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

    def room(self, brief: Brief) -> int:
        """Tokens of subject that fit beside the rest of the brief and its answer.

        Raises: QueryError when hardly any do.
        """
        frame = len(self._prompt_tokens(brief, ""))
        answer = min(brief.max_tokens, self._window // 2)
        room = self._window - frame - answer - _SPARE_TOKENS
        if room < self._window // 8:
            what = "the instruction takes" if brief.schema is None else "the instruction and the schema take"
            raise QueryError(
                f"{self._name}: {what} {frame} of the {self._window} tokens that this model reads at once; say it"
                " shorter, or put the long part into a document",
                reason="INSTRUCTION_TOO_LONG",
                field="input.text",
            )
        return room

    def generate(self, brief: Brief, subject: str) -> Iterator[Piece]:
        """Pieces as they come, at least one. subject: in the place of the brief's."""
        from llama_cpp.llama_grammar import LlamaGrammar

        tokens = self._prompt_tokens(brief, subject)
        parameters = self._parameters
        grammar = parameters.grammar
        if brief.schema is not None:
            grammar = brief.schema.grammar
            if problem := self._misread(grammar):
                raise QueryError(
                    f"schema: llama.cpp does not read its grammar ({problem}); ask for less at a time",
                    reason="BAD_SCHEMA",
                    field="input.schema",
                )
        stream = self._llama.generate(
            tokens,
            temp=parameters.temperature,
            top_p=parameters.top_p,
            min_p=parameters.min_p,
            repeat_penalty=parameters.repeat_penalty,
            grammar=LlamaGrammar.from_string(grammar) if grammar else None,
        )
        decoder = AsGrammarsRead() if grammar else codecs.getincrementaldecoder("utf-8")("replace")
        stops = StopWords(parameters.stop)
        limit = min(brief.max_tokens, self._window - len(tokens))
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

    def _misread(self, grammar: str) -> str:
        """Why llama.cpp does not read the grammar; "": it does. The binding would go on with what is none."""
        complaints, _ = _listen()
        complaints.clear()
        sampler = self._lib.llama_sampler_init_grammar(self._vocabulary, grammar.encode(), b"root")
        if not sampler:
            return "; ".join(complaints) or "it does not say why"
        self._lib.llama_sampler_free(sampler)
        return ""

    def _prompt_tokens(self, brief: Brief, subject: str) -> list[int]:
        """The template's marks become control tokens; what people wrote never does, whatever it looks like."""
        written = (brief.system, f"{brief.instruction}\n\n{subject}" if brief.instruction else subject)
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


class AsGrammarsRead(codecs.IncrementalDecoder):
    """Bytes as llama.cpp's grammars read them, which take more for UTF-8 than is: "\\xc0\\xa2" for a quotation mark.

    A text that is read in another way than it was constrained is not the text that the grammar let pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held = b""

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
        data = self._held + data
        letters, start = [], 0
        while start < len(data):
            lead = data[start]
            length = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            if start + length > len(data):
                if final:
                    letters.append("\ufffd")
                    start = len(data)
                break
            code = lead if length == 1 else lead & 0xFF >> length + 1
            for byte in data[start + 1 : start + length]:
                code = code << 6 | byte & 0x3F
            sound = code < 0xD800 or 0xE000 <= code < 0x110000
            letters.append(chr(code) if sound and not 0x80 <= lead < 0xC0 else "\ufffd")
            start += length
        self._held = data[start:]
        return "".join(letters)


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


def _adapt(llama: llama_cpp.Llama, file: Path) -> bool:
    """Applies an adapter; whether it is one of this model.

    Not by the binding's own argument for it: that would have every weight of the model in memory of its own.
    """
    import llama_cpp

    adapter = llama_cpp.llama_adapter_lora_init(llama.model, str(file).encode())
    if not adapter:
        return False
    # It is freed with the model.
    adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
    return bool(llama_cpp.llama_set_adapters_lora(llama.ctx, adapters, 1, (ctypes.c_float * 1)(1.0)) == 0)


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
