"""The configuration: one TOML file, every key with a default.

    --config FILE, else $EXPERTD_CONFIG, else $XDG_CONFIG_HOME/expertd/expertd.toml, else /etc/expertd/expertd.toml

A key that nobody knows is refused with the nearest one that is known, a value that breaks its rule with the rule; all
at once, so that a file is mended in one go. Knows nothing of what the values are for, and touches no file but its own.
"""

from __future__ import annotations

import json
import os
import pwd
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

SYSTEM_FILE = Path("/etc/expertd/expertd.toml")
# A path that is not set; in the file, "".
UNSET = Path()

_Section = TypeVar("_Section", bound=Struct)


class ConfigError(Exception):
    """The configuration breaks a rule; the text names the file, the key, the rule and the way out."""


# --- The rules, each in words ----------------------------------------------------------------------------------------

Switch = Annotated[bool, Meta(description="true or false")]
String = Annotated[str, Meta(description="text in quotes")]
Location = Annotated[Path, Meta(description='an absolute path or one that begins with "~/", in quotes')]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", description="an http:// or https:// address in quotes")]
Variable = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of an environment variable, not the key itself"),
]
Zone = Annotated[str, Meta(description='a time zone\'s IANA name, such as "Europe/Berlin", or "" for the machine\'s')]
Locale = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", description='a language tag such as "en-GB"')
]
Share = Annotated[float, Meta(ge=0, le=0.5, description="a share between 0 and 0.5")]
Fraction = Annotated[float, Meta(gt=0, le=1, description="a share, more than 0 and at most 1")]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description="seconds, more than 0 and at most 86400")]
Count = Annotated[int, Meta(ge=1, le=2**40, description="a whole number, at least 1")]
CountFromZero = Annotated[int, Meta(ge=0, le=2**40, description="a whole number, at least 0")]
MessageBytes = Annotated[int, Meta(ge=65_536, le=2**31 - 1, description="bytes, 65536 to 2147483647")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], Meta(description='"debug", "info", "warning" or "error"')
]
LogFormat = Annotated[Literal["auto", "text", "json"], Meta(description='"auto", "text" or "json"')]


# --- The sections, each with its defaults ----------------------------------------------------------------------------


class TrunkConfig(Struct, frozen=True, kw_only=True):
    """folder: where the encoder's files lie already; unset: found by hash. hub: where they are fetched from."""

    folder: Location = UNSET
    hub: Url = "https://huggingface.co"


class RouterConfig(Struct, frozen=True, kw_only=True):
    """reject_in_scope: the share of requests that an expert could answer, but that may be sent away."""

    reject_in_scope: Share = 0.08


class ExpertsConfig(Struct, frozen=True, kw_only=True):
    """drop_in: a folder; bundles that are put there are installed. keep_versions: of each expert, for rollback."""

    drop_in: Location = UNSET
    keep_versions: Count = 3


class TitanConfig(Struct, frozen=True, kw_only=True):
    """The large model behind the fallback: any endpoint that speaks OpenAI's protocol.

    api_key_env, api_key_file: where the key is, the file first. redact: whether numbers, addresses and keys that
    identify somebody or open something give way to names before a request leaves. socket: of a companion that runs as a
    service of its own; unset: the daemon starts one.
    """

    enabled: Switch = True
    base_url: Url = "https://api.openai.com/v1"
    model: String = "gpt-4o-mini"
    api_key_env: Variable = "OPENAI_API_KEY"
    api_key_file: Location = UNSET
    timeout_s: Seconds = 60.0
    max_retries: CountFromZero = 2
    redact: Switch = True
    socket: Location = UNSET


class TextConfig(Struct, frozen=True, kw_only=True):
    """Workers that run text models. threads: 0 means the physical cores less one."""

    threads: CountFromZero = 0
    context_tokens: Count = 4096
    max_tokens: Count = 512
    start_timeout_s: Seconds = 60.0


class ModelsConfig(Struct, frozen=True, kw_only=True):
    """hub: where text models are fetched from."""

    hub: Url = "https://huggingface.co"


class TracesConfig(Struct, frozen=True, kw_only=True):
    """keep_text: whether the requests' own words are stored."""

    enabled: Switch = True
    keep_text: Switch = False
    keep_days: Count = 30
    max_rows: Count = 200_000


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """What one request may weigh, how many there may be at once, and how they share the daemon.

    concurrent: requests that run in the daemon itself; the others wait in line, one line per app. max_in_flight: those
    that run, wait or are at work in a worker or with the titan. crowd_share: of the daemon's time, for apps that ask
    without pause and for background requests, while another app asks now and then; 1: they are not held back.
    """

    max_text_chars: Count = 32_768
    max_document_chars: Count = 1_000_000
    max_series_points: Count = 1_000_000
    max_message_bytes: MessageBytes = 16 * 1024 * 1024
    concurrent: Count = 4
    max_in_flight: Count = 256
    max_in_flight_per_app: Count = 128
    crowd_share: Fraction = 0.25
    default_deadline_s: Seconds = 60.0


