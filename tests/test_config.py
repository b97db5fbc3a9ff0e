"""The configuration: defaults, refusals, derived paths, and the way back to a file."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.daemon import config as configuration
from expertd.daemon.config import UNSET, Config, ConfigError, dump, load

EXAMPLE = Path(__file__).parent.parent / "systemd" / "expertd.toml"
HOME = {"HOME": "/home/ada"}


@pytest.fixture
def load_text(tmp_path: Path) -> Any:
    def load_it(text: str, environ: dict[str, str] | None = None) -> Config:
        file = tmp_path / "expertd.toml"
        file.write_text(text, encoding="utf-8")
        return load(file, HOME if environ is None else environ)

    return load_it


@pytest.fixture
def refusal(load_text: Any, tmp_path: Path) -> Any:
    def refuse(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load_text(text)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'expertd.toml'}: ")
        return message.removeprefix(f"{tmp_path / 'expertd.toml'}: ")

    return refuse


# --- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[titan]\nbase_ulr = "http://x"', "[titan] base_ulr: unknown key; did you mean base_url?"),
        ('stat_dir = "/x"', "stat_dir: unknown key; did you mean state_dir?"),
        ("[titn]\nenabled = true", "titn: unknown section; did you mean [titan]?"),
        ("[shutdown]\nkeep_text = true", "[shutdown] keep_text: unknown key; it belongs in [traces]"),
        ("keep_text = true", "keep_text: unknown key; it belongs in [traces]"),
        ('[models]\nlog_level = "info"', "[models] log_level: unknown key; it belongs at the top, before the first"),
        ("[shutdown]\nxyzzy = 1", "[shutdown] xyzzy: unknown key; known here are grace_s"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_name(refusal: Any, text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[titan]\ntimeout_s = "soon"', '[titan] timeout_s = "soon": must be seconds, more than 0 and at most 86400'),
        ("[titan]\ntimeout_s = 0", "[titan] timeout_s = 0: must be seconds"),
        ("[titan]\ntimeout_s = nan", "[titan] timeout_s = NaN: must be seconds"),
        ("[titan]\ntimeout_s = inf", "[titan] timeout_s = Infinity: must be seconds"),
        ("[titan]\nenabled = 1", "[titan] enabled = 1: must be true or false"),
        ('[titan]\nbase_url = "api.example.org"', '[titan] base_url = "api.example.org": must be an http://'),
        ("[experts]\nkeep_versions = 0", "[experts] keep_versions = 0: must be a whole number, at least 1"),
        ("[experts]\nkeep_versions = true", "[experts] keep_versions = true: must be a whole number"),
        ("[experts]\nkeep_versions = 2.5", "[experts] keep_versions = 2.5: must be a whole number"),
        ('[experts]\ndrop_in = "bundles"', '[experts] drop_in = "bundles": must be an absolute path'),
        ("[experts]\ndrop_in = 3", "[experts] drop_in = 3: must be an absolute path"),
        ("[router]\nreject_in_scope = 0.9", "[router] reject_in_scope = 0.9: must be a share between 0 and 0.5"),
        ('log_level = "loud"', 'log_level = "loud": must be "debug", "info", "warning" or "error"'),
        ('time_zone = "Mars/Olympus"', 'time_zone = "Mars/Olympus": must be a time zone\'s IANA name'),
        ('time_zone = "../etc/passwd"', 'time_zone = "../etc/passwd": must be a time zone\'s IANA name'),
        ("time_zone = 1979-05-27", "time_zone = 1979-05-27: must be a time zone's IANA name"),
        ("titan = true", "titan: is a section, written [titan] on a line of its own"),
        ("[[titan]]\nenabled = true", "titan: is a section, written [titan] on a line of its own"),
    ],
)
def test_a_wrong_value_is_refused_with_key_and_rule(refusal: Any, text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_all_problems_are_named_at_once(refusal: Any) -> None:
    message = refusal('log_levle = "info"\n[titan]\ntimeout_s = -1\n[limits]\nmax_in_flight = "many"')
    assert message.startswith("3 problems\n")
    assert [part in message for part in ("log_levle", "timeout_s", "max_in_flight")] == [True] * 3


def test_a_key_pasted_where_its_place_belongs_is_not_repeated(refusal: Any) -> None:
    message = refusal('[titan]\napi_key_env = "sk-proj-abc"')
    assert "environment variable" in message
    assert "sk-proj" not in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[titan\n", "is not TOML"),
        (b'model = "\xff"', "is not UTF-8 at byte 9"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {message}")):
        load(file, HOME)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", HOME)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(None, HOME | {"EXPERTD_CONFIG": str(tmp_path / "none.toml")})


@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=20))
def test_whatever_a_file_holds_it_is_a_configuration_or_refused(tree: Any) -> None:
    problems: list[str] = []
    given_tree = tree if isinstance(tree, dict) else {"titan": tree}
    made = configuration._section(Config, given_tree, "", HOME, problems)
    assert isinstance(made, Config)
    assert bool(problems) == bool(given_tree)


# --- Where things are ------------------------------------------------------------------------------------------------


def test_the_files_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {name: tmp_path / name / "expertd" / "expertd.toml" for name in ("named", "xdg", "etc")}
    for name, place in places.items():
        place.parent.mkdir(parents=True)
        place.write_text(f'[titan]\nmodel = "{name}"')
    monkeypatch.setattr(configuration, "SYSTEM_FILE", places["etc"])
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    environs = [HOME | xdg | {"EXPERTD_CONFIG": str(places["named"])}, HOME | xdg, {"HOME": str(tmp_path)}]
    assert [load(None, environ).titan.model for environ in environs] == ["named", "xdg", "etc"]
    assert load(places["etc"], environs[0]).titan.model == "etc"


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "SYSTEM_FILE", tmp_path / "none")
    config = load(None, {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"})
    paths = {"state_dir": UNSET, "socket": UNSET}
    assert msgspec.structs.replace(config, **paths) == Config()
    assert config.state_dir == tmp_path / ".local" / "state" / "expertd"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/expertd:/var/lib/other", "XDG_STATE_HOME": "/x"}, "/var/lib/expertd"),
        ({"XDG_STATE_HOME": "/x/state"}, "/x/state/expertd"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/expertd"),
        ({}, "/home/ada/.local/state/expertd"),
    ],
)
def test_the_state_folder_follows_the_environment(load_text: Any, environ: dict[str, str], expected: str) -> None:
    config = load_text("", HOME | environ)
    assert config.state_dir == Path(expected)
    assert config.database == Path(expected, "expertd.db")
    assert {config.store_root, config.trunk_root, config.models_root, config.quarantine_root} == {
        Path(expected, name) for name in ("store", "trunk", "models", "quarantine")
    }


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"EXPERTD_SOCKET": "/s/e.sock", "RUNTIME_DIRECTORY": "/run/expertd"}, "/s/e.sock"),
        ({"RUNTIME_DIRECTORY": "/run/expertd", "XDG_RUNTIME_DIR": "/run/user/7"}, "/run/expertd/expertd.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/expertd/expertd.sock"),
    ],
)
def test_the_socket_follows_the_environment(load_text: Any, environ: dict[str, str], expected: str) -> None:
    assert load_text("", HOME | environ).socket == Path(expected)
    assert load_text("", HOME | environ).runtime_dir == Path(expected).parent


def test_without_a_session_the_socket_is_in_the_users_own_folder(load_text: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(configuration.os, "getuid", lambda: 4_123_456)
    assert load_text("").socket == Path("/tmp/expertd-4123456/expertd.sock")


def test_the_file_wins_over_the_environment(load_text: Any) -> None:
    environ = HOME | {"EXPERTD_SOCKET": "/a", "STATE_DIRECTORY": "/b", "EXPERTD_COMPANION_SOCKET": "/c"}
    config = load_text('socket = "~/e.sock"\nstate_dir = "/d"\n[titan]\nsocket = "/t"', environ)
    assert (config.socket, config.state_dir, config.titan.socket) == (Path("/home/ada/e.sock"), Path("/d"), Path("/t"))
    assert load_text("", environ).titan.socket == Path("/c")


# --- And back --------------------------------------------------------------------------------------------------------


def test_the_example_file_names_every_key_with_its_default() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert tomllib.loads(uncommented) == tomllib.loads(dump(Config()))
    assert load(EXAMPLE, HOME | {"XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "/s"}) == msgspec.structs.replace(
        Config(), socket=Path("/r/expertd/expertd.sock"), state_dir=Path("/s/expertd")
    )


@given(
    model=st.text(st.characters(exclude_categories=("Cs",))),
    timeout_s=st.floats(min_value=1e-300, max_value=86_400),
    folder=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    rows=st.integers(min_value=1, max_value=2**40),
    keep_text=st.booleans(),
)
def test_a_printed_configuration_loads_as_the_same(
    tmp_path_factory: Any, model: str, timeout_s: float, folder: str, rows: int, keep_text: bool
) -> None:
    wanted = Config(
        state_dir=Path("/state", folder),
        socket=Path("/s.sock"),
        titan=configuration.TitanConfig(model=model, timeout_s=timeout_s),
        traces=configuration.TracesConfig(max_rows=rows, keep_text=keep_text),
    )
    file = tmp_path_factory.mktemp("printed") / "c.toml"
    file.write_bytes(dump(wanted).encode())
    assert load(file, {}) == wanted
