"""Keys, tokens and passwords in a text.

Three ways to know one: the prefix and length that its issuer publishes; the name that it is assigned to; a sentence
that says it. A value that stands for one ("changeme", "<your key>", "${TOKEN}") is none, and neither is a long random
string that nothing calls a secret: hashes, UUIDs and images look the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from types import MappingProxyType

from .recogniser import Check, Recogniser
from .spans import Evidence

# --- What is no secret -----------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"(?i)[x*#.…_?0-]{3,}|<.{0,80}>?|\[.{0,80}\]?|\{\{?.{0,80}|\$[\w({].{0,80}|%\w{1,40}%|"
    r"%\(?\w{0,40}\)?[sd]?|@\w{1,40}@|"
    r".{0,40}(?:example|changeme|change[_-]me|change-?this|placeholder|redacted|replace[_-]?(?:me|this|with)|dummy|fixme|"
    r"todo|insert[_-]|put[_-]your|your[_ -]?\w{0,20}[_ -]?(?:key|token|secret|pass|here)|xxxx|\*\*\*\*|\.\.\.|"
    r"1234567890).{0,80}|"
    r"your[_-].{0,80}|my[_-]?(?:secret|password|token|api[_-]?key)(?:[_-]?here)?|fake[_-].{0,80}|test|testing|"
    r"secret|password|passwd|pass|passphrase|token|key|apikey|api_key|none|null|nil|undefined|true|false|yes|no|"
    r"empty|unset|default|string|str|text|bytes|value|required|optional|hidden|masked|blank|any|env|input|prompt|unknown|n/?a|tbd"
)
# Words that follow "the password is", and are none.
_NO_PASSWORD = frozenset(
    re.findall(
        r"\S+",
        "a an the not no now too very so still also only just always never currently already being going required "
        "optional wrong incorrect invalid correct right valid missing empty blank weak strong short long safe "
        "unsafe secure insecure good bad ok fine old new expired expiring needed necessary mandatory stored saved "
        "kept hashed salted encrypted hidden visible shown asked in at on to for by with from of under below above "
        "here there gone lost forgotten changed reset set unset unknown known unchanged different same what why how "
        "when where who your my his her their our its it this that these those case checked sent displayed printed "
        "important compromised leaked exposed public private obvious simple complex it's something somewhere "
        "written required. and or but if than then as ",
    )
)


def is_placeholder(value: str) -> bool:
    """Whether a value merely stands for a secret: repeated, counted up, or a word that says so."""
    if len(set(value)) <= 2 or value in "abcdefghijklmnopqrstuvwxyz0123456789":
        return True
    return _PLACEHOLDER.fullmatch(value) is not None


def entropy(value: str) -> float:
    """Bits per character, by the frequencies of its own characters (Shannon, 1948)."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())


# --- By their form ---------------------------------------------------------------------------------------------------


def _is_random(match: re.Match[str]) -> float | None:
    value = match["value"]
    return None if is_placeholder(value) or entropy(value) < 2.5 else 0.98


def _issued(type_: str, prefix: str, rest: str, *triggers: str) -> Recogniser:
    """A token with a prefix of its own. triggers: what it begins with, in lower case."""
    return Recogniser(
        type_,
        rf"(?<![A-Za-z0-9_-])(?P<value>(?:{prefix})(?:{rest}))(?![A-Za-z0-9])",
        check=_is_random,
        triggers=triggers,
        evidence=Evidence.PROVED,
    )


