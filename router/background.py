"""Requests in general: what people ask that no installed expert may know. The foil that experts are fitted against.

A few hundred clusters of sentence features (centre and share) and the covariance within them, fitted by
`expertd.distill.background`; statistics only, no sentence is kept. Drawing from it gives features like those of real
requests, as many as needed: outlier exposure (Hendrycks et al., 2019) without shipping the outliers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .encoder import vectors

Vectors = npt.NDArray[np.float32]

BACKGROUND_FILE = "background.safetensors"


@dataclass(frozen=True, eq=False)
class Background:
    """A mixture of Gaussians on the trunk's features, see `Encoder.features`.

    trunk: the id of the trunk that it was fitted on. centres: float32 (k, d). shares: float32 (k,), sum 1.
    spread: float32 (r, d), noise: float32 (d,); spreadᵀ · spread + diag(noise²) is the covariance within a cluster.
    """

    trunk: str
    centres: Vectors
    shares: Vectors
    spread: Vectors
    noise: Vectors

    @classmethod
    def load(cls, path: Path | None = None) -> Background:
        """The one that is shipped, or that in `path`.

        Raises: ValueError: the file is not a background.
        """
        from safetensors import SafetensorError, safe_open

        path = path or Path(__file__).parent / "data" / BACKGROUND_FILE
        try:
            with safe_open(path, framework="numpy") as file:
                parts = [file.get_tensor(name).astype(np.float32) for name in ("centres", "shares", "spread", "noise")]
                trunk = file.metadata()["trunk"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: not a background model ({error}); make it with expertd.distill.background"
            ) from error
        return cls(trunk, *parts)

    def draw(self, count: int, seed: int, without: npt.NDArray[np.bool_] | None = None) -> Vectors:
        """About `count` rows of features, float32 (n, d); the same for the same seed.

        without: (k,), clusters to leave out; their share is not made up for.
        """
        times = np.maximum(np.round(self.shares * count), 1).astype(int)
        if without is not None:
            times[without] = 0
        clusters = np.repeat(np.arange(len(times)), times)
        random = np.random.default_rng(seed)
        along = random.standard_normal((len(clusters), len(self.spread)), np.float32) @ self.spread
        around = random.standard_normal((len(clusters), len(self.noise)), np.float32) * self.noise
        return np.asarray(self.centres[clusters] + along + around)

    def joined(self, features: Vectors, share: float = 0.3) -> Background:
        """With requests that are known to be out of scope: float32 (n, d), each the centre of a cluster of its own.

        share: what they weigh together.
        """
        if not len(features):
            return self
        shares = np.append(self.shares * (1 - share), np.full(len(features), share / len(features)))
        return replace(self, centres=np.vstack([self.centres, features]), shares=shares.astype(np.float32))

    @property
    def directions(self) -> Vectors:
        """The centres' sentence vectors, float32 (k, 384), unit length."""
        return vectors(self.centres)
