"""How well labels fit: accuracy, macro F1, AUROC, calibration error, and what is left unanswered.

The same figures for what is trained here and for anyone's rows in the benches. Knows no expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Calibration error is taken over so many equal bins of the probability (Guo et al., 2017).
BINS = 15

Floats = npt.NDArray[np.floating[Any]]


def figures(labels: Sequence[str], probabilities: Floats, truth: Sequence[str], threshold: float) -> dict[str, float]:
    """What is printed in cards and benches, rounded to four places.

    labels: k names. probabilities: (n, k); rows sum to 1, or to 0 where nothing was said, which is wrong. truth: n
    labels. threshold: what is below it is not answered.

    accuracy, macro_f1, auroc and ece are of every row, whatever the threshold; accuracy_answered of the answered share.
    Where the truth never is some of the labels (a corpus of positive and negative alone), accuracy_among decides among
    those that it is. accuracy_low, accuracy_high: its interval. Of two labels the second is looked for: f1 is its own;
    found and false_alarms are the shares of the second's and of the first's rows that are answered with it. auroc: one
    against the rest, the mean over the labels that the truth is. A figure that the rows do not define is left out.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    wanted = np.array([labels.index(label) for label in truth])
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    present = sorted(set(wanted.tolist()))
    among = np.array(present)[probabilities[:, present].argmax(axis=1)]
    said[sure == 0] = among[sure == 0] = -1
    right, answered = said == wanted, (sure >= threshold) & (sure > 0)
    told = _among(probabilities, present)
    areas = [roc_auc_score(wanted == label, told[:, label]) for label in present] if len(present) > 1 else [np.nan]
    found = {
        "rows": len(wanted),
        "accuracy": right.mean(),
        "macro_f1": f1_score(wanted, said, labels=present, average="macro", zero_division=0.0),
        "auroc": np.mean(areas),
        "ece": calibration_error(sure, right),
        "answered": answered.mean(),
        "accuracy_answered": right[answered].mean() if answered.any() else np.nan,
    }
    found["accuracy_low"], found["accuracy_high"] = interval(int(right.sum()), len(right))
    if len(labels) == 2:
        alarm = answered & (said == 1)
        if 1 in present:
            found["f1"] = f1_score(wanted == 1, said == 1, zero_division=0.0)
        for name, rows in (("found", wanted == 1), ("false_alarms", wanted == 0)):
            if rows.any():
                found[name] = alarm[rows].mean()
    if 1 < len(present) < len(labels):
        found["accuracy_among"] = (among == wanted).mean()
        found["macro_f1_among"] = f1_score(wanted, among, labels=present, average="macro", zero_division=0.0)
    known = {name: float(figure) for name, figure in found.items() if not np.isnan(figure)}
    return {name: int(figure) if name == "rows" else round(figure, 4) for name, figure in known.items()}


def _among(probabilities: Floats, present: Sequence[int]) -> Floats:
    """The probabilities of the labels that occur, among themselves."""
    kept = np.zeros_like(probabilities)
    kept[:, present] = probabilities[:, present]
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))


def calibration_error(sure: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error. sure: (n,), the probability of what was said; right: (n,), whether it was so."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(sum(abs((sure - right)[bins == number].sum()) for number in range(BINS)) / max(len(sure), 1))


def interval(right: int, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Between which shares the truth lies with 95 % confidence, where `right` of `rows` were seen (Wilson, 1927)."""
    share, spread = right / rows, z * z / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = z * ((share * (1 - share) + spread / 4) / rows) ** 0.5 / (1 + spread)
    return middle - reach, middle + reach


def quiet_threshold(probabilities: Floats, truth: npt.NDArray[np.integer[Any]], most_false_alarms: float) -> float:
    """Of two labels: the lowest threshold from 0.5 up, in hundredths, at which no greater share of the first one's rows
    is called the second; 0 where any share is allowed. probabilities: (n, 2)."""
    if most_false_alarms >= 1:
        return 0.0
    alarms = probabilities[truth == 0, 1]
    levels = np.arange(50, 100) / 100
    return float(next((level for level in levels if (alarms >= level).mean() <= most_false_alarms), levels[-1]))


def threshold(
    probabilities: Floats, truth: npt.NDArray[np.integer[Any]], accuracy: float, most_abstained: float
) -> float:
    """The lowest threshold at which what is answered is right as often as `accuracy`, in hundredths.

    Where that would leave more than the share `most_abstained` unanswered, the highest that leaves no more.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    best = 0.0
    for level in np.arange(100) / 100:
        answered = sure >= level
        if answered.mean() < 1 - most_abstained:
            break
        best = float(level)
        if right[answered].mean() >= accuracy:
            break
    return best
