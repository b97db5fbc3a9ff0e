"""How well the router decides: right intent, out-of-scope found, confidence that means what it says.

    python -m bench.router [--only clinc_full,banking77] [--trunk DIR]
    python -m bench.router --train A.jsonl [--valid B.jsonl] --test C.jsonl [--oos D.jsonl]

The first form measures CLINC150 and BANKING77; every choice was made on validation rows, the test rows are for the
figures. The background is fitted anew here, without any row of the data set that is measured, since the shipped one has
seen their training rows; where a data set has out-of-scope rows for training, it is measured with and without them.

The second form measures anyone's rows, {"text", "intent"}, plain or gzipped, with the background that is shipped. A row
whose intent is "oos", or one that the training rows do not have, is out of scope; so is every row of --oos.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.distill import background as backgrounds
from expertd.router.background import Background
from expertd.router.decision import Intent
from expertd.router.encoder import Encoder, vectors
from expertd.router.fitting import Labelled
from expertd.router.head import log_sum_exp, softmax
from expertd.router.index import RouteIndex
from expertd.router.spelling import Lexicon, Speller

from .report import OUT, ROOT, data_folder, open_encoder, percentiles, report, trunk_folder

Array = npt.NDArray[Any]

OUT_OF_SCOPE = "oos"
# As the daemon does.
REJECT_IN_SCOPE = 0.05
# A trunk that `expertd.distill.finetune` made of CLINC150's training rows, if there is one.
FINETUNED = ROOT / "build" / "finetuned" / "clinc_full"
NOISY_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Rows:
    """Sentences and their intents, "oos" where no intent is right."""

    texts: list[str] = field(default_factory=list)
    intents: list[str] = field(default_factory=list)

    def where(self, wanted: Callable[[str], bool]) -> Rows:
        kept = [(text, intent) for text, intent in zip(self.texts, self.intents, strict=True) if wanted(intent)]
        return Rows([text for text, _ in kept], [intent for _, intent in kept])


@dataclass(frozen=True, slots=True)
class Split:
    """One data set. Rows of `train` without an intent are for the background; of the others, out of scope."""

    name: str
    train: Rows
    valid: Rows
    test: Rows


# --- Data ------------------------------------------------------------------------------------------------------------


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
            raise SystemExit(f'{path} line {number}: every row needs a "text" that is not empty')
    return rows


def rows_of(found: Sequence[dict[str, Any]], intent: str | None = None) -> Rows:
    return Rows([row["text"] for row in found], [intent or str(row.get("intent") or OUT_OF_SCOPE) for row in found])


def clinc150(folder: Path, file: str, name: str) -> Split:
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for row in read(folder / "clinc150" / file):
        parts[row["split"].removeprefix("oos_")].append(row)
    return Split(name, rows_of(parts["train"]), rows_of(parts["val"]), rows_of(parts["test"]))


def banking77(folder: Path, file: str, name: str) -> Split:
    home = folder / "banking77"
    return Split(name, rows_of(read(home / file)), Rows(), rows_of(read(home / "test.jsonl")))


SETS: dict[str, Callable[[Path], Split]] = {
    "clinc_full": lambda data: clinc150(data, "data_full.jsonl.gz", "clinc_full"),
    "clinc_small": lambda data: clinc150(data, "data_small.jsonl", "clinc_small"),
    "clinc_imbalanced": lambda data: clinc150(data, "data_imbalanced.jsonl", "clinc_imbalanced"),
    "clinc_oos_plus": lambda data: clinc150(data, "data_oos_plus.jsonl.gz", "clinc_oos_plus"),
    "banking77": lambda data: banking77(data, "train.jsonl", "banking77"),
    "banking77_10shot": lambda data: banking77(data, "fewshot10_train.jsonl", "banking77_10shot"),
    "banking77_5shot": lambda data: banking77(data, "fewshot5_train.jsonl", "banking77_5shot"),
}


class Reader:
    """Sentences → features, each sentence encoded once and kept between runs."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._path = OUT / f"features-{encoder.id[:12]}.npz"
        self._rows: dict[str, int] = {}
        self._features = np.zeros((0, 1536), np.float16)
        if self._path.is_file():
            with np.load(self._path) as kept:
                texts = json.loads(kept["texts"].tobytes())
                self._features = kept["features"]
            self._rows = {text: row for row, text in enumerate(texts)}

    def features(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if missing:
            print(f"encoding {len(missing):,} sentences", flush=True)
            self._rows |= {text: len(self._rows) + row for row, text in enumerate(missing)}
            self._features = np.vstack([self._features, self.encoder.features(missing).astype(np.float16)])
            OUT.mkdir(parents=True, exist_ok=True)
            names = np.frombuffer(json.dumps(list(self._rows)).encode(), np.uint8)
            np.savez(self._path, texts=names, features=self._features)
        return np.asarray(self._features[[self._rows[text] for text in texts]], np.float32).reshape(-1, 1536)


# --- Judging ---------------------------------------------------------------------------------------------------------


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


def judge(index: RouteIndex, inside: Array, truth: Sequence[str], outside: Array) -> dict[str, Any]:
    """Every request decided one at a time by the whole cascade, as a daemon would."""
    told, strangers = (
        [index.explain(row.astype(np.float32), neighbours=0) for row in rows] for rows in (inside, outside)
    )
    right = np.array([item.decision.intent == name for item, name in zip(told, truth, strict=True)])
    encoder_right = np.array(
        [item.tiers[2].candidates[0].intent == name for item, name in zip(told, truth, strict=True)]
    )
    rejected = np.array([item.decision.verdict == "titan" for item in told])
    static = np.array([item.tiers[1].answered for item in told])
    scores = np.array([item.in_scope for item in told])
    among = np.array([
        item.tiers[1 if item.tiers[1].answered else 2].candidates[0].confidence
        / max(item.tiers[1 if item.tiers[1].answered else 2].in_scope, 1e-9)
        for item in told
    ])  # fmt: skip
    # The set that the encoder tier offers; what the static tier is sure of, it offers alone.
    offered = [{item.decision.intent, *(other.intent for other in item.decision.alternatives)} for item in told]
    figures = {
        "inscope_acc": right.mean(),
        "inscope_rejected": rejected.mean(),
        "inscope_clarify": np.mean([item.decision.verdict == "clarify" for item in told]),
        "ece15": calibration_error(among, right),
        "conformal_coverage": np.mean([name in names for names, name in zip(offered, truth, strict=True)]),
        "conformal_set_size": np.mean([len(names) for names in offered]),
        "static_share": static.mean(),
        "static_acc": right[static].mean() if static.any() else 0.0,
        "encoder_acc_where_static_answers": encoder_right[static].mean() if static.any() else 0.0,
        "encoder_acc_where_asked": right[~static].mean() if not static.all() else 0.0,
        "static_alone_acc": np.mean(
            [item.tiers[1].candidates[0].intent == name for item, name in zip(told, truth, strict=True)]
        ),
    }
    if strangers:
        found = np.array([item.decision.verdict == "titan" for item in strangers])
        far = np.array([item.in_scope for item in strangers])
        overall = np.array([item.decision.confidence for item in (*told, *strangers)])
        figures |= {
            "oos_recall": found.mean(),
            "oos_recall_at_5pct": (far < np.quantile(scores, 0.05)).mean(),
            "joint_acc": np.append(right & ~rejected, found).mean(),
            "auroc": auroc(scores, far),
            "fpr95": (far >= np.quantile(scores, 0.05)).mean(),
            "ece15_overall": calibration_error(overall, np.append(right, np.zeros(len(far), bool))),
            "static_kept_oos": np.mean([item.tiers[1].answered for item in strangers]),
        }
    return {name: round(float(value), 4) for name, value in figures.items()}


def fitted(split: Split, reader: Reader, background: Background, reject: float) -> tuple[RouteIndex, float]:
    """The index and the seconds that its fit took."""
    train = split.train.where(lambda intent: intent != OUT_OF_SCOPE)
    order = sorted(range(len(train.texts)), key=lambda row: train.intents[row])
    names = sorted(set(train.intents))
    by_intent: dict[str, list[str]] = {name: [] for name in names}
    for row in order:
        by_intent[train.intents[row]].append(train.texts[row])
    intents = [Intent(name, name, tuple(texts)) for name, texts in by_intent.items()]
    validation = None
    if split.valid.texts:
        place = {name: number for number, name in enumerate(names)}
        labels = np.array([place.get(intent, -1) for intent in split.valid.intents], np.int32)
        validation = Labelled(reader.features(split.valid.texts), labels)
    features = reader.features([train.texts[row] for row in order])
    began = time.perf_counter()
    index = RouteIndex.fit(intents, features, background, reject_in_scope=reject, validation=validation)
    return index, time.perf_counter() - began


def measure(split: Split, reader: Reader, background: Background, reject: float) -> tuple[RouteIndex, dict[str, Any]]:
    index, took = fitted(split, reader, background, reject)
    known = {intent for _, intent in index.owners}
    inside = split.test.where(lambda intent: intent in known)
    outside = split.test.where(lambda intent: intent not in known)
    figures = judge(index, reader.features(inside.texts), inside.intents, reader.features(outside.texts))
    return index, {"fit_s": round(took, 1), **figures}


def without_out_of_scope(rows: Rows) -> Rows:
    return rows.where(lambda intent: intent != OUT_OF_SCOPE)


def background_without(data: Path, reader: Reader, name: str) -> Background:
    """Of the data sets that the shipped one is fitted on, all but the one that is measured."""
    texts = backgrounds.sentences(data, leave_out=name)
    return Background(reader.encoder.id, *backgrounds.fit(reader.features(texts), 200))


# --- Noise -----------------------------------------------------------------------------------------------------------

HOMOPHONES = {"two": "to", "to": "too", "for": "four", "four": "for", "there": "their", "your": "you're", "by": "buy",
              "write": "right", "hear": "here", "weather": "whether", "one": "won", "know": "no", "new": "knew",
              "meet": "meat", "i'm": "im", "what's": "whats", "i'll": "ill", "i": "eye", "would": "wood"}  # fmt: skip
FILLERS = ("um", "uh", "er", "like", "you know")


def typos(text: str, chance: random.Random) -> str:
    """Every tenth letter, and at least one, dropped, doubled, or swapped with the next."""
    letters = list(text)
    for _ in range(max(1, len(text) // 10)):
        place = chance.randrange(max(len(letters) - 1, 1))
        match chance.randrange(3):
            case 0:
                letters[place : place + 1] = []
            case 1:
                letters[place : place + 1] = letters[place : place + 1] * 2
            case _:
                letters[place : place + 2] = reversed(letters[place : place + 2])
    return "".join(letters) or text


def misheard(text: str, chance: random.Random) -> str:
    """As a speech recogniser writes: no marks, words that sound alike, fillers, a word lost."""
    words = [word.strip(".,?!;:").lower() for word in text.split()]
    words = [HOMOPHONES[word] if word in HOMOPHONES and chance.random() < 0.5 else word for word in words]
    words.insert(chance.randrange(len(words) + 1), chance.choice(FILLERS))
    if len(words) > 5 and chance.random() < 0.5:
        words.pop(chance.randrange(len(words)))
    return " ".join(filter(None, words))


NOISES: dict[str, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "capitals": lambda text, chance: text.upper(),
    "no_spaces": lambda text, chance: text.replace(" ", ""),
    "emoji": lambda text, chance: f"{chance.choice('🙂🙏😅🔥')} {text}{chance.choice('🙂🙏😅🔥') * 2}",
    "speech": misheard,
}


def noise(index: RouteIndex, reader: Reader, test: Rows, prefix: str) -> dict[str, Any]:
    """Accuracy and what is sent away, on the same rows of the test split as they are and with noise added; each also
    repaired, as the daemon reads them."""
    chance = random.Random(0)
    known = {intent for _, intent in index.owners}
    inside = test.where(lambda intent: intent in known)
    rows = sorted(chance.sample(range(len(inside.texts)), min(NOISY_ROWS, len(inside.texts))))
    texts, truth = [inside.texts[row] for row in rows], [inside.intents[row] for row in rows]
    speller, lexicon = Speller(reader.encoder.rank), Lexicon(index.own)
    figures: dict[str, Any] = {}
    for name, add in {"clean": lambda text, chance: text, **NOISES}.items():
        noisy = [add(text, chance) for text in texts]
        for read, suffix in ((noisy, ""), ([speller.repair(text, lexicon) for text in noisy], "_repaired")):
            told = judge(index, reader.features(read), truth, np.zeros((0, 1536)))
            figures[f"{prefix}_noise_{name}{suffix}_acc"] = told["inscope_acc"]
            figures[f"{prefix}_noise_{name}{suffix}_rejected"] = told["inscope_rejected"]
    return figures


# --- The benches -----------------------------------------------------------------------------------------------------


def latency(index: RouteIndex, trunk: Path, texts: Sequence[str]) -> dict[str, float]:
    """What each step of the cascade takes for one request, back to back."""
    encoder = open_encoder(trunk)
    seconds: dict[str, list[float]] = {"sketch": [], "glance": [], "encode": [], "decide": []}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[name].append(time.perf_counter() - began)
        return result

    for text in texts:
        ids = encoder.tokens(text)
        sketch = timed("sketch", lambda ids=ids: encoder.sketch(ids))
        timed("glance", lambda sketch=sketch: index.glance(sketch))
        features = timed("encode", lambda ids=ids, sketch=sketch: encoder.complete(ids, sketch))
        timed("decide", lambda features=features: index.decide(features))
    return {f"{step}_{name}": value for step, took in seconds.items() for name, value in percentiles(took).items()}


def peer(split: Split, reader: Reader) -> dict[str, Any]:
    """scikit-learn's logistic regression on the sentence vectors, its energy as the out-of-scope score."""
    from sklearn.linear_model import LogisticRegression

    train = without_out_of_scope(split.train)
    began = time.perf_counter()
    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors(reader.features(train.texts)), train.intents)
    took = time.perf_counter() - began
    known = set(model.classes_)
    inside, outside = (
        split.test.where(lambda intent, wanted=wanted: (intent in known) == wanted) for wanted in (True, False)
    )
    near, far = (model.decision_function(vectors(reader.features(rows.texts))) for rows in (inside, outside))
    right = model.classes_[near.argmax(axis=1)] == np.array(inside.intents)
    energy, far_energy = log_sum_exp(near), log_sum_exp(far)
    return {
        "sklearn_logistic_fit_s": round(took, 1),
        "sklearn_logistic_inscope_acc": round(float(right.mean()), 4),
        "sklearn_logistic_auroc": round(auroc(energy, far_energy), 4),
        "sklearn_logistic_ece15": round(calibration_error(softmax(near).max(axis=1), right), 4),
        "sklearn_logistic_fpr95": round(float((far_energy >= np.quantile(energy, 0.05)).mean()), 4),
    }


def public(data: Path, trunk: Path, wanted: Sequence[str], reject: float) -> None:
    reader = Reader(open_encoder(trunk, threads=os.cpu_count() or 1))
    figures: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    for name in wanted:
        split = SETS[name](data)
        family = "clinc150" if name.startswith("clinc") else "banking77"
        general = background_without(data, reader, family)
        away = reader.features([
            text for text, intent in zip(split.train.texts, split.train.intents, strict=True) if intent == OUT_OF_SCOPE
        ])  # fmt: skip
        index, told = measure(split, reader, general.joined(away), reject)
        figures |= {f"{name}_{key}": value for key, value in told.items()}
        if family == "banking77":
            figures[f"{name}_acc"] = told["inscope_acc"]
        if name == "clinc_full":
            bare = Split(name, without_out_of_scope(split.train), without_out_of_scope(split.valid), split.test)
            _, told = measure(bare, reader, general, reject)
            figures |= {f"{name}_without_oos_rows_{key}": value for key, value in told.items()}
            figures |= noise(index, reader, split.test, name)
            figures |= {f"{name}_{key}": value for key, value in latency(index, trunk, split.test.texts[:1000]).items()}
            peers |= peer(split, reader)
            if (FINETUNED / "trunk.toml").is_file():
                tuned = Reader(open_encoder(FINETUNED, threads=os.cpu_count() or 1))
                general = background_without(data, tuned, family)
                away = tuned.features(
                    [t for t, i in zip(split.train.texts, split.train.intents, strict=True) if i == OUT_OF_SCOPE]
                )
                _, told = measure(split, tuned, general.joined(away), reject)
                figures |= {f"{name}_finetuned_{key}": value for key, value in told.items()}
        print(f"{name}: {told}", flush=True)
    report(
        "router",
        figures,
        peers=peers,
        notes=(
            f"each intent is an expert of its own; reject_in_scope {reject}; trunk {reader.encoder.id[:12]}, int8",
            "thresholds from the validation rows where the set has some, else cross-fitted on its training rows",
            "peer: the same sentence vectors (the last layer's mean alone)",
        ),
    )


def custom(options: argparse.Namespace) -> None:
    encoder = open_encoder(options.trunk, threads=os.cpu_count() or 1)
    reader = Reader(encoder)
    test = rows_of(read(options.test))
    if options.oos:
        more = rows_of(read(options.oos), OUT_OF_SCOPE)
        test = Rows(test.texts + more.texts, test.intents + more.intents)
    valid = rows_of(read(options.valid)) if options.valid else Rows()
    split = Split("custom", rows_of(read(options.train)), valid, test)
    if not without_out_of_scope(split.train).texts:
        raise SystemExit(f'{options.train}: no row has an "intent"; at least one is needed to route to')
    away = [t for t, i in zip(split.train.texts, split.train.intents, strict=True) if i == OUT_OF_SCOPE]
    background = Background.load()
    if background.trunk != encoder.id:
        # Another trunk: its features are others, so its background is, too.
        texts = backgrounds.sentences(data_folder())
        background = Background(encoder.id, *backgrounds.fit(reader.features(texts), 200))
    _, told = measure(split, reader, background.joined(reader.features(away)), options.reject_in_scope)
    report(
        "custom",
        {f"custom_{key}": value for key, value in told.items()},
        notes=(
            f"{len(split.train.texts):,} training, {len(valid.texts):,} validation and {len(test.texts):,} test rows",
            f"reject_in_scope {options.reject_in_scope}; trunk {encoder.id[:12]}, int8; the shipped background",
        ),
    )
    # Beside the public figures too, where a reader of router.json looks.
    path = OUT / "router.json"
    content = json.loads(path.read_text()) if path.is_file() else {"bench": "router", "figures": {}}
    content["figures"]["custom"] = told
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SETS), metavar="NAMES", help="data sets, with commas between")
    parser.add_argument(
        "--trunk", type=Path, default=trunk_folder(), metavar="DIR", help="where trunks are kept, or one itself"
    )
    parser.add_argument("--reject-in-scope", type=float, default=REJECT_IN_SCOPE, metavar="SHARE",
                        help="of requests that an expert could answer, send at most this share away")  # fmt: skip
    for name, text in (("train", "rows to fit on"), ("valid", "rows to calibrate on"), ("test", "rows to judge"),
                       ("oos", "rows that are out of scope")):  # fmt: skip
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=text)
    options = parser.parse_args()
    if options.train or options.test:
        if not (options.train and options.test):
            parser.error("--train and --test belong together")
        custom(options)
        return
    wanted = options.only.split(",")
    for name in wanted:
        if name not in SETS:
            parser.error(f"{name!r}: no such data set; known: {', '.join(SETS)}")
    public(data_folder(), options.trunk, wanted, options.reject_in_scope)


if __name__ == "__main__":
    main()