_ISSUED = (
    _issued("aws-key", "AKIA|ASIA|ABIA|ACCA", "[A-Z0-9]{16}", "akia", "asia", "abia", "acca"),
    _issued("google-key", "AIza", "[A-Za-z0-9_-]{35}", "aiza"),
    _issued("google-key", "GOCSPX-", "[A-Za-z0-9_-]{28}", "gocspx-"),
    _issued("google-key", r"ya29\.", "[A-Za-z0-9_-]{30,300}", "ya29."),
    _issued("azure-key", "", r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", "q~"),
    _issued("github-token", "gh[pousr]_", "[A-Za-z0-9]{36,251}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _issued("github-token", "github_pat_", "[A-Za-z0-9_]{40,251}", "github_pat_"),
    _issued("gitlab-token", "gl(?:pat|dt|rt|ft|cbt|ptt|agent|oas)-", "[A-Za-z0-9_.-]{20,64}", "gl"),
    _issued("slack-token", "xox[abeoprs]-|xapp-", "[A-Za-z0-9-]{10,250}", "xox", "xapp-"),
    _issued("stripe-key", "[sr]k_(?:live|test)_", "[A-Za-z0-9]{10,247}", "k_live_", "k_test_"),
    _issued("stripe-key", "whsec_", "[A-Za-z0-9+/]{24,64}", "whsec_"),
    _issued("twilio-key", "SK", "[0-9a-f]{32}", "sk"),
    _issued("sendgrid-key", r"SG\.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", "sg."),
    _issued("mailgun-key", "key-", "[0-9a-f]{32}", "key-"),
    _issued("anthropic-key", "sk-ant-", "[A-Za-z0-9_-]{24,200}", "sk-ant-"),
    _issued("openai-key", "sk-(?:proj|svcacct|admin|None)-", "[A-Za-z0-9_-]{20,250}", "sk-"),
    _issued("openai-key", "sk-", "[A-Za-z0-9]{32,64}", "sk-"),
    _issued("huggingface-token", "hf_", "[A-Za-z0-9]{30,40}", "hf_"),
    _issued("npm-token", "npm_", "[A-Za-z0-9]{36}", "npm_"),
    _issued("pypi-token", "pypi-", "AgE[A-Za-z0-9_-]{50,250}", "pypi-"),
    _issued("digitalocean-token", "do[opr]_v1_", "[0-9a-f]{64}", "_v1_"),
    _issued("shopify-token", "shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}", "shp"),
    _issued("databricks-token", "dapi", "[0-9a-f]{32}", "dapi"),
    _issued("vault-token", r"hv[sbr]\.", "[A-Za-z0-9_-]{24,250}", "hvs.", "hvb.", "hvr."),
    _issued("telegram-token", "", r"\d{8,10}:AA[A-Za-z0-9_-]{33}", ":aa"),
    _issued("discord-token", "[MNO]", r"[A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}", "."),
    _issued("age-key", "AGE-SECRET-KEY-1", "[0-9A-Z]{58}", "age-secret-key-1"),
    Recogniser(
        "slack-token",
        r"(?<!\w)hooks\.slack\.com/services/(?P<value>T[A-Z0-9]{5,14}/B[A-Z0-9]{5,14}/[A-Za-z0-9]{18,30})",
        check=_is_random,
        triggers=("hooks.slack.com",),
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "aws-key",  # the secret half has no prefix: forty characters beside its name
        r"(?i)aws[\w.-]{0,12}secret[\w.-]{0,16}[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        check=_is_random,
        triggers=("secret",),
        evidence=Evidence.PROVED,
    ),
    Recogniser(
        "azure-key",
        r"(?i)(?:account|sharedaccess|primary|secondary)_?key[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<value>[A-Za-z0-9+/]{42,86}={1,2})",
        check=_is_random,
        triggers=("key",),
        evidence=Evidence.PROVED,
    ),
)


def _pem(match: re.Match[str]) -> float | None:
    body = re.sub(r"\\[nr]|\s", "", match["body"])
    longest = max(re.findall(r"[A-Za-z0-9+/=]+", body), key=len, default="")
    return None if len(longest) < 32 or is_placeholder(longest) or entropy(longest) < 3 else 0.99


_PRIVATE_KEYS = (
    Recogniser(
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?P<body>(?:[^-]|-(?!----)){0,9000})"
        r"(?:-----END [A-Z0-9 ]{0,48}-----)?",
        check=_pem,
        triggers=("-----begin",),
        evidence=Evidence.PROVED,
    ),
)


def _jwt(match: re.Match[str]) -> float | None:
    """RFC 7519: the head of a token is a JSON object that names its algorithm."""
    head = match[0].partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return 0.95 if isinstance(fields, dict) and "alg" in fields else None


_JWT = (
    Recogniser(
        "jwt",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,1000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{0,1000}",
        check=_jwt,
        triggers=("eyj",),
        evidence=Evidence.PROVED,
    ),
)

# --- By their name ---------------------------------------------------------------------------------------------------

_CALLED_SO = (
    r"pass(?:word|wd|phrase|code)|pwd|(?<![A-Za-z])pass(?![A-Za-z])|(?<=[_-])pw(?![A-Za-z])|"
    r"passwort|contraseña|mot de passe"
)
_KEY = (
    r"secret|token|api[_ -]?key|(?:access|private|auth|encryption|signing|license|master|service|client|deploy)[_-]?key"
    r"|credential"
)
# What a name ends in when its value is about the secret, and not the secret.
_ABOUT = re.compile(
    r"(?i)(?:s|.*(?:file|path|dir|url|uri|name|id|length|len|min|max|policy|field|hash|digest|type|count|"
    r"expir\w*|ttl|timeout|label|hint|reset|regex|pattern|format|limit|size|env|var|version|manager|store|provider|class|enabled|required|prefix|"
    r"algorithm|alg|endpoint|issuer|scope|arn|ref|header|param))"
)
_ASSIGNED = (
    r"(?P<suffix>[\w.-]{0,24})\\?[\"'`\])]{0,2}[ \t]{0,4}(?P<sign>=>|:=|={1,3}|:|>)[ \t]{0,4}"
    r"(?:[bfru](?=[\"']))?\\?(?P<quote>[\"'`]?)"
    r"(?P<value>(?<=[\"'`])[^\"'`\r\n]{0,400}[^\"'`\r\n\\]|[^\s\"'`,;(){}\[\]<>|]{0,400}[^\s\"'`,;(){}\[\]<>|.:])"
)
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)*")


