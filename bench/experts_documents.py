"""How good the experts for texts are: `python -m bench.experts keywords | extract-summary | search [--data F.jsonl]`.

The shared data sets hold no labels for these, so without --data a proxy is measured. It says which of two methods is
better, not how good a key word or a summary is to a reader.

- keywords: rows {text, keywords}. Proxy: the body of a mail, and the content words of its subject that the body has.
- extract-summary: rows {text, summary}. Proxy: the same, three sentences of mails of eight at least. That the chosen
  sentences share words with the subject says that they are on topic, not that nothing is missing; and subjects are
  nearest to beginnings, which flatters whoever takes these.
- search: rows {question, text}; each text is one document among those of all rows. Proxy: questions of StrategyQA and
  the facts that answer them. Whether abstaining is right: each question, and each bare term that it is about, before
  twenty documents, with its own and without.

Choices were made with --validation; the other rows are the test. Mails are never printed.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import re
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from expertd.experts.servable import Encode
from expertd.experts.skills import extract_summary, keywords, search
from expertd.experts.skills.sentences import split
from expertd.experts.skills.words import content_stems
from expertd.experts.values import Answer, Document, Outcome, Query
from expertd.router.encoder import Encoder

from .peers import installed
from .report import Row, data_folder, open_encoder, print_table, read_rows, trunk_folder

PEERS = ("yake", "rake-nltk", "summa", "sumy", "rank-bm25", "setuptools<81")
PHRASES, SENTENCES = 10, 3


def add(commands: Any) -> None:
    for name, run, rows in (
        ("keywords", _keywords, "{text, keywords: […]}"),
        ("extract-summary", _extract_summary, "{text, summary}"),
        ("search", _search, "{question, text}"),
    ):
        command = commands.add_parser(name, help=f"rows {rows}; without --data a proxy")
        command.add_argument("--data", type=Path)
        command.add_argument("--validation", action="store_true", help="the proxy's rows that choices were made on")
        command.add_argument("--no-peers", action="store_true")
        command.add_argument("--trunk", type=Path, default=trunk_folder())
        command.set_defaults(run=run, name=name)
        if name == "search":
            command.add_argument("--fit", action="store_true", help="fit the probability on validation rows, and stop")


# --- Rows -------------------------------------------------------------------------------------------------------------


def _is_validation(text: str) -> bool:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] < 256 * 0.3


def _mails(validation: bool, fewest_sentences: int) -> list[Row]:
    """{text, subject}: what the writer wrote, without the subject; threads stay on one side."""
    rows, seen = [], set()
    with gzip.open(data_folder() / "spamassassin" / "spamassassin.jsonl.gz", "rt", encoding="utf-8") as file:
        for mail in map(json.loads, file):
            subject = re.sub(r"^(\s*(\[[^\]]*\]|(re|fwd?|aw)\s*:))+", "", mail["subject"], flags=re.IGNORECASE).strip()
            thread = re.sub(r"[^a-z]+", "", subject.lower())
            if mail["label"] != "ham" or mail["html"] or _is_validation(thread) != validation or mail["body"] in seen:
                continue
            seen.add(mail["body"])
            own = [each for each in split(mail["body"], own=True) if each.kind in ("prose", "item")]
            text = " ".join(sentence.text for sentence in own)
            wanted = set(content_stems(subject))
            present = wanted & set(content_stems(text))
            if len(own) >= fewest_sentences and len(text.split()) >= 40 and len(wanted) >= 2 and present:
                rows.append({"text": mail["body"], "own": text, "wanted": sorted(present)})
    return rows


def _own(text: str) -> str:
    return " ".join(sentence.text for sentence in split(text, own=True))


def _questions(chosen: argparse.Namespace, validation: bool) -> list[Row]:
    if chosen.data:
        return read_rows(chosen.data)
    rows = read_rows(data_folder() / "strategyqa" / "train.jsonl")
    return [
        {"question": row["question"], "term": row["term"], "text": " ".join(row["facts"])}
        for row in rows
        if row["facts"] and _is_validation(row["qid"]) == validation
    ]


# --- Peers, time ------------------------------------------------------------------------------------------------------


def _peers(chosen: argparse.Namespace, task: str, rows: Sequence[Row], count: int) -> dict[str, dict[str, list[Any]]]:
    if chosen.no_peers:
        return {}
    try:
        python = installed("documents", PEERS)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"peers are left out: {error}")
        return {}
    given = json.dumps({"task": task, "rows": list(rows), "count": count})
    script = str(Path(__file__).with_name("documents_peers.py"))
    done = subprocess.run([str(python), script], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"peers are left out: {done.stderr[-400:]}")
        return {}
    told: dict[str, dict[str, list[Any]]] = json.loads(done.stdout)
    return told


def _encode(encoder: Encoder) -> Encode:
    async def encode(texts: Sequence[str]) -> Any:
        return await asyncio.to_thread(encoder.encode, texts)

    return encode


def _query(text: str, **fields: Any) -> Query:
    return Query(text, datetime.now(UTC), ZoneInfo("UTC"), rehearsal=True, **fields)


async def _ask(
    answer: Callable[[Query], Awaitable[Outcome]], queries: Sequence[Query]
) -> tuple[list[Outcome], list[float]]:
    outcomes, seconds = [], []
    for query in queries:
        began = time.perf_counter()
        outcomes.append(await answer(query))
        seconds.append(time.perf_counter() - began)
    return outcomes, seconds


def _p50(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 3)


# --- keywords ---------------------------------------------------------------------------------------------------------


def _keywords(chosen: argparse.Namespace) -> Row:
    if chosen.data:
        rows = [
            {"text": row["text"], "own": row["text"], "wanted": sorted(set(content_stems(" ".join(row["keywords"]))))}
            for row in read_rows(chosen.data)
        ]
    else:
        rows = _mails(chosen.validation, 3)
    found: dict[str, list[list[str]]] = {}
    seconds: dict[str, list[float]] = {}
    queries = [_query("ten keywords", intent="list", payload=row["text"]) for row in rows]
    encoder = open_encoder(chosen.trunk)
    outcomes, seconds["keywords"] = asyncio.run(_ask(keywords.Keywords(_encode(encoder)).answer, queries))
    found["keywords"] = [_phrases(outcome) for outcome in outcomes]
    again = keywords.Keywords(_encode(encoder))
    _, warm = asyncio.run(_ask(again.answer, [query for query in queries[:200] for _ in range(2)]))
    found["its statistics alone"] = [
        [each.phrase for each in keywords.unlike(keywords.candidates(row["text"]), PHRASES)] for row in rows
    ]
    for name, told in _peers(chosen, "keywords", [{"text": row["own"]} for row in rows], PHRASES).items():
        found[name], seconds[name] = told["answers"], told["seconds"]
    figures: Row = {"rows": len(rows)}
    for name, answers in found.items():
        figures[name] = _agreement([_stems(phrases) for phrases in answers], rows)
        if name in seconds:
            figures[name]["p50_ms"] = _p50(seconds[name])
    figures["keywords"]["p50_ms_again"] = _p50(warm[1::2])
    _show(figures)
    return figures


def _phrases(outcome: Outcome) -> list[str]:
    if not isinstance(outcome, Answer):
        return []
    found: Any = outcome.to_json()["data"]["keywords"]
    return [each["phrase"] for each in found]


def _stems(phrases: Sequence[str]) -> set[str]:
    return {stem for phrase in phrases for stem in content_stems(phrase)}


def _agreement(answers: Sequence[set[str]], rows: Sequence[Row]) -> Row:
    """recall: share of the wanted words that are there, mean of rows. f1: of words, mean of rows. words: how many."""
    recalls, f1s = [], []
    for stems, row in zip(answers, rows, strict=True):
        both = len(stems & set(row["wanted"]))
        recalls.append(both / max(len(row["wanted"]), 1))
        f1s.append(2 * both / max(len(stems) + len(row["wanted"]), 1))
    words = statistics.mean(map(len, answers))
    return {
        "recall": round(statistics.mean(recalls), 4),
        "f1": round(statistics.mean(f1s), 4),
        "words": round(words, 1),
    }


def _show(figures: Row) -> None:
    methods = {name: row for name, row in figures.items() if isinstance(row, dict)}
    columns = list(dict.fromkeys(key for row in methods.values() for key in row))
    print_table(["", *columns], [[name, *[row.get(key, "") for key in columns]] for name, row in methods.items()])


# --- extract-summary --------------------------------------------------------------------------------------------------


def _extract_summary(chosen: argparse.Namespace) -> Row:
    if chosen.data:
        rows = [
            {"text": row["text"], "wanted": sorted(set(content_stems(row["summary"])))}
            for row in read_rows(chosen.data)
        ]
    else:
        rows = _mails(chosen.validation, 8)
    encoder = open_encoder(chosen.trunk)
    skill = extract_summary.ExtractSummary(_encode(encoder))
    queries = [_query(f"{SENTENCES} key sentences", intent="select", payload=row["text"]) for row in rows]
    outcomes, cold = asyncio.run(_ask(skill.answer, queries))
    warm = []
    for query in queries[:200]:  # the second time the vectors are there
        _, seconds = asyncio.run(_ask(skill.answer, [query, query]))
        warm.append(seconds[1])
    picked = {"extract-summary": [_texts(outcome) for outcome in outcomes]}
    candidates = [[pick.sentence.text for pick in extract_summary.candidates([row["text"]])] for row in rows]
    picked["lead-1"] = [texts[:1] for texts in candidates]
    picked["lead-3"] = [texts[:SENTENCES] for texts in candidates]
    draw = np.random.default_rng(0)
    picked["random"] = [[texts[place] for place in draw.permutation(len(texts))[:SENTENCES]] for texts in candidates]
    timed = {"extract-summary": {"p50_ms": _p50(cold), "p50_ms_again": _p50(warm)}}
    for name, told in _peers(chosen, "sentences", [{"sentences": texts} for texts in candidates], SENTENCES).items():
        picked[name] = [
            [texts[place] for place in places] for places, texts in zip(told["answers"], candidates, strict=True)
        ]
        timed[name] = {"p50_ms": _p50(told["seconds"])}
    figures: Row = {"rows": len(rows)}
    for name, answers in picked.items():
        figures[name] = _agreement([_stems(texts) for texts in answers], rows) | timed.get(name, {})
    _show(figures)
    figures["seconds_by_sentences"] = _growth(encoder)
    print("seconds for so many sentences, first time:", figures["seconds_by_sentences"])
    return figures


def _texts(outcome: Outcome) -> list[str]:
    if not isinstance(outcome, Answer):
        return []
    found: Any = outcome.to_json()["data"]["sentences"]
    return [each["text"] for each in found]


def _growth(encoder: Encoder) -> dict[str, float]:
    """How long a text of 10, 100, 1,000, 10,000 sentences takes that was never seen before."""
    names = ("harbour", "bridge", "council", "teacher", "engine", "garden", "winter", "letter", "village", "doctor")
    took = {}
    for count in (10, 100, 1_000, 10_000):
        lines = [
            f"The {names[n % 10]} by the {names[n // 10 % 10]} needed {n} hours more than a {names[n // 100 % 10]}."
            for n in range(count)
        ]
        skill = extract_summary.ExtractSummary(_encode(encoder))
        query = _query("three key sentences", intent="select", document=Document(" ".join(lines)))
        took[str(count)] = round(asyncio.run(_ask(skill.answer, [query]))[1][0], 4)
    return took


# --- search -----------------------------------------------------------------------------------------------------------


def _search(chosen: argparse.Namespace) -> Row:
    rows = _questions(chosen, chosen.validation or chosen.fit)
    encoder = open_encoder(chosen.trunk)
    texts = [row["text"] for row in rows]
    index = search.Index(texts)
    vectors = encoder.encode([passage.text for passage in index.passages])
    asked = encoder.encode([search.topic(row["question"]) for row in rows])
    words = [index.bm25(content_stems(search.topic(row["question"]))) for row in rows]
    nearness = (asked @ vectors.T).astype(np.float64)
    owner = np.array([passage.document for passage in index.passages])
    pools = {"questions": _pools(texts, [row["question"] for row in rows], owner, nearness)}
    if "term" in rows[0]:
        terms = [row["term"] for row in rows]
        pools["terms"] = _pools(texts, terms, owner, (encoder.encode(terms) @ vectors.T).astype(np.float64))
    if chosen.fit:
        return _fit([pool for each in pools.values() for pool in each])
    rankings = {
        "both, fused by probability": [
            search.probability(near, cover) for near, (_, cover) in zip(nearness, words, strict=True)
        ],
        "both, reciprocal ranks": [_reciprocal(near, score) for near, (score, _) in zip(nearness, words, strict=True)],
        "words alone (BM25)": [score for score, _ in words],
        "vectors alone": list(nearness),
    }
    figures: Row = {"rows": len(rows), "passages": len(index.passages)}
    for name, scores in rankings.items():
        figures[name] = _recall([_documents(owner, score) for score in scores])
    served = search.Search(_encode(encoder))
    documents = tuple(Document(text) for text in texts)
    queries = [_query(row["question"], intent="find", document=documents[0], further=documents[1:]) for row in rows]
    outcomes, seconds = asyncio.run(_ask(served.answer, queries[:400]))
    told = [_found(outcome) for outcome in outcomes]
    figures["as served, three passages"] = _recall(told) | {
        "answered": round(sum(map(bool, told)) / len(told), 4),
        "p50_ms": _p50(seconds),
    }
    for name, peer in _peers(chosen, "ranking", rows, 5).items():
        figures[name] = _recall(peer["answers"]) | {"p50_ms": _p50(peer["seconds"])}
    _show(figures)
    figures["abstaining"] = {kind: _abstaining(each) for kind, each in pools.items()}
    figures["times"] = asyncio.run(_times(encoder, texts))
    print(f"abstaining: {figures['abstaining']}\ntimes, ms: {figures['times']}")
    return figures


def _documents(owner: Any, scores: Any) -> list[int]:
    """The five best documents; those that share no word with the question are in no order."""
    return list(
        dict.fromkeys(int(owner[place]) for place in np.argsort(-scores, kind="stable")[:30] if scores[place] > 0)
    )[:5]


def _found(outcome: Outcome) -> list[int]:
    if not isinstance(outcome, Answer):
        return []
    found: Any = outcome.to_json()["data"]["passages"]
    return [each["document"] for each in found]


def _recall(answers: Sequence[Sequence[int]]) -> Row:
    first = [documents[:1] == [row] for row, documents in enumerate(answers)]
    among = [row in documents[:5] for row, documents in enumerate(answers)]
    return {"recall@1": round(statistics.mean(first), 4), "recall@5": round(statistics.mean(among), 4)}


def _reciprocal(near: Any, score: Any, k: int = 60) -> Any:
    """Reciprocal rank fusion (Cormack et al., 2009)."""
    ranks = [np.argsort(np.argsort(-each, kind="stable"), kind="stable") for each in (near, score)]
    return sum(1 / (k + 1 + rank) for rank in ranks)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A question before twenty documents. nearness, coverage: (passages,), as the expert sees them. own: which passages
    are of the document that it belongs to; none, where that is not among the twenty."""

    nearness: Any
    coverage: Any
    own: Any


