"""Fits `router/data/language.safetensors`: which language a request is written in, from public data sets.

    python -m expertd.distill.language [--data DIR]

The same data give the same bytes (on one kind of machine). Sentences, word pairs and words of 75 languages teach the
languages; English requests, whole, misspelt and with foreign words and names put in their place, teach what an
assistant hears in English. Rows are cut by a hash of their text into train, valid and test: the weights come from the
first, calibration and threshold from the second, the third is the bench's. CARD.md beside the file names the sources.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.router.head import softmax
from expertd.router.language import BUCKET_BITS, LANGUAGE_FILE, Recogniser, grams

from . import background, datasets

Array = npt.NDArray[Any]

SEED = 20260102
WIDTH = 16
ROUNDS = 6
BATCH = 1024
RATE = 0.02
# Of a text's n-grams, left out while learning: a quarter of a million short rows are few for a million weights.
DROPPED = 0.5
# English requests with foreign words in them, how many characters such words may have, and those that are misspelt.
MIXED, MIXED_VALID, LONGEST_FOREIGN, MISSPELT = 60_000, 8_000, 24, 6_000
# At most this share of English requests may be called foreign: of plain ones, and of those with foreign words in them.
FALSE_ALARMS, FALSE_ALARMS_MIXED = 0.002, 0.01
# Every how many-th remark of GoEmotions is read, for its everyday words.
REMARKS = 3

# Requests that carry names and foreign words: {} is where. Learnt with the first, judged with the second.
CARRIERS = (
    "play {}", "play {} by {}", "play some {}", "put on {}", "queue {} next", "weather in {}", "will it rain in {}",
    "what's the weather like in {} this weekend", "what time is it in {}", "time in {} now", "call {}", "ring {}",
    "text {} that i am late", "send {} a message", "email {} about the meeting", "navigate to {}", "drive to {}",
    "directions to {}", "how far is it from {} to {}", "flights from {} to {}", "book a table at {} for two",
    "find a hotel near {}", "translate {} to english", "translate hello to {}", "what does {} mean",
    "what does {} mean in english", "how do you say {}", "how do i pronounce {}", "spell {}", "who is {}",
    "who was {}", "what is {}", "where is {}", "how old is {}", "when was {} born", "tell me about {}",
    "remind me to call {} at noon", "remind me to buy {}", "add {} to my shopping list", "add {} to my calendar",
    "set an alarm called {}", "timer for the {}", "note {} for later", "recipe for {}", "how do i cook {}",
    "search for {}", "open {}", "news about {}", "did {} win last night", "is {} open today",
    "i am meeting {} and {} tomorrow", "my friend {} is from {}", "who wrote {}", "read me {}",
)  # fmt: skip
CARRIERS_VALID = (
    "listen to {}", "can you play {} for me", "forecast for {}", "how hot is it in {} today", "dial {}",
    "message {} i'll be there soon", "take me to {}", "train from {} to {}", "what's the english word for {}",
    "say {} in english", "what did {} do", "is {} a city", "invite {} to lunch", "order {}", "put {} on my list",
    "wake me up with {}", "show me pictures of {}", "when does {} close", "how tall is {}", "start {}",
    "the {} was great", "buy tickets for {} in {}", "traffic to {}", "mail {} the report", "how many people live in {}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """kind: sentence, word-pairs, single-words, fragment, request or mixed. weight: what it counts when learning."""

    text: str
    code: str
    kind: str
    weight: float = 1.0


def weights_file() -> Path:
    """Where the shipped weights lie."""
    return Path(__file__).resolve().parent.parent / "router" / "data" / LANGUAGE_FILE


def part(text: str) -> str:
    """train (8 of 10), valid or test, by a hash of the words: one text is never in two parts."""
    number = zlib.crc32(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass")) % 10
    return ("test", "valid")[number] if number < 2 else "train"


def labelled(data: Path, wanted: str) -> list[Row]:
    """Sentences, word pairs and words of every language in one part."""
    rows: list[Row] = []
    for name in ("sentences", "words_and_pairs"):
        for row in datasets.rows(data / "langid_lingua" / f"{name}.jsonl.gz"):
            kind = "sentence" if row["kind"] == "sentences" else row["kind"]
            # A lone English word is a request ("cancel"); in the other languages words are few among requests.
            weight = 1.0 if kind == "sentence" else 2.0 if row["lang"] == "en" else 0.25
            if part(row["text"]) == wanted:
                rows.append(Row(row["text"], row["lang"], kind, weight))
    return rows


def requests(data: Path, wanted: str) -> list[str]:
    """English requests and remarks of one part, train or valid; CLINC150's own validation rows are all in valid."""
    found = background.sentences(data)
    found += [row["text"] for row in datasets.rows(data / "goemotions" / "train.jsonl.gz")][::REMARKS]
    found = [text for text in dict.fromkeys(found) if part(text) == wanted]
    if wanted == "valid":
        clinc = datasets.rows(data / "clinc150" / "data_full.jsonl.gz")
        found += [row["text"] for row in clinc if row["split"] in {"val", "oos_val"}]
    return found