def _named(least: int, is_password: bool) -> Check:
    def check(match: re.Match[str]) -> float | None:
        value, suffix, text = match["value"], match["suffix"], match.string
        if len(value) < least or is_placeholder(value) or (suffix and _ABOUT.fullmatch(suffix.strip("_.-"))):
            return None
        quoted = bool(match["quote"])
        if not quoted:
            # What opens a bracket is a call or a look-up; "<" ends an element.
            if text.startswith(("(", "[", "{"), match.end()) or (
                text.startswith("<", match.end()) and match["sign"] != ">"
            ):
                return None
            if value.startswith(("$", "@", "&", "*", "!", "/", "./", "~/", "http")) or value.lower() in _NO_PASSWORD:
                return None
            # A name in code is no value; "=" without blanks, or a line of settings, gives it straight.
            straight = " " not in match[0] or match["sign"] == ":"
            if _IDENTIFIER.fullmatch(value) and (not straight or "." in value or not _looks_chosen(value)):
                return None
        if is_password:
            # A label says "Your password"; a passphrase has more words, or signs.
            is_label = " " in value and value.replace(" ", "").isalpha() and value.count(" ") < 3
            return None if is_label else 0.85
        if " " in value or value.isdigit() or (value.isalpha() and len(value) < 20):
            return None
        # In bits per character, which the length bounds: random hexadecimal of 16 has 3 and more.
        return 0.85 if entropy(value) >= (2.7 if len(value) >= 16 else 2.5) and _looks_chosen(value) else None

    return check


def _looks_chosen(value: str) -> bool:
    """Whether letters alone would not spell it: digits, signs or both cases inside."""
    return (
        any(letter.isdigit() for letter in value)
        or (value != value.lower() and value != value.upper() and not value.istitle())
        or any(not letter.isalnum() and letter not in "_-." for letter in value)
        or (value.isalpha() and len(value) >= 6 and value.lower() not in _NO_PASSWORD)
    )


def _argument(match: re.Match[str]) -> float | None:
    value = match["value"]
    return None if is_placeholder(value) or value.startswith(("-", "$", "<")) or len(value) < 3 else 0.8


def _paired(match: re.Match[str]) -> float | None:
    value = match["value"]
    return 0.8 if not is_placeholder(value) and not value.startswith("$") and _looks_chosen(value) else None


def _bearer(match: re.Match[str]) -> float | None:
    value = match["value"]
    mixed = any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)
    return 0.85 if mixed and entropy(value) >= 3 and not is_placeholder(value) else None


_URL_PASSWORD = (
    Recogniser(
        "password",
        r"://[^\s:/@'\"<>]{0,64}:(?P<value>[^\s@/'\"<>]{1,200})@[\w\[.-]",
        check=_argument,
        triggers=("://",),
        evidence=Evidence.PROVED,
    ),
)
_ASSIGNMENTS = (
    Recogniser(
        "password",
        rf"(?i)(?:{_CALLED_SO}){_ASSIGNED}",
        check=_named(4, is_password=True),
        triggers=("pass", "pw", "contrase"),
    ),
    Recogniser(
        "secret",
        rf"(?i)(?:{_KEY}){_ASSIGNED}",
        check=_named(8, is_password=False),
        triggers=("secret", "token", "key", "credential"),
    ),
    *(
        Recogniser(  # name: DB_PASSWORD, value: …; <add key="DB_PASSWORD" value="…"/>; ENV DB_PASSWORD …
            type_,
            rf"(?i)(?:(?:name|key)[\"']?[ \t]{{0,2}}[=:][ \t]{{0,2}}[\"']?[\w.-]{{0,40}}(?:{names})"
            r"[\"']?[, \t\n]{1,12}[\"']?value[\"']?[ \t]{0,2}[=:]|(?-i:ENV|SET|export|setenv)[ \t]{1,3}[\w.-]{0,40}"
            rf"(?:{names}))[ \t]{{0,3}}(?:(?<=[=: ])[\"']?)(?P<value>[^\s\"'<>]{{4,400}})",
            check=_paired,
            triggers=("value", "env", "set"),
        )
        for type_, names in (("password", _CALLED_SO), ("secret", _KEY))
    ),
    Recogniser(
        "secret",
        r"(?i)(?<![\w-])(?:bearer|basic|authorization: token)[ \t]{1,3}"
        r"(?P<value>[A-Za-z0-9._~+/-]{16,2000}={0,2})(?![\w])",
        check=_bearer,
        triggers=("bearer", "basic", "authorization"),
    ),
    Recogniser(
        "password",
        r"(?<![\w-])(?:--(?:password|passwd|pass|pw)|--\w{1,20}-password)[ =][\"']?(?P<value>[^\s\"']{3,200})",
        check=_argument,
        triggers=("--",),
    ),
    Recogniser(
        "secret",
        r"(?<![\w-])--(?:\w{1,20}-)?(?:token|secret|api-key|apikey|access-key)[ =][\"']?(?P<value>[^\s\"']{8,200})",
        check=_bearer,
        triggers=("--",),
    ),
    Recogniser(
        "password",
        r"(?<![\w-])(?:curl|wget|http)\b[^\n]{0,200}? (?:-u|--user)[ =][\"']?[\w.@+-]{1,64}:(?P<value>[^\s\"']{3,100})",
        check=_argument,
        triggers=("-u", "--user"),
    ),
)