def _pools(texts: Sequence[str], questions: Sequence[str], owner: Any, nearness: Any, size: int = 20) -> list[_Pool]:
    """Two for each question, with its own document and without; every fourth of the others is a near one, and none has
    the question (where it is a bare term) word for word."""
    draw = np.random.default_rng(0)
    pools = []
    for row, question in enumerate(questions):
        stems = content_stems(search.topic(question))
        word_for_word = re.compile(rf"\b{re.escape(question)}\b", re.IGNORECASE)
        named = {number for number, text in enumerate(texts) if word_for_word.search(text)} | {row}
        near = [int(number) for number in owner[np.argsort(-nearness[row])[: 2 * size]] if number not in named]
        others = [*dict.fromkeys(near)][: size // 4]
        others += [int(number) for number in draw.choice(len(texts), size) if number not in named]
        others = list(dict.fromkeys(others))[: size - 1]
        for documents in ([row, *others], others) if others else ():
            coverage = search.Index([texts[number] for number in documents]).bm25(stems)[1]
            places = np.concatenate([np.flatnonzero(owner == number) for number in documents])
            pools.append(_Pool(nearness[row][places], coverage, owner[places] == row))
    return pools


def _abstaining(pools: Sequence[_Pool]) -> Row:
    """Whether something is shown where the question's own document is there, and where it is not."""
    from sklearn.metrics import roc_auc_score

    scores = np.array([search.probability(pool.nearness, pool.coverage).max() for pool in pools])
    there = np.array([pool.own.any() for pool in pools])
    shown = scores >= search.THRESHOLD
    return {
        "auroc": round(float(roc_auc_score(there, scores)), 4),
        "shown_where_there": round(float(shown[there].mean()), 4),
        "shown_where_not": round(float(shown[~there].mean()), 4),
    }


def _fit(pools: Sequence[_Pool]) -> Row:
    """Logistic regression of "the best passage of a pool is of the question's own document"."""
    from sklearn.linear_model import LogisticRegression

    features, labels = [], []
    for pool in pools:
        best = int(np.argmax(search.probability(pool.nearness, pool.coverage)))
        features.append((pool.nearness[best], pool.coverage[best]))
        labels.append(bool(pool.own[best]))
    model = LogisticRegression(C=100.0).fit(np.array(features), labels)
    nearness, coverage = model.coef_[0]
    fitted = {"bias": float(model.intercept_[0]), "nearness": float(nearness), "coverage": float(coverage)}
    print(fitted)
    return fitted


async def _times(encoder: Encoder, texts: Sequence[str]) -> Row:
    """ms for a document of so many characters: asked for the first time, something else, and the same again."""
    took: Row = {}
    for characters in (2_000, 20_000, 200_000, 1_000_000):
        whole = " ".join(texts) * (1 + characters // sum(map(len, texts)))
        skill = search.Search(_encode(encoder))
        document = Document(whole[:characters])
        queries = [
            _query(text, intent="find", document=document)
            for text in ("find the part about music", "where does it mention a river", "where does it mention a river")
        ]
        _, seconds = await _ask(skill.answer, queries)
        took[str(characters)] = [round(each * 1e3, 2) for each in seconds]
    return took
