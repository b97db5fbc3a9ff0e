"""The secrets expert: what is one, what only looks like one, and what is left of a text without them."""

from __future__ import annotations

import base64
import json
import random
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from expertd.experts.bundle import open_bundle
from expertd.experts.golden import check, to_query
from expertd.experts.kinds.tagger import Finder, TaggerServable, load, open_finder
from expertd.experts.servable import Host
from expertd.experts.tagging.credentials import entropy, is_placeholder
from expertd.experts.values import Abstention, Answer, Query, Structured

FOLDER = Path(__file__).resolve().parent.parent / "experts" / "bundles" / "secrets"
ALNUM = string.ascii_letters + string.digits
HEX = string.digits + "abcdef"


def some(letters: str, count: int) -> str:
    """Made at random: nobody's key, and in no source that is searched for keys."""
    return "".join(random.Random(f"{letters}{count}").choices(letters, k=count))


@pytest.fixture(scope="module")
def finder() -> Finder:
    return open_finder(open_bundle(FOLDER))[1]


@pytest.fixture
async def servable(host: Host) -> TaggerServable:
    return await load(open_bundle(FOLDER), host)


def found(finder: Finder, text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in finder.spans(text)]


async def silent(text: str) -> None:
    raise AssertionError("it answers whole")


async def test_golden_examples_pass(servable: TaggerServable) -> None:
    for example in open_bundle(FOLDER).golden():
        assert check(await servable.answer(to_query(example), silent), example.expect) is None, example.query_fields


TOKENS = [
    ("aws-key", "AK" + "IA" + some(string.ascii_uppercase + "234567", 16)),
    ("google-key", "AI" + "za" + some(ALNUM, 35)),
    ("github-token", "gh" + "p_" + some(ALNUM, 36)),
    ("github-token", "github" + "_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59)),
    ("gitlab-token", "gl" + "pat-" + some(ALNUM, 20)),
    ("slack-token", "xo" + "xb-" + some(string.digits, 12) + "-" + some(ALNUM, 24)),
    ("stripe-key", "sk" + "_live_" + some(ALNUM, 24)),
    ("twilio-key", "S" + "K" + some(HEX, 32)),
    ("sendgrid-key", "S" + "G." + some(ALNUM, 22) + "." + some(ALNUM, 43)),
    ("openai-key", "s" + "k-" + some(ALNUM, 48)),
    ("anthropic-key", "s" + "k-ant-api03-" + some(ALNUM, 80)),
    ("huggingface-token", "h" + "f_" + some(ALNUM, 34)),
    ("npm-token", "np" + "m_" + some(ALNUM, 36)),
    ("pypi-token", "py" + "pi-AgEIcHlwaS5vcmc" + some(ALNUM, 70)),
    ("telegram-token", some("123456789", 10) + ":A" + "A" + some(ALNUM, 33)),
    ("digitalocean-token", "do" + "p_v1_" + some(HEX, 64)),
]


@pytest.mark.parametrize(("type_", "token"), TOKENS, ids=[type_ for type_, _ in TOKENS])
def test_a_token_is_known_by_its_issuers_prefix(finder: Finder, type_: str, token: str) -> None:
    for text in (token, f"use {token}, please", f'{{"x": "{token}"}}', f"https://x.local/?t={token}&u=1", f"({token})"):
        assert found(finder, text) == [(type_, token)]


def test_a_token_too_short_or_inside_a_word_is_none(finder: Finder) -> None:
    assert found(finder, "gh" + "p_" + some(ALNUM, 20)) == []
    assert found(finder, "my" + "gh" + "p_" + some(ALNUM, 36)) == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("DB_PASSWORD=tr4velling-Otter", "tr4velling-Otter"),
        ("db.password = Sommerregen", None),
        ("spring.datasource.password=Sommer2024", "Sommer2024"),
        ('password: "correct horse battery staple"', "correct horse battery staple"),
        ("  adminPassword: 'kR9!vaLe_2',", "kR9!vaLe_2"),
        ("$password = 'Winter#77';", "Winter#77"),
        ('config["password"] = "Winter#77"', "Winter#77"),
        ('{\\"password\\": \\"Winter#77\\"}', "Winter#77"),
        ("<password>Winter#77</password>", "Winter#77"),
        ("Server=db;User Id=sa;Password=Winter#77;", "Winter#77"),
        ("api_key: 7f3Kq9Zx2Lm8Rt4V", "7f3Kq9Zx2Lm8Rt4V"),
        ("JWT_SECRET=b'9vQ2xK7mZr4Tn8Wp'", "9vQ2xK7mZr4Tn8Wp"),
        ("curl -u admin:Winter77 https://x.local", "Winter77"),
        ("mysql --password=Winter77 shop", "Winter77"),
        ("redis://:Winter77@cache:6379/0", "Winter77"),
        ("amqp://guest:Winter77@[::1]:5672", "Winter77"),
        ("Authorization: Bearer 9vQ2xK7mZr4Tn8WpLs6D", "9vQ2xK7mZr4Tn8WpLs6D"),
    ],
)
def test_a_value_is_known_by_its_name(finder: Finder, text: str, secret: str | None) -> None:
    if secret is not None:
        assert [value for _, value in found(finder, text)] == [secret]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the password is hunter2", "hunter2"),
        ("hi, my password is hunter2, please change it", "hunter2"),
        ("The wifi password is Blaubeere77.", "Blaubeere77"),
        ("new pw is tulip-4711!", "tulip-4711!"),
        ('the passphrase is "correct-horse"', "correct-horse"),
        ("password for the router: Winter77", "Winter77"),
        ("door code is 4821", "4821"),
        ("the password is swordfish.", "swordfish"),
        ("PASSWORD IS HUNTER2", "HUNTER2"),
        ("the api key is 9vQ2xK7mZr4Tn8WpLs6D", "9vQ2xK7mZr4Tn8WpLs6D"),
    ],
)
def test_a_sentence_gives_one_away(finder: Finder, text: str, secret: str) -> None:
    assert [value for _, value in found(finder, text)] == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "PASSWORD=changeme",
        "API_KEY=<your key>",
        "SECRET=${SECRET}",
        "password: {{ vault.password }}",
        "TOKEN=xxxxxxxxxxxxxxxx",
        "token = '********'",
        "AWS_KEY=AK" + "IAIOSFODNN7EXAMPLE",
        "password = os.environ['DB_PASSWORD']",
        "password = getpass.getpass()",
        "token = response.json()['token']",
        "self.password = password",
        "const token = session.token;",
        "def login(user: str, password: str) -> bool:",
        "if password is None: raise",
        "password.length > 8",
        "password_min_length = 12",
        "PASSWORD_RESET_URL=https://shop.local/reset",
        "max_tokens: 2048",
        "token_type: bearer",
        '"password": "Password"',
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "550e8400-e29b-41d4-a716-446655440000",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "-----BEGIN CERTIFICATE-----\nMIIB9TCCAWACAQAwgbgxGTAXBgNVBAoMEFF1b1ZhZGlzIExpbWl0\n-----END CERTIFICATE-----",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ana@laptop",
        "the password is required",
        "the password is stored in the vault",
        "your password is wrong, try again",
        "what is the password of the week?",
        "the secret is to add a pinch of salt",
        "https://ana@example.org/path",
        "12:30:45",
        "",
    ],
)
def test_what_only_looks_like_one_is_none(finder: Finder, text: str) -> None:
    assert found(finder, text) == []


