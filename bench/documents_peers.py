"""Other makers of keywords, extracts and rankings, at work on the rows of `bench.experts_documents`.

Run by the interpreter of an environment of their own, which knows nothing of expertd: one JSON object on standard
input, {"task", "rows", "count"}, and one on standard output, {peer: {"answers": […], "seconds": […]}}. What they would
download at their first use (lists of stop words, sentence splitters) they are given.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
Told = dict[str, dict[str, list[Any]]]


def main() -> None:
    request = json.load(sys.stdin)
    tasks: dict[str, Callable[[list[Row], int], Told]] = {
        "keywords": keywords,
        "sentences": sentences,
        "ranking": ranking,
    }
    json.dump(tasks[request["task"]](request["rows"], request["count"]), sys.stdout)


def keywords(rows: list[Row], count: int) -> Told:
    """Rows {text} → phrases, the best first."""
    import yake  # type: ignore[import-not-found]
    from rake_nltk import Rake  # type: ignore[import-not-found]
    from summa import keywords as summa  # type: ignore[import-not-found]
    from sumy.utils import get_stop_words  # type: ignore[import-not-found]

    extractor = yake.KeywordExtractor(lan="en", n=3, top=count)
    rake = Rake(
        stopwords=set(get_stop_words("english")),
        max_length=3,
        sentence_tokenizer=_to_sentences,
        word_tokenizer=re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]").findall,
    )

    def by_rake(text: str) -> list[str]:
        rake.extract_keywords_from_text(text)
        return list(dict.fromkeys(rake.get_ranked_phrases()))[:count]

    texts = [row["text"] for row in rows]
    return {
        "yake": _timed(lambda text: [phrase for phrase, _ in extractor.extract_keywords(text)], texts),
        "rake-nltk": _timed(by_rake, texts),
        "summa TextRank": _timed(lambda text: summa.keywords(text, split=True)[:count], texts),
    }


def sentences(rows: list[Row], count: int) -> Told:
    """Rows {sentences} → the numbers of those that are chosen."""
    from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence  # type: ignore[import-not-found]
    from sumy.nlp.stemmers import Stemmer  # type: ignore[import-not-found]
    from sumy.summarizers.lex_rank import LexRankSummarizer  # type: ignore[import-not-found]
    from sumy.summarizers.lsa import LsaSummarizer  # type: ignore[import-not-found]
    from sumy.summarizers.text_rank import TextRankSummarizer  # type: ignore[import-not-found]
    from sumy.utils import get_stop_words

    class Words:
        """In the place of sumy's own tokeniser, which needs a download."""

        def to_words(self, text: str) -> tuple[str, ...]:
            return tuple(re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text))

    def by(summarizer: Any) -> Callable[[list[str]], list[int]]:
        summarizer.stop_words = get_stop_words("english")

        def chosen(texts: list[str]) -> list[int]:
            made = [Sentence(text, Words()) for text in texts]
            # Sentences that read alike are equal to sumy: told apart by identity.
            places = {id(sentence): place for place, sentence in enumerate(made)}
            return [places[id(each)] for each in summarizer(ObjectDocumentModel([Paragraph(made)]), count)]

        return chosen

    stemmer = Stemmer("english")
    texts = [row["sentences"] for row in rows]
    return {
        "sumy LexRank": _timed(by(LexRankSummarizer(stemmer)), texts),
        "sumy TextRank": _timed(by(TextRankSummarizer(stemmer)), texts),
        "sumy LSA": _timed(by(LsaSummarizer(stemmer)), texts),
    }


def ranking(rows: list[Row], count: int) -> Told:
    """Rows {question, text} → per question the numbers of the `count` best texts of all rows."""
    from rank_bm25 import BM25Okapi  # type: ignore[import-not-found]

    words = re.compile(r"\w+").findall
    engine = BM25Okapi([words(row["text"].lower()) for row in rows])

    def best(question: str) -> list[int]:
        scores = engine.get_scores(words(question.lower()))
        return [int(place) for place in scores.argsort()[::-1][:count]]

    return {"rank-bm25": _timed(best, [row["question"] for row in rows])}


def _to_sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def _timed(work: Callable[[Any], list[Any]], inputs: Iterable[Any]) -> dict[str, list[Any]]:
    answers, seconds = [], []
    for given in inputs:
        began = time.perf_counter()
        try:
            answers.append(work(given))
        except Exception:  # a peer that stumbles over a row has found nothing in it
            answers.append([])
        seconds.append(time.perf_counter() - began)
    return {"answers": answers, "seconds": seconds}


if __name__ == "__main__":
    main()
