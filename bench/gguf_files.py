"""Makes small GGUF files that llama.cpp loads, so that tests and benches need no download.

The model is a llama whose attention and feed-forward weights are zero: what it says next depends on the last token
alone. Its embeddings and output matrix chain the given words one after the other, so what it says is known in
advance: after any prompt it says the words, in order, and stops (or starts again). Its size is free: the zeros are
computed with like any other weight, which makes a model as slow as a test needs it.

    python -m bench.gguf_files FILE [--endless] [--dim 64] [--layers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]

WORDS = ("Here", "is", "a", "short", "answer", "from", "one", "very", "small", "model", "and", "no", "thought.")

# Marks where each message starts and ends; the generated part opens with the assistant's mark.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_FIRST_WORD = 3 + 256 + 1  # after <unk>, <s>, </s>, the 256 bytes and the blank
_EOS = 2
_PULL = 40.0  # of a token on its successor; makes the next best one e^-50 as likely


def write_chain_model(
    path: Path,
    words: Sequence[str] = WORDS,
    *,
    endless: bool = False,
    dim: int = 64,
    layers: int = 2,
    context: int = 4096,
    chat_template: str | None = CHAT_TEMPLATE,
) -> Path:
    """Writes a model that answers everything with `words`, at any temperature below 2.

    words: all different, as the last one decides the next; "<0xC3>" stands for one raw byte. endless: the first follows
    the last. dim: a multiple of 64. The file takes about 9 × dim² × layers bytes, plus 0.2 MB.
    """
    if len(set(words)) < len(words):
        raise ValueError(f"a word stands twice in {' '.join(words)!r}; the chain cannot tell its two successors apart")
    vocabulary, types = _vocabulary(words)
    chain = _chain(words)
    embedding, output = _chained_weights(len(vocabulary), chain, endless=endless, dim=dim)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("chain")
    writer.add_license("Apache-2.0")
    writer.add_vocab_size(len(vocabulary))
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(4 * dim)
    writer.add_head_count(dim // 32)
    writer.add_head_count_kv(dim // 32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary)
    # Bytes and marks score below every word: a longer piece wins.
    writer.add_token_scores([-1e6 if index < _FIRST_WORD else -float(index) for index in range(len(vocabulary))])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    if chat_template is not None:
        writer.add_chat_template(chat_template)

    writer.add_tensor("token_embd.weight", embedding)
    for layer in range(layers):
        for name, rows, columns in (
            ("attn_q", dim, dim),
            ("attn_k", dim, dim),
            ("attn_v", dim, dim),
            ("attn_output", dim, dim),
            ("ffn_gate", 4 * dim, dim),
            ("ffn_up", 4 * dim, dim),
            ("ffn_down", dim, 4 * dim),
        ):
            # A Q4_0 block of 32 weights is a half-precision scale and 16 bytes; scale 0 makes them all 0.
            zeros = np.zeros((rows, columns // 32 * 18), dtype=np.uint8)
            kind = gguf.GGMLQuantizationType.Q4_0
            writer.add_tensor(f"blk.{layer}.{name}.weight", zeros, raw_dtype=kind)
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(dim, dtype=np.float32))
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(dim, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(dim, dtype=np.float32))
    writer.add_tensor("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_slow_model(path: Path) -> Path:
    """A model that never stops by itself: some 37 MB, tens of milliseconds a token, seconds for a long prompt."""
    return write_chain_model(path, endless=True, dim=1024, layers=4)


def _vocabulary(words: Sequence[str]) -> tuple[list[str], list[int]]:
    kinds = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    types = [int(kinds.UNKNOWN), int(kinds.CONTROL), int(kinds.CONTROL), *[int(kinds.BYTE)] * 256, int(kinds.NORMAL)]
    for word in words:
        if _byte(word) is None:
            tokens.append(f"▁{word}")
            types.append(int(kinds.NORMAL))
    return tokens, types


def _chain(words: Sequence[str]) -> list[int]:
    """The token of each word, in order."""
    chain, following = [], _FIRST_WORD
    for word in words:
        byte = _byte(word)
        if byte is None:
            chain.append(following)
            following += 1
        else:
            chain.append(3 + byte)
    return chain


def _byte(word: str) -> int | None:
    return int(word[3:5], 16) if word.startswith("<0x") and word.endswith(">") else None


def _chained_weights(size: int, chain: Sequence[int], *, endless: bool, dim: int) -> tuple[Weights, Weights]:
    """Embeddings (size, dim) and output matrix (size, dim), float32, under which `chain` follows every prompt.

    Dimension 0 is the same for every token and holds the first word up as the usual successor; the others hold a
    random direction per token, along which the output matrix finds its own successor. Directions of two tokens are at
    most about half aligned; the first word's pull lies between that and full alignment.
    """
    random = np.random.default_rng(0)
    embedding = np.zeros((size, dim), dtype=np.float32)
    directions = random.standard_normal((size, dim - 1)).astype(np.float32)
    embedding[:, 1:] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    embedding[:, 0] = 1.0
    output = np.zeros((size, dim), dtype=np.float32)
    output[chain[0], 0] = 0.75 * _PULL
    successors = [*chain[1:], chain[0] if endless else _EOS]
    for token, successor in zip(chain, successors, strict=True):
        output[successor, 1:] += _PULL * embedding[token, 1:]
    return embedding, output


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a small GGUF file whose answer is known in advance.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--endless", action="store_true", help="never stop by itself")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    arguments = parser.parse_args()
    path = write_chain_model(arguments.file, endless=arguments.endless, dim=arguments.dim, layers=arguments.layers)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
