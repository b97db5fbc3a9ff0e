"""expertctl policy: by which road new versions of an expert come to serve."""

from __future__ import annotations

from collections.abc import Callable

import click

from expertd.v1 import fleet_pb2 as fleet

from .invocation import Invocation, complete_expert, json_option, pass_invocation
from .render import percent
from .render_fleet import policy_line


def share(most: float) -> Callable[[str], float]:
    """Reads a share of a whole, "10%" or "0.1". A bare number above 1 could mean either: it is refused."""

    def read(value: str) -> float:
        number, sign, rest = value.replace(" ", "").partition("%")
        try:
            found = float(number) / (100 if sign else 1)
        except ValueError:
            rest, found = value, 0.0
        if rest:
            raise click.BadParameter(f"{value!r} is no share; write 10% or 0.1")
        if not sign and found > 1:
            raise click.BadParameter(f"{value!r} is more than the whole; write {number}% or {found / 100:g}")
        if not 0 <= found <= most:
            raise click.BadParameter(f"{value!r} is not between 0 and {percent(most)}")
        return found

    return read


@click.command()
@click.argument("expert", shell_complete=complete_expert)
@click.option(
    "--shadow",
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    help="Compare N answers of the version that serves with the new one's, which nobody sees; 0: none.",
)
@click.option(
    "--canary", type=share(0.5), metavar="SHARE", help="Then have it answer this share of sessions (10%, 0.1); 0: none."
)
@click.option("--requests", type=click.IntRange(1, 1_000_000), metavar="N", help="… until it has answered N requests.")
@click.option(
    "--margin",
    type=share(1.0),
    metavar="SHARE",
    help="By how much its share of right answers to held-out examples may be lower.",
)
@click.option("--reset", is_flag=True, help="As when nobody had decided anything.")
@json_option
@pass_invocation
def policy(
    invocation: Invocation,
    expert: str,
    *,
    shadow: int | None,
    canary: float | None,
    requests: int | None,
    margin: float | None,
    reset: bool,
) -> None:
    """Show how new versions of EXPERT come to serve, or set it.

    \b
    expertctl policy spam                                  # what holds now
    expertctl policy spam --shadow 200                     # compare 200 answers in silence first
    expertctl policy spam --canary 10% --requests 50       # then a tenth of sessions, for 50 requests
    expertctl policy spam --canary 0 --shadow 0            # serve at once what passes its examination

    Whatever the policy, a new version is examined first, and one that does worse than its predecessor is undone.
    """
    changing = any(value is not None for value in (shadow, canary, requests, margin))
    if reset and changing:
        raise click.UsageError("--reset brings everything back; leave the other options out")
    if reset:
        holds = invocation.client.fleet.set_policy(expert, None).policy
    elif changing:
        present = invocation.client.fleet.get(expert).expert.policy
        wanted = _changed(present, shadow=shadow, canary=canary, requests=requests, margin=margin)
        holds = invocation.client.fleet.set_policy(expert, wanted).policy
    else:
        holds = invocation.client.fleet.get(expert).expert.policy
    if invocation.terminal.json:
        invocation.terminal.document(fleet.SetPolicyRequest(name=expert, policy=holds))
    else:
        invocation.terminal.say(f"{expert}: {policy_line(holds)}")


def _changed(
    present: fleet.Policy, *, shadow: int | None, canary: float | None, requests: int | None, margin: float | None
) -> fleet.Policy:
    """What was not named stays as it is."""
    wanted = fleet.Policy()
    wanted.CopyFrom(present)
    if shadow is not None:
        wanted.shadow_requests = shadow
    if margin is not None:
        wanted.margin = margin
    if canary is not None:
        wanted.canary_share = canary
    if canary == 0:
        if requests is not None:
            raise click.UsageError("--canary 0 means no canary; leave --requests out")
        wanted.canary_requests = 0
    elif requests is not None:
        if not wanted.canary_share:
            raise click.UsageError("--requests says how long a canary lasts; give --canary too: --canary 10%")
        wanted.canary_requests = requests
    elif canary is not None and not wanted.canary_requests:
        raise click.UsageError("how many requests must the canary answer? Give --requests too: --requests 50")
    return wanted


COMMANDS = (policy,)
