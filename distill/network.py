"""The trunk's encoder in torch, to be trained: written under the names of its weights, as `trunk.build` does in ONNX.

Sentences lie end to end: nothing is spent on padding. Knows nothing about intents, losses or steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expertd.router.encoder import DIMENSIONS

from . import trunk

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor

Array = npt.NDArray[Any]
Ids = list[int]

WORDS = "embeddings.word_embeddings.weight"


class Network:
    """The encoder over sentences that lie end to end. parameters: by the names of the weights' file, query, key and
    value of a layer joined; of the word table only the rows of `words`."""

    def __init__(self, weights: Mapping[str, Array], words: Sequence[int], dropout: float) -> None:
        import torch

        def of(name: str) -> Tensor:
            return torch.from_numpy(np.array(weights[name], np.float32))

        self.dropout = dropout
        self._words = of(WORDS)
        self._rows = torch.tensor(sorted(words))
        self._row_of = torch.full((len(self._words),), -1)
        self._row_of[self._rows] = torch.arange(len(self._rows))
        self.parameters = {WORDS: self._words[self._rows]}
        for name in weights:
            if name.startswith(("embeddings.", "encoder.")) and name != WORDS and "position_ids" not in name:
                if ".self.query." in name:
                    parts = [of(name.replace("query", part)) for part in ("query", "key", "value")]
                    self.parameters[name.replace("self.query", "joined")] = torch.cat(parts)
                elif ".self." not in name:
                    self.parameters[name] = of(name)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)

    def weights(self) -> dict[str, Array]:
        """The parameters under the names and in the shapes of the weights' file."""
        found: dict[str, Array] = {}
        for name, parameter in self.parameters.items():
            values = parameter.detach().numpy()
            if name == WORDS:
                found[name] = self._table().numpy()
            elif ".joined." in name:
                for part, piece in zip(("query", "key", "value"), np.split(values, 3), strict=True):
                    found[name.replace("joined", f"self.{part}")] = piece.copy()
            else:
                found[name] = values.copy()
        return found

    def _table(self) -> Tensor:
        table = self._words.clone()
        table[self._rows] = self.parameters[WORDS].detach()
        return table

    def __call__(self, sentences: Sequence[Ids], table: Tensor | None = None) -> Tensor:
        """Unit vectors (n, 384). With a whole word `table` any word may occur and nothing is dropped."""
        import torch
        from torch.nn import functional

        of = self.parameters
        training = table is None

        def drop(x: Tensor) -> Tensor:
            return functional.dropout(x, self.dropout, training)

        def normalise(x: Tensor, name: str) -> Tensor:
            scale, bias = of[f"{name}.weight"], of[f"{name}.bias"]
            return functional.layer_norm(x, (DIMENSIONS,), scale, bias, trunk.LAYER_NORM_EPSILON)

        def linear(x: Tensor, name: str) -> Tensor:
            return functional.linear(x, of[f"{name}.weight"], of[f"{name}.bias"])

        count, lengths = len(sentences), torch.tensor([len(ids) for ids in sentences])
        longest = int(lengths.max())
        present = torch.arange(longest) < lengths[:, None]
        sentence, place = present.nonzero(as_tuple=True)
        # Only attention sees the sentences side by side, each in a row of its own.
        cell = sentence * longest + place
        ids = torch.tensor([token for ids in sentences for token in ids])
        found = (
            functional.embedding(self._row_of[ids], of[WORDS]) if table is None else functional.embedding(ids, table)
        )
        with torch.autocast("cpu", torch.bfloat16):
            x = found + of["embeddings.position_embeddings.weight"][place]
            x = drop(normalise(x + of["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"))
            for number in range(trunk.LAYERS):
                at = f"encoder.layer.{number}."
                joined = linear(x, at + "attention.joined").float()
                grid = torch.zeros(count * longest, 3 * DIMENSIONS).index_copy(0, cell, joined)
                query, key, value = grid.view(count, longest, 3, trunk.HEADS, -1).permute(2, 0, 3, 1, 4)
                # In bfloat16 its backward pass takes twenty times as long.
                with torch.autocast("cpu", enabled=False):
                    mixed = functional.scaled_dot_product_attention(query, key, value, present[:, None, None])
                mixed = mixed.transpose(1, 2).reshape(count * longest, DIMENSIONS)[cell]
                x = normalise(drop(linear(mixed, at + "attention.output.dense")) + x, at + "attention.output.LayerNorm")
                bent = functional.gelu(linear(x, at + "intermediate.dense"))
                x = normalise(drop(linear(bent, at + "output.dense")) + x, at + "output.LayerNorm")
        total = torch.zeros(count, DIMENSIONS).index_add(0, sentence, x.float())
        return functional.normalize(total, dim=1)

    def encode(self, sentences: Sequence[Ids], batch: int = 128) -> Tensor:
        """Unit vectors (n, 384), without gradients."""
        import torch

        table = self._table()
        order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
        vectors = torch.empty(len(sentences), DIMENSIONS)
        with torch.no_grad():
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                vectors[rows] = self([sentences[row] for row in rows], table)
        return vectors
