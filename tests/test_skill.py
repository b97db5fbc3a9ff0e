"""The kind `skill` and the bundles of it that ship: golden examples, sentences, and what a loader refuses."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from expertd.experts.bundle import Bundle, open_bundle, seal
from expertd.experts.errors import BundleError, ExpertError
from expertd.experts.golden import check, to_query
from expertd.experts.kinds import skill
from expertd.experts.servable import Host
from expertd.experts.skills import system
from expertd.experts.skills.registry import SKILLS
from expertd.experts.values import Abstention, Document, Outcome, Query

SHIPPED = Path(__file__).resolve().parent.parent / "experts" / "bundles"
NAMES = sorted(SKILLS)
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)


def sealed(name: str, folder: Path) -> Bundle:
    """A copy of a shipped bundle, sealed, so that the test does not depend on when the original was."""
    shutil.copytree(SHIPPED / name, folder / name)
    seal(folder / name)
    return open_bundle(folder / name)


async def silent(text: str) -> None:
    raise AssertionError("a skill answers whole")


async def outcome_of(servable: skill.SkillServable, query: Query) -> Outcome | Exception:
    try:
        return await servable.answer(query, silent)
    except ExpertError as error:
        return error


@pytest.mark.parametrize("name", NAMES)
async def test_golden_examples_pass_and_change_nothing(name: str, tmp_path: Path, host: Host) -> None:
    bundle = sealed(name, tmp_path)
    servable = await skill.load(bundle, host)
    golden = bundle.golden()
    assert len(golden) >= 10
    for example in golden:
        assert check(await outcome_of(servable, to_query(example)), example.expect) is None, example.query_fields.text
    assert host.scheduler.jobs("timers") == []
    assert servable.worker_pid() == 0
    assert not servable.needs_vector
    assert 0 < servable.resident_bytes() <= bundle.manifest.resources.memory_mb * 2**20
    await servable.close()


@pytest.mark.parametrize("name", NAMES)
async def test_no_sentence_of_a_bundle_is_disowned(
    name: str, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "SAMPLE_S", 0.001)
    bundle = sealed(name, tmp_path)
    servable = await skill.load(bundle, host)
    disowned = []
    count = 0
    for intent in bundle.intents():
        for sentence in intent.sentences:
            count += 1
            query = Query(sentence, NOW, BERLIN, intent=intent.name, rehearsal=True)
            outcome = await outcome_of(servable, query)
            if isinstance(outcome, Exception) or (isinstance(outcome, Abstention) and outcome.code != "needs_input"):
                disowned.append((sentence, outcome))
    assert count >= 60
    assert disowned == []


@pytest.mark.parametrize("name", NAMES)
async def test_sentences_of_the_other_bundles_are_mostly_disowned(
    name: str, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the router's word; an abstention is better than a guess."""
    monkeypatch.setattr(system, "SAMPLE_S", 0.001)
    servable = await skill.load(sealed(name, tmp_path), host)
    taken, count = [], 0
    for other in NAMES:
        if other == name:
            continue
        for line in (SHIPPED / other / "intents.jsonl").read_text("utf-8").splitlines():
            sentence = json.loads(line)["text"]
            count += 1
            outcome = await outcome_of(servable, Query(sentence, NOW, BERLIN, rehearsal=True))
            if not isinstance(outcome, Abstention) or outcome.code != "not_mine":
                taken.append(sentence)
    assert len(taken) <= count // 20, taken


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "?",
        "\x00",
        "🙂🙂🙂",
        "x" * 100_000,
        "1" * 100_000,
        "((((" * 10_000,
        "at " * 20_000,
        "明日七時に起こして",
    ],
)
async def test_odd_texts_are_met_with_an_abstention_or_a_clear_refusal(name: str, text: str, host: Host) -> None:
    servable = skill.SkillServable(SKILLS[name](host))
    for intent in ("", "create", "time"):
        outcome = await outcome_of(servable, Query(text, NOW, BERLIN, intent=intent, rehearsal=True))
        if not isinstance(outcome, Exception):
            assert not isinstance(outcome, Abstention) or outcome.reason


async def test_an_unknown_skill_is_refused_with_the_known_ones(tmp_path: Path, host: Host) -> None:
    folder = tmp_path / "timers"
    shutil.copytree(SHIPPED / "timers", folder)
    manifest = (folder / "expert.toml").read_text()
    (folder / "expert.toml").write_text(manifest.replace('[skill]\nname = "timers"', '[skill]\nname = "timer"'))
    seal(folder)
    with pytest.raises(BundleError, match=r'"timer" is no skill.*did you mean "timers"\?.*calculator, clock'):
        await skill.load(open_bundle(folder), host)


async def test_two_versions_share_what_is_set(host: Host) -> None:
    one, other = skill.SkillServable(SKILLS["timers"](host)), skill.SkillServable(SKILLS["timers"](host))
    now = datetime.now(BERLIN)
    await one.answer(Query("set a pasta timer for 20 minutes", now, BERLIN), silent)
    await one.close()
    listed = await other.answer(Query("what timers do I have", now, BERLIN), silent)
    assert not isinstance(listed, Abstention)
    assert "Pasta timer" in listed.text


async def test_what_a_skill_remembers_of_documents_counts_as_its_memory(host: Host) -> None:
    servable = skill.SkillServable(SKILLS["search"](host))
    before = servable.resident_bytes()
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{n}" for n in range(20_000)]
    text = ". ".join(" ".join(words[n : n + 8]).capitalize() for n in range(0, len(words), 8)) + "."
    gc.collect()
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        asked = Query(f"where does it mention {words[100]}", datetime.now(BERLIN), BERLIN, document=Document(text))
        await servable.answer(asked, silent)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    assert servable.resident_bytes() - before == pytest.approx(grown, rel=0.4)
