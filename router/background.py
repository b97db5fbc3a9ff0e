"""Requests in general: what people ask that no installed expert may know. The foil that experts are fitted against.

A few hundred clusters of sentence vectors (centre and share) and the covariance within them, fitted by
`expertd.distill.background`; statistics only, no sentence is kept. Drawing from it gives vectors like those of real
requests, as many as needed: outlier exposure (Hendrycks et al., 2019) without shipping the outliers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

BACKGROUND_FILE = "background.safetensors"


@dataclass(frozen=True, eq=False)
class Background:
    """A mixture of Gaussians on the trunk's vectors.

    trunk: the id of the trunk that it was fitted on. centres: float32 (k, d). shares: float32 (k,), sum 1.
    spread: float32 (d, d), lower triangular; spread · spreadᵀ is the covariance within a cluster.
    """

    trunk: str
    centres: Vectors
    shares: Vectors
    spread: Vectors

    @classmethod
    def load(cls, path: Path | None = None) -> Background:
        """The one that is shipped, or that in `path`.

        Raises: ValueError: the file is not a background.
        """
        from safetensors import SafetensorError, safe_open

        path = path or Path(__file__).parent / "data" / BACKGROUND_FILE
        try:
            with safe_open(path, framework="numpy") as file:
                centres = file.get_tensor("centres").astype(np.float32)
                shares = file.get_tensor("shares").astype(np.float32)
                packed = file.get_tensor("spread").astype(np.float32)
                trunk = file.metadata()["trunk"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: not a background model ({error}); make it with expertd.distill.background"
            ) from error
        width = centres.shape[1]
        spread = np.zeros((width, width), np.float32)
        spread[np.tril_indices(width)] = packed
        return cls(trunk, centres, shares, spread)

    def draw(self, count: int, seed: int, without: npt.NDArray[np.bool_] | None = None) -> Vectors:
        """About `count` vectors, float32 (n, d), unit length; the same for the same seed.

        without: (k,), clusters to leave out; their share is not made up for.
        """
        times = np.maximum(np.round(self.shares * count), 1).astype(int)
        if without is not None:
            times[without] = 0
        clusters = np.repeat(np.arange(len(times)), times)
        noise = np.random.default_rng(seed).standard_normal((len(clusters), len(self.spread)), np.float32)
        drawn = self.centres[clusters] + noise @ self.spread.T
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))

    @property
    def directions(self) -> Vectors:
        """The centres at unit length, float32 (k, d)."""
        return np.asarray(self.centres / np.linalg.norm(self.centres, axis=1, keepdims=True))