def fragments(rows: Sequence[Row], each: int, random: np.random.Generator) -> list[Row]:
    """Sentences cut down to a request's length: 1 to 8 words, or 4 to 15 characters where no spaces are written."""
    cut: list[Row] = []
    for row in rows:
        words = row.text.split()
        spaced = len(words) > 2
        units: Sequence[str] = words if spaced else row.text
        for _ in range(each):
            length = int(random.integers(1, 9) if spaced else random.integers(4, 16))
            begin = int(random.integers(0, max(1, len(units) - length + 1)))
            text = (" " if spaced else "").join(units[begin : begin + length])
            # One in eight as typed on a keyboard without accents.
            cut.append(Row(without_accents(text) if random.random() < 0.125 else text, row.code, "fragment", 0.6))
    return cut


def without_accents(text: str) -> str:
    """Latin, Greek and Cyrillic letters without their marks; other scripts keep theirs."""
    return unicodedata.normalize("NFC", "".join(c for c in unicodedata.normalize("NFD", text) if not "̀" <= c <= "ͯ"))


def foreign_words(rows: Iterable[Row]) -> list[str]:
    """What may stand in an English request: words and pairs of other languages, and the names in their sentences."""
    found: list[str] = []
    for row in rows:
        if row.code == "en":
            continue
        if row.kind != "sentence":
            found.append(row.text)
            continue
        run: list[str] = []
        # The first word of a sentence is no name for its capital.
        for word in [*row.text.split()[1:], ""]:
            bare = word.strip(".,;:!?()[]\"'“”„«»")
            if bare[:1].isupper() and bare[1:].islower() and len(run) < 3:
                run.append(bare)
            elif run:
                found.append(" ".join(run))
                run = []
    return found


def mixed(
    requests: Sequence[str], carriers: Sequence[str], words: Sequence[str], count: int, random: np.random.Generator
) -> list[str]:
    """`count` English requests with foreign words: half in a carrier, half in the place of a word of a request.

    At most half of the words are foreign: of two foreign words and an English one, nobody could say whose they are.
    """
    short = [word for word in words if len(word) <= LONGEST_FOREIGN]
    made: list[str] = []
    while len(made) < count:
        if random.random() < 0.5:
            frame = carriers[int(random.integers(len(carriers)))]
        else:
            parts = requests[int(random.integers(len(requests)))].split()
            parts[int(random.integers(len(parts)))] = "{}"
            frame = " ".join(parts)
        fill = [short[i] for i in random.integers(0, len(short), frame.count("{}"))]
        fill = [word.lower() if random.random() < 0.5 else word for word in fill]
        foreign = sum(len(word.split()) for word in fill)
        if foreign <= len(frame.split()) - len(fill):
            for word in fill:
                frame = frame.replace("{}", word, 1)
            made.append(frame)
    return made


def misspelt(text: str, random: np.random.Generator) -> str:
    """Two slips of the finger: a letter lost, doubled or swapped with the next."""
    for _ in range(2):
        if len(text) < 4:
            break
        place = int(random.integers(0, len(text) - 1))
        a, b = text[place], text[place + 1]
        text = text[:place] + (b, a + a + b, b + a)[random.integers(3)] + text[place + 2 :]
    return text