# --- In a sentence ---------------------------------------------------------------------------------------------------


def _said(match: re.Match[str]) -> float | None:
    """Letters alone are a password only where the sentence ends with them."""
    value = match["value"].rstrip("!")
    if len(value) < 4 or value.lower() in _NO_PASSWORD or is_placeholder(value) or value.startswith(("http", "/")):
        return None
    if value.replace("'", "").replace("’", "").replace("-", "").isalpha() and not match["quote"]:
        rest = match.string[match.start("value") + len(value) : match.end("value") + 24]
        ends = re.match(r"[\"'”’)]*\s*(?:[.!?,;](?:\s|$)|$|\n|and\b|but\b|please\b|pls\b|so\b|\()", rest) is not None
        mixed = value != value.lower() and value[1:] != value[1:].lower()
        return 0.6 if mixed or (ends and len(value) >= 5 and not value.lower().endswith(("ed", "able"))) else None
    return 0.8


def _said_key(match: re.Match[str]) -> float | None:
    value = match["value"]
    mixed = any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)
    return 0.75 if mixed and entropy(value) >= 3 and not is_placeholder(value) else None


# A bare colon or equals sign is an assignment; here it follows what the password is for.
_SAYS = r"\s{1,3}(?:is now|is|was|now|will be|should be|ist|lautet|est|es|era)\s{0,2}:?\s{1,3}|\s{0,2}(?:->|→|–)\s{1,3}"
_FOR = r" (?:for|to|of|on|für|pour|para|del?) [^\n.:=]{1,40}?"
_SPOKEN = (
    Recogniser(
        "password",
        r"(?i)(?<![\w-])(?:pass ?(?:word|phrase|code)|passw(?:or)?[dt]|contraseña|mot de passe|pw|"
        r"login code|door code|wi-?fi code|pin(?: code| number)?)"
        rf"(?:(?:{_FOR})?(?:{_SAYS})|{_FOR}:\s{{1,3}})(?P<quote>[\"'“‘`]?)(?P<value>[^\s\"“”`]{{3,63}}[^\s\"“”`.,;:?)'’])",
        check=_said,
        triggers=("pass", "pw", "pin", "code", "contrase"),
    ),
    Recogniser(
        "password",
        r"(?i)(?<![\w-])(?:passw(?:or)?[dt]|pass(?:code|phrase)|pw)(?:\s{1,2}|\s?:\s{1,2})(?P<value>(?=[^\s(<=]{0,40}(?:\d|(?-i:[a-z][A-Z])))"
        r"(?=\S{0,40}[A-Za-z])[^\s,;:()<>=\"'][^\s,;:()<>=]{4,40}[^\s,;:.?()<>=])",
        0.7,
        triggers=("pass", "pw"),
    ),
    Recogniser(
        "secret",
        rf"(?i)(?<![\w-])(?:api[ -]?key|access key|secret key|auth(?:entication)? key|token|secret)"
        rf"(?:(?:{_FOR})?(?:{_SAYS})|{_FOR}:\s{{1,3}})"
        r"[\"'“`]?(?P<value>[A-Za-z0-9_./+=-]{12,400}[A-Za-z0-9_/+=-])",
        check=_said_key,
        triggers=("key", "token", "secret"),
    ),
)


def _by_type(recognisers: tuple[Recogniser, ...]) -> dict[str, tuple[Recogniser, ...]]:
    types = dict.fromkeys(recogniser.type for recogniser in recognisers)
    return {type_: tuple(each for each in recognisers if each.type == type_) for type_ in types}


CREDENTIALS = MappingProxyType(
    {
        **_by_type(_ISSUED),
        "assigned-secret": _ASSIGNMENTS,
        "jwt": _JWT,
        "private-key": _PRIVATE_KEYS,
        "spoken-secret": _SPOKEN,
        "url-password": _URL_PASSWORD,
    }
)
