"""How words are drawn under a grammar: first without it, and with it only where it refuses what was drawn.

To hold one token against a grammar costs nothing; to hold the whole vocabulary against it, as llama.cpp's binding has
it done for every word, costs more than the model's own step. llama.cpp's programs draw in this way too (its file
`common/sampling.cpp`). The text so drawn keeps the grammar all the same.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import llama_cpp

# llama_token_data, as llama.cpp lays it out.
_TOKEN = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)


class GrammarSampler:
    """In the place of the binding's own sampler, for one answer."""

    def __init__(self, usual: Any, vocabulary: Any, grammar: str) -> None:
        """usual: the binding's sampler, without a grammar. Raises: ValueError: llama.cpp does not read the grammar."""
        import llama_cpp

        self._lib = llama_cpp
        self._usual = usual
        self._grammar = llama_cpp.llama_sampler_init_grammar(vocabulary, grammar.encode(), b"root")
        if not self._grammar:
            raise ValueError("llama.cpp does not read this grammar")
        self._ids = np.arange(llama_cpp.llama_vocab_n_tokens(vocabulary), dtype=np.intc)

    def sample(self, context: Any, place: int = -1) -> int:
        """The next token, drawn from the logits of `place`, and counted as said.

        Raises: RuntimeError: the model has no token that goes on under the grammar.
        """
        size = len(self._ids)
        logits = np.ctypeslib.as_array(self._lib.llama_get_logits_ith(context.ctx, place), shape=(size,))
        candidates = np.zeros(size, _TOKEN)
        candidates["id"], candidates["logit"] = self._ids, logits
        token = self._draw(candidates)
        alone = np.array([(token, 1.0, 0.0)], _TOKEN)
        self._apply(self._grammar, alone)
        if np.isneginf(alone["logit"][0]):
            candidates["id"], candidates["logit"], candidates["p"] = self._ids, logits, 0.0
            self._apply(self._grammar, candidates)
            if np.isneginf(candidates["logit"]).all():
                # llama.cpp would end the process over what is drawn now.
                raise RuntimeError("the grammar wants a letter that this model has no token for")
            token = self._draw(candidates)
        self._usual.accept(token)
        self._lib.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        if self._grammar:
            self._lib.llama_sampler_free(self._grammar)
            self._grammar = None

    def __del__(self) -> None:
        self.close()

    def _draw(self, candidates: np.ndarray[Any, Any]) -> int:
        chosen = self._apply(self._usual.sampler, candidates)
        return int(chosen.data[chosen.selected].id)

    def _apply(self, sampler: Any, candidates: np.ndarray[Any, Any]) -> llama_cpp.llama_token_data_array:
        array = self._lib.llama_token_data_array(
            data=candidates.ctypes.data_as(self._lib.llama_token_data_p),
            size=len(candidates),
            selected=-1,
            sorted=False,
        )
        self._lib.llama_sampler_apply(sampler, ctypes.byref(array))
        return array


def constrain(llama: llama_cpp.Llama, vocabulary: Any) -> None:
    """Has a model draw so whenever a grammar is given. A binding that asks for its samplers otherwise goes on as it is
    used to: slower, and under the grammar too."""
    held: Any = llama
    usual = held._init_sampler

    def sampler(*arguments: Any, **named: Any) -> Any:
        grammar = named.pop("grammar", None)
        made = usual(*arguments, **named)
        if grammar is None:
            return made
        return GrammarSampler(made, vocabulary, grammar._grammar)

    held._init_sampler = sampler
