"""One teller of languages at work on the rows of `bench.experts_language`: `language_peers.py ours|lingua`.

Run in a process of its own, lingua's by an interpreter that knows nothing of expertd: one JSON object on standard
input, {"texts", "bundle"}, and one on standard output, {"found": ISO 639-1 codes, "" for none, "seconds": […],
"load_s", "pss_bytes" of the process when all is read, "told": what it was}.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

Tell = Callable[[str], str]


def main() -> None:
    request = json.load(sys.stdin)
    began = time.perf_counter()
    tell, told = ours(Path(request["bundle"])) if sys.argv[1] == "ours" else lingua()
    tell("the first call may load what the others use")
    load_s = time.perf_counter() - began
    found, seconds = [], []
    for text in request["texts"]:
        began = time.perf_counter()
        found.append(tell(text))
        seconds.append(time.perf_counter() - began)
    answer = {"found": found, "seconds": seconds, "load_s": load_s, "pss_bytes": pss_bytes(), "told": told}
    json.dump(answer, sys.stdout)


def ours(folder: Path) -> tuple[Tell, str]:
    """The shipped expert, made to answer every text."""
    from typing import cast

    import msgspec

    from expertd.experts.bundle import Bundle, open_bundle
    from expertd.experts.kinds.linear import load
    from expertd.experts.servable import Host
    from expertd.experts.values import Answer, Label

    bundle = open_bundle(folder)
    willing = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, threshold=0.0))
    servable = asyncio.run(load(willing, cast(Host, None)))

    def tell(text: str) -> str:
        outcome = servable.judged(text, None)
        return outcome.result.label if isinstance(outcome, Answer) and isinstance(outcome.result, Label) else ""

    return tell, f"{bundle.manifest.name} {bundle.manifest.version}"


def lingua() -> tuple[Tell, str]:
    """All its 75 languages, high-accuracy mode."""
    from lingua import LanguageDetectorBuilder  # type: ignore[import-not-found]

    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()

    def tell(text: str) -> str:
        found = detector.detect_language_of(text)
        return "" if found is None else str(found.iso_code_639_1.name).lower()

    return tell, f"lingua {version('lingua-language-detector')}"


def pss_bytes() -> int:
    """Of this process: its own pages, and its part of those that it shares."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


if __name__ == "__main__":
    main()
