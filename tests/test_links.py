"""Links are taken apart as browsers do it, whatever they hold, and what deceives about them is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.kinds import links
from expertd.experts.kinds.links import address, borrowed, find, is_number, is_own_network, look_alike, mixes_scripts
from expertd.experts.kinds.signals import SETS


def signals(text: str) -> set[str]:
    reading = SETS["links"].read(text)
    return {name for name, value in zip(SETS["links"].names, reading.values, strict=True) if value}


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://www.shop.example/a?b#c", "www.shop.example"),
        ("HTTP://Shop.Example:8080/", "shop.example"),
        ("http://bank.example@203.0.113.7/x", "203.0.113.7"),
        ("https://a@b@c@evil.example", "evil.example"),
        ("http:\\\\evil.example\\bank.example", "evil.example"),
        ("http://evil.exam\nple/\tx", "evil.example"),
        ("http://bank.example%2eevil.example/", "bank.example.evil.example"),
        ("http://[2001:db8::1]:8080/a", "2001:db8::1"),
        ("//evil.example/x", "evil.example"),
        ("evil.example:8080/x", "evil.example"),
        ("http://evil.example?x=bank.example/", "evil.example"),
        ("http://xn--pypal-4ve.com", "pаypal.com"),
        ("http://xn--\x00/", "xn--\x00"),
        ("http://", ""),
        ("", ""),
        ("javascript:alert(1)", ""),
        ("http://[::1", "::1"),
    ],
)
def test_the_host_is_where_a_browser_would_go(target: str, host: str) -> None:
    assert address(target).host == host


@pytest.mark.parametrize(
    ("host", "owner"),
    [("a.b.shop.example", "shop.example"), ("www.bank.co.uk", "bank.co.uk"), ("x.com.au", "x.com.au"), ("one", "one")],
)
def test_what_somebody_owns_ends_before_the_common_endings(host: str, owner: str) -> None:
    assert links.registrable(host) == owner


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("paypa1.com", "paypal"),
        ("rnicrosoft.com", "microsoft"),
        ("g00gle-login.example", "google"),
        ("payypal.example", "paypal"),
        ("netlfix.example", "netflix"),
        ("pаypal.com", "paypal"),
        ("paypal.com", ""),
        ("www.amazon.co.uk", ""),
        ("googlemaps-fans.example", ""),
        ("bakery.example", ""),
    ],
)
def test_names_that_imitate_a_well_known_one_are_found(host: str, name: str) -> None:
    assert look_alike(host) == name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("paypal.com.check.example", "paypal"),
        ("secure-paypal.example", "paypal"),
        ("www.amazon.co.uk.orders.example", "amazon"),
        ("chase-login.example", "chase"),
        ("amazon.it", ""),
        ("mail.google.com", ""),
        ("office.company.example", ""),
        ("video-live.example", ""),
        ("applepie.example", ""),
    ],
)
def test_a_well_known_name_inside_a_foreign_host_is_found(host: str, name: str) -> None:
    assert borrowed(host) == name


def test_hosts_in_numbers_have_many_forms_and_names_have_none() -> None:
    assert all(map(is_number, ["203.0.113.7", "3405803783", "0xcb007107", "0x7f.1", "2001:db8::1"]))
    assert not any(map(is_number, ["shop.example", "1and1.example", "127.0.0.1.example"]))


def test_the_own_network_is_no_stranger() -> None:
    assert all(map(is_own_network, ["localhost", "192.168.1.20", "10.0.0.1", "::1", "nas.local", "wiki"]))
    assert not any(map(is_own_network, ["203.0.113.7", "shop.example", "3232235777", "172.217.16.1", "8.8.8.8"]))


def test_letters_of_two_scripts_in_one_name_are_told_from_honest_foreign_names() -> None:
    assert mixes_scripts("pаypal.com")
    assert not mixes_scripts("münchen.example")
    assert not mixes_scripts("россия.example")


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ('<a href="http://203.0.113.9/x">https://www.paypal.com</a>', "shows another host"),
        ("<a href='http://pay.example'>www.hsbc.co.uk/login</a>", "shows another host"),
        ("go to http://203.0.113.9/login", "link in numbers"),
        ("see http://paypal.com@pay.example/", "name before @"),
        ("https://bit.ly/abcdef", "shortener"),
        ("http://pay.example:8081/tv", "odd port"),
        ("https://a-b-c-d.example/", "many hyphens"),
        ("http://x7k2m9q4w1.example/a", "long random name"),
        ("data:text/html;base64,PGh0bWw+", "script link"),
        ("open Invoice_12.pdf.exe please", "program"),
        ("load http://pay.example/setup.scr", "program"),
        ("PayPal: log in at https://greenfield.example/a", "named sender elsewhere"),
        ("your account will be suspended", "account threat"),
        ("buy gift cards and send me the codes", "gift cards"),
    ],
)
def test_each_deceit_has_its_signal(text: str, signal: str) -> None:
    assert signal in signals(text)


@pytest.mark.parametrize(
    "text",
    [
        "see https://github.com/acme/shop/pull/12",
        '<a href="https://www.amazon.de/orders">www.amazon.de</a>',
        '<a href="https://www.ikea.com">Our new lamps</a>',
        "the board is at http://192.168.1.20:3000",
        "the file report.final.pdf is 3.5 MB, e.g. the one of Dr.Smith",
    ],
)
def test_an_honest_link_raises_no_suspicion(text: str) -> None:
    assert not SETS["links"].read(text).told


def test_a_link_is_no_word_to_the_n_grams() -> None:
    assert SETS["links"].read("pay at http://203.0.113.9/x now").text == "pay at LINK now"


HOSTILE = [
    "a." * 15_000,
    "http://" + "a" * 30_000 + ".example",
    "http://" + "@" * 30_000,
    "<a href='" * 3_300,
    "<" * 30_000,
    "&#" * 15_000,
    "http://[" * 4_000,
    "%00" * 10_000,
    "http://" + "xn--" * 7_000,
    "\x00\ud800\u202e" * 9_000,
    "your account " * 2_300,
    "ignore all " * 2_700,
    "<!--" * 7_500,
    "I g " * 7_500,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", list(SETS))
@pytest.mark.timeout(10)
def test_hostile_texts_are_read_in_the_end(text: str, name: str) -> None:
    reading = SETS[name].read(text)
    assert reading.values.shape == (len(SETS[name].names),)


@given(st.text(max_size=200), st.sampled_from(["", "http://", "https://www.", "<a href='", "data:", "//"]))
def test_no_text_is_too_strange(text: str, before: str) -> None:
    for read in SETS.values():
        reading = read.read(before + text)
        assert ((reading.values >= 0) & (reading.values <= 1)).all()
        assert all("\n" not in told and len(told) < 200 for told in reading.told.values())


@given(st.text(max_size=100))
def test_a_link_is_taken_apart_without_an_error(target: str) -> None:
    found = address(target)
    assert len(found.host) <= 2 * links.MAX_LINK_CHARACTERS
    assert 0 <= found.port < 100_000


def test_only_so_many_links_are_judged() -> None:
    assert len(find("http://a.example " * 500)[0]) == links.MAX_LINKS