class MemoryConfig(Struct, frozen=True, kw_only=True):
    """budget_mb: what all loaded experts may take together; 0: half of what this machine, or our group on it, has.

    pressure: the share of time in which somebody on this machine waits for memory, from which on idle experts are
    unloaded.
    """

    budget_mb: CountFromZero = 0
    pressure: Share = 0.1


class ShutdownConfig(Struct, frozen=True, kw_only=True):
    """grace_s: how long requests in flight may take once the daemon was told to stop."""

    grace_s: Seconds = 10.0


class NotificationsConfig(Struct, frozen=True, kw_only=True):
    """desktop: show timers that fire on the desktop, where there is one."""

    desktop: Switch = True


class Config(Struct, frozen=True, kw_only=True):
    """The effective configuration. After `load`, `state_dir` and `socket` are absolute, whatever the file said."""

    state_dir: Location = UNSET
    socket: Location = UNSET
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    time_zone: Zone = ""
    locale: Locale = "en"
    trunk: TrunkConfig = TrunkConfig()
    router: RouterConfig = RouterConfig()
    experts: ExpertsConfig = ExpertsConfig()
    titan: TitanConfig = TitanConfig()
    text: TextConfig = TextConfig()
    models: ModelsConfig = ModelsConfig()
    traces: TracesConfig = TracesConfig()
    limits: LimitsConfig = LimitsConfig()
    memory: MemoryConfig = MemoryConfig()
    shutdown: ShutdownConfig = ShutdownConfig()
    notifications: NotificationsConfig = NotificationsConfig()

    @property
    def database(self) -> Path:
        """SQLite: traces, timers, notes."""
        return self.state_dir / "expertd.db"

    @property
    def store_root(self) -> Path:
        return self.state_dir / "store"

    @property
    def quarantine_root(self) -> Path:
        return self.state_dir / "quarantine"

    @property
    def trunk_root(self) -> Path:
        return self.state_dir / "trunk"

    @property
    def models_root(self) -> Path:
        return self.state_dir / "models"

    @property
    def runtime_dir(self) -> Path:
        """The folder of the socket, and of the workers' sockets."""
        return self.socket.parent


# --- From the file to the value --------------------------------------------------------------------------------------


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from `path`, or from where it is looked for; without any file, the defaults.

    environ: the environment that the paths depend on (`os.environ`).

    Raises: ConfigError when the file cannot be read or breaks a rule; all its problems are named.
    """
    source = find(path, environ)
    given: Mapping[str, Any] = {} if source is None else _read(source)
    problems: list[str] = []
    config = _section(Config, given, "", environ, problems)
    if problems:
        head = f"{source}: " if len(problems) == 1 else f"{source}: {len(problems)} problems\n  "
        raise ConfigError(head + "\n  ".join(problems))
    return msgspec.structs.replace(
        config,
        state_dir=config.state_dir if config.state_dir != UNSET else _default_state_dir(environ),
        socket=config.socket if config.socket != UNSET else default_socket(environ),
        titan=msgspec.structs.replace(config.titan, socket=_companion_socket(config.titan.socket, environ)),
    )


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that `load` reads; None: there is none. A file that was named must exist, and `load` says if not."""
    if path is not None:
        return path
    if named := environ.get("EXPERTD_CONFIG"):
        return Path(named)
    home = _xdg(environ, "XDG_CONFIG_HOME") or _home(environ) / ".config"
    places = (home / "expertd" / "expertd.toml", SYSTEM_FILE)
    return next((place for place in places if place.is_file()), None)


def default_socket(environ: Mapping[str, str]) -> Path:
    """Where the daemon listens unless the configuration says otherwise; clients look by the same rule."""
    if named := environ.get("EXPERTD_SOCKET"):
        return Path(named).absolute()
    if granted := _granted(environ, "RUNTIME_DIRECTORY"):
        return granted / "expertd.sock"
    if runtime := _xdg(environ, "XDG_RUNTIME_DIR"):
        return runtime / "expertd" / "expertd.sock"
    runtime = Path(f"/run/user/{os.getuid()}")
    if runtime.is_dir():
        return runtime / "expertd" / "expertd.sock"
    return Path(f"/tmp/expertd-{os.getuid()}/expertd.sock")  # noqa: S108, the folder is checked before use


