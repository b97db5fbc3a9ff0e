"""What the operator decided of each expert: whether it is pinned, and by which road a new version comes to serve.

One small file, replaced whole with each change, so that a decision outlives a restart. Knows no fleet: what a policy
means there is the writer's to say.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import msgspec

from .errors import QueryError, StoreError

log = logging.getLogger(__name__)

FILE = "policies.json"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one expert. pinned: never unloaded to make room.

    shadow_requests: so many answers of the serving version are compared with a candidate's, which nobody sees; 0: none.
    canary_share: of sessions, which a candidate answers before it serves all; canary_requests: so many of them.
    margin: by how much a candidate's share of right answers to the held-out examples may be lower than the serving
    version's.
    """

    pinned: bool = False
    shadow_requests: int = 0
    canary_share: float = 0.0
    canary_requests: int = 0
    margin: float = 0.05

    def checked(self) -> Policy:
        """Itself. Raises: QueryError naming the value and its rule."""
        if not 0 <= self.shadow_requests <= 1_000_000:
            raise _refused("shadow_requests", self.shadow_requests, "a whole number from 0 to 1,000,000")
        if not 0 <= self.canary_requests <= 1_000_000:
            raise _refused("canary_requests", self.canary_requests, "a whole number from 0 to 1,000,000")
        if not 0 <= self.canary_share <= 0.5:
            raise _refused("canary_share", self.canary_share, "a share between 0 and 0.5")
        if not 0 <= self.margin <= 1:
            raise _refused("margin", self.margin, "a share between 0 and 1")
        if (self.canary_share > 0) != (self.canary_requests > 0):
            raise _refused(
                "canary_requests", self.canary_requests, "above 0 exactly where canary_share is; give both, or neither"
            )
        return self


def _refused(field: str, value: float, rule: str) -> QueryError:
    return QueryError(f"{field} is {value}; it is {rule}", reason="BAD_POLICY", field=f"policy.{field}")


class Policies:
    """Any thread may call it. An expert that nobody decided anything about has the default."""

    def __init__(self, path: Path, known: dict[str, Policy]) -> None:
        self._path = path
        self._known = known
        self._changing = threading.Lock()

    @classmethod
    def open(cls, folder: Path) -> Policies:
        """A file that cannot be read is told of, kept beside, and begun anew: the fleet must serve without it."""
        path = folder / FILE
        try:
            return cls(path, msgspec.json.decode(path.read_bytes(), type=dict[str, Policy]))
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, msgspec.MsgspecError) as error:
            log.error("%s cannot be read (%s); every expert has the default policy", path, error)
            try:
                path.replace(path.with_suffix(".damaged"))
            except OSError as problem:
                log.error("%s cannot be put aside: %s", path, problem)
            return cls(path, {})

    def of(self, name: str) -> Policy:
        return self._known.get(name, Policy())

    def put(self, name: str, policy: Policy) -> None:
        """On the disk when this returns. Raises: QueryError, StoreError; what was decided before holds then."""
        with self._changing:
            self._write({**self._known, name: policy.checked()})

    def forget(self, name: str) -> None:
        """The expert is gone. Raises: StoreError."""
        with self._changing:
            if name in self._known:
                self._write({other: policy for other, policy in self._known.items() if other != name})

    def _write(self, known: dict[str, Policy]) -> None:
        part = self._path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(known, order="sorted"), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror}); nothing was changed") from error
        self._known = known