def prepare(data: Path) -> tuple[list[Row], list[Row]]:
    """The rows to learn from and the rows to judge by."""
    random = np.random.default_rng(SEED)
    known, english = labelled(data, "train"), requests(data, "train")
    train = known + fragments([row for row in known if row.kind == "sentence"], 3, random)
    train += [Row(text, "en", "request", 0.4) for text in english]
    heard = fragments([Row(text, "en", "request") for text in english], 1, random)
    train += [replace(row, weight=0.3) for row in heard]
    slips = [misspelt(english[i], random) for i in random.integers(0, len(english), MISSPELT)]
    train += [Row(text, "en", "request", 0.5) for text in slips]
    train += [Row(t, "en", "mixed", 1.0) for t in mixed(english, CARRIERS, foreign_words(known), MIXED, random)]
    known, english = labelled(data, "valid"), requests(data, "valid")
    valid = known + fragments([row for row in known if row.kind == "sentence"], 1, random)
    valid += [Row(text, "en", "request") for text in english]
    made = mixed(english, CARRIERS_VALID, foreign_words(known), MIXED_VALID, random)
    valid += [Row(text, "en", "mixed") for text in made]
    return train, valid


def counts(rows: Sequence[Row]) -> Any:
    """scipy CSR float32 (n, 2 ** BUCKET_BITS): how often each n-gram occurs, over √(n-grams)."""
    from scipy.sparse import csr_matrix

    buckets = [grams(row.text) for row in rows]
    lengths = np.array([len(found) for found in buckets])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    matrix = csr_matrix((values, np.concatenate(buckets).astype(np.int32), ends), (len(rows), 1 << BUCKET_BITS))
    matrix.sum_duplicates()
    return matrix


def fit(rows: Sequence[Row], rounds: int = ROUNDS) -> Recogniser:
    """Softmax over the rows' languages by Adam (Kingma & Ba, 2015) with a falling rate; not calibrated yet."""
    codes = tuple(sorted({row.code for row in rows}))
    rows = [row for row in rows if len(grams(row.text))]
    truth = np.array([codes.index(row.code) for row in rows])
    weights = np.array([row.weight for row in rows], np.float32)
    values, layer, bias = factors(counts(rows), truth, weights, WIDTH, rounds)
    # One scale per column of the table, moved into the layer.
    scale = np.maximum(np.abs(values).max(axis=0), 1e-9) / 127
    table = np.round(values / scale).astype(np.int8)
    return Recogniser(codes, table, scale[:, None] * layer, bias, (1.0, 0.0), 0.0)


