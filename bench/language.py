"""How well a request's language is told: accuracy over 75 languages, false alarms on English, what a look-up costs.

    python -m bench.language

Sentences, word pairs and words are the tenth that neither the weights nor the threshold have seen (`part`), from the
same source as the training rows; requests are CLINC150's and BANKING77's test rows, all English. Peers, where they are
installed (py3langid, lingua-language-detector), read a sample of the same rows, in a process of their own, one text
after another in turns with ours. Their best guess is taken: neither has a threshold for "surely not English".
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import psutil

from expertd.distill import datasets
from expertd.distill import language as lessons
from expertd.router.language import Recogniser

from .report import data_folder, percentiles, report

Tell = Callable[[str], str]
SAMPLE = 1_500
TIMED = 3_000


def py3langid() -> tuple[Tell, set[str]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    return lambda text: str(model.classify(text)[0]), set(model.nb_classes)


def lingua() -> tuple[Tell, set[str]]:
    from lingua import Language, LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().build()

    def tell(text: str) -> str:
        found = detector.detect_language_of(text)
        return "" if found is None else found.iso_code_639_1.name.lower()

    return tell, {language.iso_code_639_1.name.lower() for language in Language.all()}


PEERS: dict[str, Callable[[], tuple[Tell, set[str]]]] = {"py3langid": py3langid, "lingua": lingua}


def resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def measure_peer(name: str, rows: Sequence[tuple[str, str, str]], english: Sequence[str]) -> dict[str, Any]:
    """Runs in a process of its own. rows: (text, code, kind)."""
    ours = Recogniser.load()
    ours.recognise("warm up")
    before = resident_mb()
    tell, known = PEERS[name]()
    figures: dict[str, Any] = {}
    # A peer may know Norwegian as one language.
    same = {"nb": "no", "nn": "no"} if "nb" not in known else {}
    seen, kinds = [], []
    for text, code, kind in rows:
        if same.get(code, code) in known:
            seen.append(tell(text) == same.get(code, code))
            kinds.append(kind)
    for kind in dict.fromkeys(kinds):
        figures[f"{kind}_accuracy"] = round(
            float(np.mean([s for s, k in zip(seen, kinds, strict=True) if k == kind])), 4
        )
    figures["languages_of_75"] = len({code for _, code, _ in rows if same.get(code, code) in known})
    figures["english_requests_called_foreign"] = round(float(np.mean([tell(text) != "en" for text in english])), 4)
    figures["resident_mb"] = round(resident_mb() - before, 1)
    theirs, mine = [], []
    for text in english:
        for call, took in ((tell, theirs), (ours.recognise, mine)):
            began = time.perf_counter()
            call(text)
            took.append(time.perf_counter() - began)
    figures |= {f"request_{key}": value for key, value in percentiles(theirs).items()}
    figures["ours_in_the_same_turns_p50_us"] = percentiles(mine)["p50_us"]
    return {f"{name}_{key}": value for key, value in figures.items()}


def main() -> None:
    data = data_folder()
    before = resident_mb()
    began = time.perf_counter()
    recogniser = Recogniser.load()
    recogniser.recognise("warm up")
    figures: dict[str, Any] = {
        "load_ms": round((time.perf_counter() - began) * 1e3, 1),
        "resident_mb": round(resident_mb() - before, 1),
        "bytes": (lessons.weights_file()).stat().st_size,
        "threshold": round(recogniser.threshold, 5),
    }
    rows = lessons.labelled(data, "test")
    figures |= lessons.judge(recogniser, rows)
    for kind in ("sentence", "word-pairs", "single-words"):
        of = [row for row in rows if row.kind == kind]
        figures[f"{kind}_rows"] = len(of)
    missed: dict[str, list[bool]] = {}
    for row in rows:
        if row.kind == "sentence" and row.code != "en":
            missed.setdefault(row.code, []).append(recogniser.foreign(row.text) is None)
    lowest = sorted(((1 - float(np.mean(of)), code) for code, of in missed.items()))[:5]
    figures["sentence_foreign_recall_lowest"] = ", ".join(f"{code} {recall:.3f}" for recall, code in lowest)
    cut = lessons.fragments([row for row in rows if row.kind == "sentence"], 1, np.random.default_rng(5))
    cut = [row for row in cut if len(row.text) > 20]
    figures |= {f"over_20_characters_{name}": value for name, value in lessons.judge(recogniser, cut).items()}

    clinc150 = datasets.rows(data / "clinc150" / "data_full.jsonl.gz")
    clinc = [row["text"] for row in clinc150 if row["split"] in {"test", "oos_test"}]
    banking = [row["text"] for row in datasets.rows(data / "banking77" / "test.jsonl")]
    for name, texts in (("clinc150", clinc), ("banking77", banking)):
        called = [recogniser.foreign(text) is not None for text in texts]
        figures[f"{name}_test_false_alarms"] = f"{sum(called)} of {len(texts)}"
        figures[f"{name}_test_false_alarm_rate"] = round(float(np.mean(called)), 5)

    sixty = "what will the weather be like in lisbon over the next few da"
    for name, texts in (("request", clinc), ("sixty_characters", [sixty] * TIMED)):
        took = []
        for text in texts[:TIMED]:
            began = time.perf_counter()
            recogniser.foreign(text)
            took.append(time.perf_counter() - began)
        figures |= {f"{name}_{key}": value for key, value in percentiles(took).items()}

    peers: dict[str, Any] = {}
    sample = [(row.text, row.code, row.kind) for row in rows]
    sample = [sample[i] for i in np.random.default_rng(1).permutation(len(sample))[: 2 * SAMPLE]]
    notes = ["µs by the wall clock: on a busy machine p99 is the wait for a core"]
    notes += [f"peers: {len(sample):,} of the same rows, in the languages that they know; {SAMPLE:,} of CLINC150's"]
    for name in PEERS:
        if find_spec(name) is None:
            notes.append(f"{name} is not installed: left out")
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peers |= pool.apply(measure_peer, (name, sample, clinc[:SAMPLE]))
    of_sample = lessons.judge(recogniser, [lessons.Row(*row) for row in sample])
    peers |= {f"ours_on_the_sample_{name}": value for name, value in of_sample.items() if name.endswith("accuracy")}
    report("language", figures, peers=peers, notes=notes)


if __name__ == "__main__":
    main()
