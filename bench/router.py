"""How well the router decides, on CLINC150 full: right intent, out-of-scope found, confidence that means what it says.

    python -m bench.router [--split val] [--trunk DIR]

Every choice was made on the validation rows; the test rows are for the figures. The background is fitted anew here,
without any CLINC150 row (`without out-of-scope rows`) or with its 100 out-of-scope training rows beside the others,
since the shipped one has seen CLINC150's training rows. The peer is scikit-learn's logistic regression on the same
vectors, its energy as the out-of-scope score.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.distill import background as backgrounds
from expertd.router.background import Background
from expertd.router.encoder import Encoder, pinned
from expertd.router.head import log_sum_exp, softmax
from expertd.router.index import Intent, RouteIndex

from .report import OUT, data_folder, percentiles, report

Array = npt.NDArray[Any]


def auroc(inside: Array, outside: Array) -> float:
    """Chance that a request in scope scores above one that is not."""
    order = np.concatenate([inside, outside]).argsort(kind="stable").argsort(kind="stable") + 1
    return float((order[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def calibration_error(confidence: Array, right: Array, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al., 2017)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean() for b in np.unique(place)
    ]
    return float(np.sum(gaps))


def encoded(encoder: Encoder, texts: list[str], name: str) -> Array:
    """Vectors, kept between runs."""
    path = OUT / f"vectors-{name}-{encoder.id[:12]}.npy"
    if path.is_file() and len(kept := np.load(path)) == len(texts):
        return kept
    print(f"encoding {len(texts):,} sentences of {name}", flush=True)
    vectors = encoder.encode(texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def background_from(encoder: Encoder, vectors: Array, clusters: int) -> Background:
    return Background(encoder.id, *backgrounds.fit(vectors, clusters))


def judge(index: RouteIndex, inside: Array, truth: list[str], outside: Array) -> dict[str, Any]:
    """Every request decided one at a time, as a daemon would."""
    told, strangers = [index.explain(v) for v in inside], [index.explain(v) for v in outside]
    right = np.array([item.decision.intent == name for item, name in zip(told, truth, strict=True)])
    rejected = np.array([item.decision.verdict == "titan" for item in told])
    found = np.array([item.decision.verdict == "titan" for item in strangers])
    scores, far = (np.array([item.score for item in part]) for part in (told, strangers))
    among = np.array([item.decision.confidence / max(item.in_scope, 1e-9) for item in told])
    overall = np.array([item.decision.confidence for item in (*told, *strangers)])
    return {
        "inscope_acc": round(float(right.mean()), 4),
        "inscope_rejected": round(float(rejected.mean()), 4),
        "inscope_clarify": round(float(np.mean([item.decision.verdict == "clarify" for item in told])), 4),
        "oos_recall": round(float(found.mean()), 4),
        "joint_acc": round(float(np.append(right & ~rejected, found).mean()), 4),
        "auroc": round(auroc(scores, far), 4),
        "fpr95": round(float((far >= np.quantile(scores, 0.05)).mean()), 4),
        "ece15": round(calibration_error(among, right), 4),
        "ece15_overall": round(calibration_error(overall, np.append(right, np.zeros(len(far), bool))), 4),
    }


def main() -> None:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "expertd" / "trunk"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--trunk", type=Path, default=state, metavar="DIR", help="where trunks are kept")
    options = parser.parse_args()
    data = data_folder()
    encoder = Encoder.open(options.trunk, threads=os.cpu_count() or 1)
    with gzip.open(data / "clinc150" / "data_full.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    vectors = encoded(encoder, [row["text"] for row in rows], "clinc150")
    others = encoded(encoder, backgrounds.sentences(data, leave_out="clinc150"), "others")
    split = np.array([row["split"] for row in rows])
    names = np.array([row["intent"] for row in rows])
    texts = np.array([row["text"] for row in rows], object)

    train = np.flatnonzero(split == "train")
    train = train[np.argsort(names[train], kind="stable")]
    intents = [
        Intent(str(name), str(name), tuple(texts[train[names[train] == name]])) for name in np.unique(names[train])
    ]
    inside, truth, outside = (
        vectors[split == options.split],
        names[split == options.split],
        vectors[split == f"oos_{options.split}"],
    )
    figures: dict[str, Any] = {}
    kinds = {
        "clinc_full": np.vstack([others, vectors[split == "oos_train"]]),
        "clinc_full_without_oos_rows": others,
    }
    for kind, foil in kinds.items():
        background = background_from(encoder, foil, 200)
        began = time.perf_counter()
        index = RouteIndex.fit(intents, vectors[train], background)
        figures[f"{kind}_fit_s"] = round(time.perf_counter() - began, 1)
        figures |= {f"{kind}_{name}": value for name, value in judge(index, inside, list(truth), outside).items()}

    deciding, encoding = [], []
    one = Encoder.open(options.trunk)
    for number, vector in enumerate(inside[:2000]):
        began = time.perf_counter()
        index.decide(vector)
        deciding.append(time.perf_counter() - began)
        began = time.perf_counter()
        one.encode([texts[split == options.split][number]] if number < 300 else ["what time is it in Lisbon"])
        encoding.append(time.perf_counter() - began)
    figures |= {f"decide_150_intents_{name}": value for name, value in percentiles(deciding).items()}
    figures |= {f"encode_{name}": value for name, value in percentiles(encoding[:300]).items()}

    from sklearn.linear_model import LogisticRegression

    began = time.perf_counter()
    peer = LogisticRegression(C=10.0, max_iter=300).fit(vectors[train], names[train])
    took = time.perf_counter() - began
    near, far = peer.decision_function(inside), peer.decision_function(outside)
    right = peer.classes_[near.argmax(axis=1)] == truth
    energy, far_energy = log_sum_exp(near), log_sum_exp(far)
    report(
        "router",
        figures,
        peers={
            "sklearn_logistic_fit_s": round(took, 1),
            "sklearn_logistic_inscope_acc": round(float(right.mean()), 4),
            "sklearn_logistic_auroc": round(auroc(energy, far_energy), 4),
            "sklearn_logistic_ece15": round(calibration_error(softmax(near).max(axis=1), right), 4),
            "sklearn_logistic_fpr95": round(float((far_energy >= np.quantile(energy, 0.05)).mean()), 4),
        },
        notes=(
            f"CLINC150 full, {options.split} rows: {len(inside):,} in scope, {len(outside):,} out of scope; "
            f"trunk {pinned().name} int8, {encoder.id[:12]}",
            "each intent is an expert of its own; reject_in_scope 0.03; the same vectors for the peer",
        ),
    )


if __name__ == "__main__":
    main()
