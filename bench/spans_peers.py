"""Other finders of personal data and of secrets, at work on the rows of `bench.experts_spans`.

Run by the interpreter of an environment of their own, which knows nothing of expertd: one JSON object on standard
input, {"task", "texts"}, and one on standard output, {"found": [[[start, end, type], …], …], "seconds": […],
"told": what it was}.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Spans = list[tuple[int, int, str]]
# Looked for in this order; presidio's default first. A blank one has no names: patterns and checksums alone.
MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
# As in presidio's own evaluation.
THRESHOLD = 0.4


def main() -> None:
    request = json.load(sys.stdin)
    finder, told = {"pii": presidio, "secrets": detect_secrets}[request["task"]]()
    finder("warm up: nothing is here")
    found, seconds = [], []
    for text in request["texts"]:
        began = time.perf_counter()
        found.append(finder(text))
        seconds.append(time.perf_counter() - began)
    json.dump({"found": found, "seconds": seconds, "told": told}, sys.stdout)


def presidio() -> tuple[Callable[[str], Spans], str]:
    import spacy  # type: ignore[import-not-found]
    from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found]
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine  # type: ignore[import-not-found]

    name = next((each for each in MODELS if importlib.util.find_spec(each)), "")

    class Engine(SpacyNlpEngine):  # type: ignore[misc]
        """spaCy's English without a model, where none is installed."""

        def __init__(self) -> None:
            super().__init__(ner_model_configuration=NerModelConfiguration())
            self.nlp = {"en": spacy.load(name) if name else spacy.blank("en")}

    analyser = AnalyzerEngine(nlp_engine=Engine(), default_score_threshold=THRESHOLD)

    def found(text: str) -> Spans:
        ranked = sorted(analyser.analyze(text, "en"), key=lambda each: (-each.score, each.start - each.end))
        taken: Spans = []
        for each in ranked:  # of overlapping ones the surest, then the longest
            if all(each.end <= start or end <= each.start for start, end, _ in taken):
                taken.append((each.start, each.end, each.entity_type))
        return taken

    return found, f"presidio-analyzer with {name or 'its patterns alone (no spaCy model)'}"


def detect_secrets() -> tuple[Callable[[str], Spans], str]:
    from detect_secrets.core.scan import scan_file  # type: ignore[import-not-found]
    from detect_secrets.settings import default_settings  # type: ignore[import-not-found]

    path = Path(tempfile.mkdtemp()) / "row.txt"

    def found(text: str) -> Spans:
        path.write_text(text, "utf-8")
        with default_settings():
            secrets = list(scan_file(str(path)))
        lines = text.splitlines(keepends=True)
        spans: set[tuple[int, int, str]] = set()
        for secret in secrets:
            before = sum(map(len, lines[: secret.line_number - 1]))
            start = lines[secret.line_number - 1].find(secret.secret_value or "\0")
            if start >= 0:
                spans.add((before + start, before + start + len(secret.secret_value), "secret"))
        return sorted(spans)

    return found, "detect-secrets with its default plugins and filters"


if __name__ == "__main__":
    main()
