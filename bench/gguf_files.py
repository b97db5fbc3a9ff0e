"""Makes GGUF files that llama.cpp loads, so that tests and benches need no download.

A chain model is a small llama whose attention and feed-forward weights are zero: what it says next depends on the last
token alone. Its embeddings and output matrix chain the given words one after the other, so what it says is known in
advance: after any prompt it says the words, in order, and stops (or starts again). Its size is free: the zeros are
computed with like any other weight, which makes a model as slow as a test needs it. An adapter (LoRA) has it begin with
another of its words. A random model has the shape and the quantisation of a real one, and says random words: for memory
and speed, and for what must hold whatever a model says.

    python -m bench.gguf_files FILE [--endless] [--dim 64] [--layers 2] [--random | --adapter WORD]
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
    _add_tokenizer(writer, vocabulary, types, chat_template)

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


def write_adapter(
    path: Path, opening: str, words: Sequence[str] = WORDS, *, dim: int = 64, architecture: str = "llama"
) -> Path:
    """Writes a LoRA for the chain model of these words and this `dim`: with it, the answer begins with `opening`."""
    vocabulary, _ = _vocabulary(words)
    down, up = np.zeros((1, dim), dtype=np.float32), np.zeros((len(vocabulary), 1), dtype=np.float32)
    # Stronger than the usual successor's pull, weaker than that of a word on its own.
    down[0, 0], up[_chain(words)[list(words).index(opening)], 0] = 1.0, 0.8 * _PULL

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string(gguf.Keys.General.TYPE, "adapter")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 1.0)
    writer.add_tensor("output.weight.lora_a", down)
    writer.add_tensor("output.weight.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_slow_model(path: Path) -> Path:
    """A model that never stops by itself: some 37 MB, tens of milliseconds a token, seconds for a long prompt."""
    return write_chain_model(path, endless=True, dim=1024, layers=4)


def write_random_model(
    path: Path,
    *,
    layers: int = 28,
    dim: int = 1536,
    feed_forward: int = 8960,
    heads: int = 12,
    heads_kv: int = 2,
    vocabulary: int = 151_936,
    context: int = 32_768,
    seed: int = 0,
) -> Path:
    """Writes a qwen2 with random weights; as it stands, the shape of Qwen2.5-1.5B in the mix Q4_K_M, 1.1 GB.

    In that mix the output and, in half of the layers, two matrices are Q6_K, all others Q4_K. dim, feed_forward:
    multiples of 256.
    """
    random = np.random.default_rng(seed)
    tokens, types = _vocabulary([f"w{number}" for number in range(vocabulary - _FIRST_WORD)])
    quantised = gguf.GGMLQuantizationType
    per_head = dim // heads
    matrices = {
        "attn_q": (dim, dim), "attn_k": (heads_kv * per_head, dim), "attn_v": (heads_kv * per_head, dim),
        "attn_output": (dim, dim), "ffn_gate": (feed_forward, dim), "ffn_up": (feed_forward, dim),
        "ffn_down": (dim, feed_forward),
    }  # fmt: skip
    ones = {"attn_norm": dim, "ffn_norm": dim}
    zeros = {"attn_q.bias": dim, "attn_k.bias": heads_kv * per_head, "attn_v.bias": heads_kv * per_head}

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("random")
    writer.add_license("Apache-2.0")
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    _add_tokenizer(writer, tokens, types, CHAT_TEMPLATE)

    # What is written, in order; the tables come before the data, and the data is never in memory whole.
    tensors: list[tuple[str, tuple[int, int], gguf.GGMLQuantizationType]] = []
    tensors.append(("token_embd.weight", (vocabulary, dim), quantised.Q4_K))
    tensors.append(("output.weight", (vocabulary, dim), quantised.Q6_K))
    for layer in range(layers):
        eighth = layers // 8
        finer = layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
        for name, shape in matrices.items():
            kind = quantised.Q6_K if finer and name in {"attn_v", "ffn_down"} else quantised.Q4_K
            tensors.append((f"blk.{layer}.{name}.weight", shape, kind))
        tensors += [(f"blk.{layer}.{name}.weight", (1, size), quantised.F32) for name, size in ones.items()]
        tensors += [(f"blk.{layer}.{name}", (0, size), quantised.F32) for name, size in zeros.items()]
    tensors.append(("output_norm.weight", (1, dim), quantised.F32))
    for name, (rows, columns), kind in tensors:
        if kind is quantised.F32:
            writer.add_tensor_info(name, (columns,), np.dtype(np.float32), 4 * columns)
        else:
            block = _BLOCK_BYTES[kind]
            row = columns // 256 * block
            writer.add_tensor_info(name, (rows, row), np.dtype(np.uint8), rows * row, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, (rows, columns), kind in tensors:
        if kind is quantised.F32:
            writer.write_tensor_data(np.full(columns, rows, np.float32))
        else:
            writer.write_tensor_data(_random_blocks(random, rows, columns, kind))
    writer.close()
    return path


_BLOCK_BYTES = {gguf.GGMLQuantizationType.Q4_K: 144, gguf.GGMLQuantizationType.Q6_K: 210}


def _random_blocks(
    random: np.random.Generator, rows: int, columns: int, kind: gguf.GGMLQuantizationType
) -> npt.NDArray[np.uint8]:
    """(rows, bytes) of random weights, about 0 on average, of a spread that keeps activations in bounds."""
    size = _BLOCK_BYTES[kind]
    blocks = np.frombuffer(random.bytes(rows * columns // 256 * size), np.uint8).reshape(-1, size).copy()
    # Of 256 weights: in Q4_K two half-precision scales come first, in Q6_K one comes last.
    if kind is gguf.GGMLQuantizationType.Q4_K:
        # weight = scale × (0…63) × (0…15) − least × (0…63)
        scale = columns**-0.5 / 256
        blocks[:, :4] = np.array([scale, 7.5 * scale], np.float16).view(np.uint8)
    else:
        # weight = scale × (−128…127) × (−32…31)
        blocks[:, -2:] = np.array([columns**-0.5 / 1024], np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


def _vocabulary(words: Sequence[str]) -> tuple[list[str], list[int]]:
    kinds = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    types = [int(kinds.UNKNOWN), int(kinds.CONTROL), int(kinds.CONTROL), *[int(kinds.BYTE)] * 256, int(kinds.NORMAL)]
    for word in words:
        if _byte(word) is None:
            tokens.append(f"▁{word}")
            types.append(int(kinds.NORMAL))
    return tokens, types


def _add_tokenizer(
    writer: gguf.GGUFWriter, vocabulary: Sequence[str], types: Sequence[int], chat_template: str | None
) -> None:
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
    parser = argparse.ArgumentParser(
        description="Writes a GGUF file: a small one whose answer is known in advance, or a random one."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--endless", action="store_true", help="never stop by itself")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--random", action="store_true", help="the shape of a real model of 1.5 billion weights")
    parser.add_argument("--adapter", metavar="WORD", help="an adapter for the small one, which then begins with WORD")
    arguments = parser.parse_args()
    if arguments.random:
        path = write_random_model(arguments.file)
    elif arguments.adapter:
        path = write_adapter(arguments.file, arguments.adapter, dim=arguments.dim)
    else:
        path = write_chain_model(arguments.file, endless=arguments.endless, dim=arguments.dim, layers=arguments.layers)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