def _default_state_dir(environ: Mapping[str, str]) -> Path:
    if granted := _granted(environ, "STATE_DIRECTORY"):
        return granted
    return (_xdg(environ, "XDG_STATE_HOME") or _home(environ) / ".local" / "state") / "expertd"


def _companion_socket(configured: Path, environ: Mapping[str, str]) -> Path:
    """A unit file cannot edit the configuration, so it names its companion's socket in the environment."""
    named = environ.get("EXPERTD_COMPANION_SOCKET", "")
    return Path(named).absolute() if named and configured == UNSET else configured


def _granted(environ: Mapping[str, str], variable: str) -> Path | None:
    """The first folder of those that systemd made for the service."""
    first = environ.get(variable, "").split(":")[0]
    return Path(first) if first else None


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    """Relative values are ignored, as the XDG base directory specification asks."""
    value = Path(environ.get(variable, ""))
    return value if value.is_absolute() else None


def _home(environ: Mapping[str, str]) -> Path:
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ConfigError(f"user {os.getuid()} has no home folder; set HOME, or state_dir and --config") from None


def _read(source: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from error


def _section(
    kind: type[_Section], given: Mapping[str, Any], section: str, environ: Mapping[str, str], problems: list[str]
) -> _Section:
    """One table as its value; what breaks a rule is left at its default and told in `problems`."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            problems.append(f"{_name(section, key)}: unknown {_noun(value)}{_suggestion(kind, key)}")
        elif _is_section(fields[key].type):
            if isinstance(value, Mapping):
                values[key] = _section(fields[key].type, value, key, environ, problems)
            else:
                problems.append(f"{key}: is a section, written [{key}] on a line of its own")
        else:
            try:
                values[key] = _value(fields[key].type, value, environ)
            except (msgspec.ValidationError, ValueError):
                rule = get_args(fields[key].type)[1].description
                # A key that somebody pasted where its place belongs must not end in a log.
                shown = "" if key.startswith("api_key") else f" = {_shown(value)}"
                problems.append(f"{_name(section, key)}{shown}: must be {rule}")
    return kind(**values)


def _value(kind: Any, value: Any, environ: Mapping[str, str]) -> Any:
    if get_args(kind)[0] is Path:
        return _path(value, environ)
    checked = msgspec.convert(value, kind)
    if kind is Zone and checked:
        try:
            zoneinfo.ZoneInfo(checked)
        except (zoneinfo.ZoneInfoNotFoundError, OSError) as error:
            raise ValueError(checked) from error
    return checked


def _path(value: Any, environ: Mapping[str, str]) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(value)
    if value.startswith("~/"):
        return _home(environ) / value[2:]
    path = Path(value)
    if path != UNSET and not path.is_absolute():
        raise ValueError(value)
    return path


def _suggestion(kind: type[Struct], key: str) -> str:
    """Where this very key lives, else the nearest known name."""
    import difflib

    sections = {field.name for field in msgspec.structs.fields(Config) if _is_section(field.type)}

    def written(name: str) -> str:
        return f"[{name}]" if kind is Config and name in sections else name

    if key in set(Config.__struct_fields__) - sections:
        return "; it belongs at the top, before the first section"
    for home in sorted(sections):
        if key in getattr(Config(), home).__struct_fields__:
            return f"; it belongs in [{home}]"
    if near := difflib.get_close_matches(key, kind.__struct_fields__, n=1):
        return f"; did you mean {written(near[0])}?"
    return "; known here are " + ", ".join(map(written, kind.__struct_fields__))


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _name(section: str, key: str) -> str:
    return f"[{section}] {key}" if section else key


def _noun(value: Any) -> str:
    return "section" if isinstance(value, Mapping) else "key"


def _shown(value: Any, most_chars: int = 60) -> str:
    text = _toml(value) if isinstance(value, (str, bool, int, float)) else str(value)
    return text if len(text) <= most_chars else text[: most_chars - 1] + "…"


# --- From the value to a file ----------------------------------------------------------------------------------------


def dump(config: Config) -> str:
    """The configuration as TOML; loading it gives the same configuration."""
    return "\n".join(_lines(config)) + "\n"


def _lines(config: Config) -> Iterator[str]:
    values = msgspec.structs.asdict(config)
    for key, value in values.items():
        if not isinstance(value, Struct):
            yield f"{key} = {_toml(value)}"
    for section, value in values.items():
        if isinstance(value, Struct):
            yield f"\n[{section}]"
            for key, item in msgspec.structs.asdict(value).items():
                yield f"{key} = {_toml(item)}"


def _toml(value: str | bool | int | float | Path) -> str:
    if isinstance(value, Path):
        return _toml("" if value == UNSET else str(value))
    if isinstance(value, str):
        # TOML's basic strings are JSON's, but for one control character that JSON lets through.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
