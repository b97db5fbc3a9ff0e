"""Texts with secrets that were never anybody's, made at random in the shapes that issuers publish, and texts that look
as if they had some. The same rows for the same seed.

Each row is {text, spans: [{start, end, type, value}]}. Half of the rows have no secret: placeholders, references to
variables, hashes, UUIDs, images, and talk about passwords.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM, HEX = UPPER + LOWER + DIGITS, DIGITS + "abcdef"
URL_SAFE = ALNUM + "-_"


def rows(count: int = 1_000, seed: int = 12) -> list[Row]:
    """`count` rows, every second one with a secret."""
    maker = _Maker(random.Random(seed))
    return [maker.positive() if number % 2 == 0 else maker.negative() for number in range(count)]


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def positive(self) -> Row:
        make = self._chance.choice([self._token, self._token, self._assigned, self._assigned, self._said, self._other])
        type_, secret, text = make()
        start = text.index(secret)
        return {"text": text, "spans": [{"type": type_, "value": secret, "start": start, "end": start + len(secret)}]}

    def negative(self) -> Row:
        return {"text": self._harmless(), "spans": []}

    # --- Secrets ------------------------------------------------------------------------------------------------------

    def _token(self) -> tuple[str, str, str]:
        some = self._some
        shapes: list[tuple[str, Callable[[], str]]] = [
            ("aws-key", lambda: "AKIA" + some(UPPER + "234567", 16)),
            ("google-key", lambda: "AIza" + some(URL_SAFE, 35)),
            ("github-token", lambda: self._one("ghp_", "gho_", "ghs_", "ghu_") + some(ALNUM, 36)),
            ("github-token", lambda: "github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59)),
            ("gitlab-token", lambda: "glpat-" + some(URL_SAFE, 20)),
            ("slack-token", lambda: f"xoxb-{some(DIGITS, 12)}-{some(DIGITS, 13)}-{some(ALNUM, 24)}"),
            ("stripe-key", lambda: self._one("sk_live_", "rk_live_") + some(ALNUM, 24)),
            ("twilio-key", lambda: "SK" + some(HEX, 32)),
            ("sendgrid-key", lambda: f"SG.{some(URL_SAFE, 22)}.{some(URL_SAFE, 43)}"),
            ("openai-key", lambda: "sk-" + some(ALNUM, 48)),
            ("openai-key", lambda: "sk-proj-" + some(URL_SAFE, 80)),
            ("npm-token", lambda: "npm_" + some(ALNUM, 36)),
            ("pypi-token", lambda: "pypi-AgEIcHlwaS5vcmc" + some(URL_SAFE, 70)),
            ("huggingface-token", lambda: "hf_" + some(ALNUM, 34)),
            ("azure-key", lambda: some(ALNUM + "+/", 86) + "=="),
        ]
        type_, make = self._chance.choice(shapes)
        secret = make()
        frames = (
            *(
                "token: {}",
                "export TOKEN={}",
                '"key": "{}",',
                "use {} for now",
                "curl -H 'X-Key: {}' https://api.local/v1",
            ),
            *("// {} <- remove before the release", "the key we got is {}, please store it", "key={}&page=2"),
        )
        frame = (
            self._one("AccountKey={};", "account_key = '{}'") if type_ == "azure-key" else self._chance.choice(frames)
        )
        return type_, secret, self._within(frame.format(secret))

    def _assigned(self) -> tuple[str, str, str]:
        name = self._one(
            "DB_PASSWORD", "password", "db.password", "adminPassword", "SMTP_PASS", "redis_passwd", "PGPASSWORD"
        )
        frames = (
            *(
                "{}={}",
                "{} = '{}'",
                '{}: "{}"',
                "{}: {}",
                '"{}": "{}",',
                'export {}="{}"',
                "{} => '{}',",
                'const {} = "{}";',
            ),
            *(
                "spring.{}={}",
                "ENV {} {}",
                "<{0}>{1}</{0}>",
                "-D{}={}",
                "{} := `{}`",
                "Server=db;Uid=sa;{}={};",
                '\\"{}\\":\\"{}\\"',
            ),
            *(
                "settings['{}'] = '{}'",
                '$env:{} = "{}"',
                '{{ name: {}, value: "{}" }}',
                "set {}={}",
                "# {}: {}",
                '<add key="{}" value="{}"/>',
            ),
        )
        type_ = "password"
        if self._chance.random() < 0.4:
            type_ = "secret"
            name = self._one(
                "SECRET_KEY", "api_key", "clientSecret", "auth_token", "ACCESS_TOKEN", "jwt_secret", "apikey"
            )
            secret = self._some(self._one(ALNUM, HEX, ALNUM + "_-"), self._one(20, 24, 32, 40))
        else:
            secret = self._password()
        return type_, secret, self._within(self._chance.choice(frames).format(name, secret))

    def _said(self) -> tuple[str, str, str]:
        secret = self._password()
        frame = self._one(
            "the password is {}", "my password is {}, please change it",
            "hi, the wifi password is {} - see you later", "login: ana\npassword: {}",
            "you can use my account, user jo and password {}", "new pw is {}", "Passwort für den Server: {}",
            'the passphrase is "{}"', "the pin is {}", "I set the password to admin's old one: {}",
            "The password for the backup server is now {}.", "password for the router: {}",
            "machine db.local login jo password {}", "creds: jo / {}", "log in as jo with {}", "u: jo p: {}",
            "mot de passe : {}", "la contraseña es {}", "das Passwort lautet {}",
            "Your temporary password: {}\nIt expires tomorrow.", "passwd {} for root",
            "her password was {} until last week", "pw: {}", "unlock it with {} (that's the passcode)",
            "use password {} to open the zip",
        )  # fmt: skip
        if "pin" in frame:
            secret = self._some(DIGITS, 4)
        return "password", secret, frame.format(secret)

    def _other(self) -> tuple[str, str, str]:
        some = self._some
        kind = self._chance.randrange(5)
        if kind == 0:
            secret = self._password(safe=True)
            scheme = self._one("postgres", "https", "mongodb+srv", "amqp", "redis", "mysql")
            return (
                "password",
                secret,
                self._within(f"{scheme}://app:{secret}@{self._one('db.local', '10.1.2.3')}:5432/shop"),
            )
        if kind == 1:
            name = self._one("RSA ", "EC ", "OPENSSH ", "")
            body = "\n".join(some(ALNUM + "+/", 64) for _ in range(self._one(4, 12)))
            secret = f"-----BEGIN {name}PRIVATE KEY-----\n{body}\n-----END {name}PRIVATE KEY-----"
            return "private-key", secret, f"deploy key:\n{secret}\n"
        if kind == 2:
            parts = (
                {"alg": self._one("HS256", "RS256"), "typ": "JWT"},
                {"sub": some(DIGITS, 8), "exp": self._chance.randrange(10**9)},
            )
            encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
            secret = ".".join([*encoded, some(URL_SAFE, 43)])
            return "jwt", secret, self._within(f"{self._one('Authorization: Bearer ', 'cookie: session=')}{secret}")
        if kind == 3:
            secret = some(ALNUM + "/+", 40)
            return "aws-key", secret, self._within(f"aws_secret_access_key = {secret}")
        secret = self._password(safe=True)
        return (
            "password",
            secret,
            f"{self._one('curl -u admin:', 'mysql -h db --password=', 'deploy --password ')}{secret} https://x.local",
        )

    def _password(self, *, safe: bool = False) -> str:
        words = (
            "otter",
            "Regen",
            "tulip",
            "Mango",
            "river",
            "Falke",
            "kiwi",
            "Sommer",
            "wolf",
            "Paris",
            "coffee",
            "Dragon",
        )
        word = self._chance.choice(words)
        signs = "_-.~" if safe else "!?_-#%&+"
        return self._one(
            f"{word}{self._some(DIGITS, self._one(2, 4))}",
            f"{word}{self._one(*signs)}{self._chance.choice(words)}{self._some(DIGITS, 1)}",
            self._some(ALNUM, self._one(10, 14, 18)),
            f"{self._some(ALNUM, 5)}{self._one(*signs)}{self._some(ALNUM, 6)}",
        )

    # --- What is none -------------------------------------------------------------------------------------------------

    def _harmless(self) -> str:
        digest = hashlib.sha256(self._some(ALNUM, 9).encode()).hexdigest()
        number = uuid.UUID(int=self._chance.getrandbits(128), version=4)
        image = base64.b64encode(self._chance.randbytes(60)).decode()
        stand_in = self._one(
            *(
                "changeme",
                "<your password>",
                "${DB_PASSWORD}",
                "xxxxxxxxxxxx",
                "your-api-key-here",
                "********",
                "example",
            ),
            *("{{ secret }}", "$SECRET", "%(password)s", "REPLACE_ME", "<TOKEN>", "", "null", "placeholder", "dummy"),
        )
        name = self._one("password", "API_KEY", "secret_key", "DB_PASSWORD", "token", "client_secret")
        text = self._one(
            f"{name} = {stand_in}", f'{name}: "{stand_in}"', f'"{name}": "{stand_in}"', f"export {name}={stand_in}",
            f"commit {digest[:40]}", f"sha256:{digest}", f"md5 {digest[:32]}  report.pdf", f"id: {number}",
            f"request {number} took 12 ms", f"data:image/png;base64,{image}",
            f"<img src='data:image/gif;base64,{image}'>", f"integrity=\"sha384-{image}\"",
            f"{name} = os.environ['{name.upper()}']", f"{name} = config.get('{name}')", f"self.{name} = {name}",
            f"def login(user: str, {name}: str) -> bool:", f"if {name} is None:", f"const {name} = req.body.{name};",
            f"{name} = getpass.getpass()", "max_tokens: 2048", "tokens = text.split()", "token_type: bearer",
            "password_min_length = 12", "passwordField: 'input#password'",
            "PASSWORD_RESET_URL=https://shop.local/reset", "secret_name: db-credentials", "the password is required",
            "your password must be at least ten characters long", "I forgot my password again",
            "the password is wrong, try another", "can you reset my password please?", "is this password safe",
            "the key to success is patience", "the secret is to add a pinch of salt",
            "token ring networks are history", "public key cryptography needs two keys",
            "-----BEGIN PUBLIC KEY-----\n" + image[:64] + "\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\n" + image[:64] + "\n-----END CERTIFICATE-----", f"ETag: \"{digest[:32]}\"",
            "key: value", f"etcd key /registry/pods/{number}",
            f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB{image} ana@laptop", f"https://shop.local/item?id={digest[:16]}",
            f"version 1.{self._some(DIGITS, 2)}.{self._some(DIGITS, 1)}", "monkey: banana", "keyboard = QWERTZ",
            f"primary_key: user_{self._some(DIGITS, 4)}", "foreign key (order_id) references orders(id)",
            '"password": "Mot de passe"', '"login.password.label": "Your password"',
            "<input type='password' name='password'>", "password: string;", "password VARCHAR(255) NOT NULL",
            "api_key: str = Field(default=None)", "token := lexer.Next()", "Enter password:", "Password: ",
            "Forgot password?", "PASSWORD: required, at least 8 characters", "token=tokenizer.decode(ids)",
            "password_hash = bcrypt.hash(password)", "secretsmanager:GetSecretValue", "SECRET_NAME=prod/db/main",
            "key_file = /etc/ssl/key.pem", "kubectl get secret db-credentials -o yaml",
            "api-key: ${{ secrets.API_KEY }}", "password = input('Password: ')", "set -o password_prompt",
            "the token bucket algorithm", "pass: 12, fail: 3", "tests pass: all", "pwd: /home/ana/src",
            "password managers are great", "the password is case sensitive", "your password was changed yesterday",
            "a secret: nobody knows", f"build token={self._some(DIGITS, 3)}", "tokens: [1, 2, 3]",
            "csrf_token: {{ csrf_token() }}", "<password>${db.password}</password>", f"session {number} expired",
            "aws_access_key_id = <your access key id>", "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx", "ghp_your_token_here",
            "passport number is required", "compass: north", "the passenger's name is Ann", "bypass = True",
            f"cache-key: {digest[:20]}",
        )  # fmt: skip
        return self._within(text) if self._chance.random() < 0.5 else text

    # --- By chance ----------------------------------------------------------------------------------------------------

    def _within(self, text: str) -> str:
        """Between other lines, every other time."""
        around = (
            "# settings",
            "host: db.local",
            "retries = 3",
            "import os",
            "[server]",
            "LOG_LEVEL=debug",
            "See the wiki.",
        )
        before, after = self._one("", "", self._one(*around) + "\n"), self._one("", "", "\n" + self._one(*around))
        return f"{before}{text}{after}"

    def _some(self, letters: str, count: int) -> str:
        return "".join(self._chance.choice(letters) for _ in range(count))

    def _one(self, *choices: Any) -> Any:
        return self._chance.choice(choices)