def factors(
    inputs: Any, truth: npt.NDArray[np.int64], weights: npt.NDArray[np.float32], width: int, rounds: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A vector per bucket (buckets, width), a layer (width, k) and a bias (k,) over them, by softmax regression.

    inputs: scipy CSR float32 (n, buckets). truth: (n,), numbers from 0 to k - 1. weights: (n,), above 0.
    """
    weights = weights / weights.mean()
    classes = int(truth.max()) + 1
    random = np.random.default_rng(SEED)
    shapes = ((inputs.shape[1], width), (width, classes), (classes,))
    values = [random.uniform(-0.3, 0.3, shape).astype(np.float32) for shape in shapes]
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    count = len(truth)
    batch = min(BATCH, count)
    steps, step = rounds * (count // batch), 0
    for _ in range(rounds):
        order = random.permutation(count)
        for begin in range(0, count - batch + 1, batch):
            chosen = order[begin : begin + batch]
            part_of = inputs[chosen]
            part_of.data *= (random.random(len(part_of.data), np.float32) > DROPPED) / np.float32(1 - DROPPED)
            hidden = part_of @ values[0]
            error = softmax(hidden @ values[1] + values[2])
            error[np.arange(batch), truth[chosen]] -= 1
            error *= weights[chosen, None] / batch
            slopes = (part_of.T @ (error @ values[1].T), hidden.T @ error, error.sum(axis=0))
            step += 1
            rate = RATE * (1 - 0.97 * step / steps) * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            for place, slope in enumerate(slopes):
                first[place] += 0.1 * (slope - first[place])
                second[place] += 0.01 * (slope * slope - second[place])
                values[place] -= np.float32(rate) * first[place] / (np.sqrt(second[place]) + np.float32(1e-8))
    table, layer, bias = values
    return table, layer, bias


def calibrate(recogniser: Recogniser, rows: Sequence[Row]) -> Recogniser:
    """With the sharpness that makes the rows likeliest, and the threshold that keeps both shares of false alarms."""
    found = [(grams(row.text), row) for row in rows]
    found = [(buckets, row) for buckets, row in found if len(buckets)]
    lengths = np.array([len(buckets) for buckets, _ in found], np.float32)
    flat = np.stack([_scores(recogniser, buckets) for buckets, _ in found])
    truth = np.array([recogniser.codes.index(row.code) for _, row in found])
    weight = np.array([1.0 if row.kind in {"sentence", "fragment", "request"} else 0.5 for _, row in found])

    def loss(scale: float, power: float) -> float:
        chance = softmax(flat * (scale * lengths**power)[:, None])
        return float(-(weight * np.log(np.maximum(chance[np.arange(len(truth)), truth], 1e-12))).mean())

    pairs = [(scale, power) for power in np.arange(-0.4, 0.45, 0.1) for scale in np.geomspace(0.1, 4, 38)]
    scale, power = min(pairs, key=lambda pair: loss(*pair))
    recogniser = replace(recogniser, sharpness=(float(scale), float(power)))
    chance = softmax(flat * (scale * lengths**power)[:, None])[:, recogniser.codes.index("en")]
    kinds = np.array([row.kind for _, row in found])
    limits = [
        np.quantile(chance[kinds == kind], share, method="lower")
        for kind, share in (("request", FALSE_ALARMS), ("mixed", FALSE_ALARMS_MIXED))
        if (kinds == kind).any()
    ]
    return replace(recogniser, threshold=float(min(limits, default=0.0)))


def write(path: Path, recogniser: Recogniser) -> None:
    """Raises: OSError: the file cannot be written."""
    from safetensors.numpy import save_file

    tensors: dict[str, Array] = {
        "table": recogniser.table,
        "layer": recogniser.layer.astype(np.float32),
        "bias": recogniser.bias.astype(np.float32),
        "sharpness": np.array(recogniser.sharpness, np.float32),
        "threshold": np.array([recogniser.threshold], np.float32),
    }
    # One key alone: safetensors writes several in no fixed order.
    save_file(tensors, path, {"codes": " ".join(recogniser.codes)})
    # safetensors makes files that their owner alone may read.
    path.chmod(0o644)


def judge(recogniser: Recogniser, rows: Sequence[Row]) -> dict[str, float]:
    """Per kind: accuracy, the share called foreign (of English rows: false alarms, of others: recall)."""
    figures: dict[str, float] = {}
    chances = [recogniser.probabilities(row.text) for row in rows]
    right = np.array([recogniser.codes[int(c.argmax())] == row.code for c, row in zip(chances, rows, strict=True)])
    english = np.array([row.code == "en" for row in rows])
    called = np.array([c.any() and c[recogniser.codes.index("en")] < recogniser.threshold for c in chances])
    kinds = np.array([row.kind for row in rows])
    for kind in dict.fromkeys(kinds):
        of = kinds == kind
        figures[f"{kind}_accuracy"] = float(right[of].mean())
        for name, group in (("false_alarms", of & english), ("foreign_recall", of & ~english)):
            if group.any():
                figures[f"{kind}_{name}"] = float(called[group].mean())
    return {name: round(value, 4) for name, value in figures.items()}


def worst(recogniser: Recogniser, rows: Sequence[Row], count: int = 10) -> list[tuple[float, str]]:
    """The English requests that look most foreign, with their probability of being English."""
    english = [(recogniser.recognise(row.text).english, row.text) for row in rows if row.kind == "request"]
    return sorted(english)[:count]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m expertd.distill.language", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, default=datasets.folder(), metavar="DIR", help="the public data sets")
    parser.add_argument("--out", type=Path, default=weights_file(), metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        train, valid = prepare(options.data)
    except OSError as error:
        print(f"language: {error}", file=sys.stderr)
        return 1
    print(f"learning from {len(train):,} rows, judging by {len(valid):,}", flush=True)
    write(options.out, calibrate(fit(train), valid))
    recogniser = Recogniser.load(options.out)
    print(f"sharpness {recogniser.sharpness}, foreign below P(served) {recogniser.threshold:.5f}")
    for name, value in judge(recogniser, valid).items():
        print(f"  {name:<30} {value}")
    for chance, text in worst(recogniser, valid):
        print(f"  {chance:.5f} {'foreign' if chance < recogniser.threshold else ''} {text[:100]}")
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


def _scores(recogniser: Recogniser, buckets: npt.NDArray[np.uint32]) -> Array:
    total = recogniser.table[buckets].sum(axis=0, dtype=np.float32) * np.float32(len(buckets) ** -0.5)
    return np.asarray(total @ recogniser.layer + recogniser.bias)


if __name__ == "__main__":
    sys.exit(main())