def test_a_private_key_is_one_span_with_or_without_its_end(finder: Finder) -> None:
    body = "\n".join(some(ALNUM + "+/", 60 + line) for line in range(4))
    whole = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----"
    assert found(finder, f"key:\n{whole}\nbye") == [("private-key", whole)]
    ((type_, value),) = found(finder, whole.removesuffix("-----END OPENSSH PRIVATE KEY-----"))
    assert type_ == "private-key"
    assert body in value


def test_a_web_token_is_one_only_if_its_head_says_so(finder: Finder) -> None:
    def token(head: dict[str, Any]) -> str:
        first = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
        return f"{first}.{some(ALNUM, 40)}.{some(ALNUM, 43)}"

    good, bad = token({"alg": "HS256", "typ": "JWT"}), token({"name": "nothing of the kind"})
    assert found(finder, f"cookie={good}") == [("jwt", good)]
    assert found(finder, f"cookie={bad}") == []


def test_secrets_of_other_lines_and_languages_are_found(finder: Finder) -> None:
    text = "Üben: пароль 🔑\nPASSWORT=Blaubeere77\n密码: nichts\n"
    assert found(finder, text) == [("password", "Blaubeere77")]
    assert text[finder.spans(text)[0].start :].startswith("Blaubeere77")


def test_entropy_and_placeholders() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
    assert all(map(is_placeholder, ["xxxx", "<key>", "${X}", "changeme", "your-api-key", "abcdefgh", "12345678"]))
    assert not any(map(is_placeholder, ["hunter2", "Blaubeere77", "9vQ2xK7mZr4Tn8Wp"]))


async def test_the_sentence_for_people_does_not_repeat_the_secret(servable: TaggerServable) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    asked = Query("any secrets", now, ZoneInfo("UTC"), intent="find", payload="DB_PASSWORD=tr4velling-Otter")
    answer = await servable.answer(asked, silent)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Structured)
    assert answer.text == "1 secret: password t…."
    assert answer.result.data["redacted"] == "DB_PASSWORD=[PASSWORD]"


async def test_it_asks_back_without_a_text(servable: TaggerServable) -> None:
    asked = Query("any secrets in this", datetime(2026, 3, 2, tzinfo=UTC), ZoneInfo("UTC"), intent="find")
    assert isinstance(await servable.answer(asked, silent), Abstention)
