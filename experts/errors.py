"""What can go wrong with experts.

ExpertError
├── QueryError        the request is at fault: the caller can mend it
├── UnavailableError  the expert cannot serve now: no weights, a worker gone
├── BundleError       a bundle breaks a rule
├── StoreError        the store on disk cannot do it: full, damaged, no such version
└── FleetError        the order makes no sense now: unknown expert, nothing to roll back to
"""


class ExpertError(Exception):
    """The base of every error that this room raises; its text names the thing, the rule and the way out."""


class QueryError(ExpertError):
    """The request breaks a rule of the expert.

    reason: stable, upper snake case, for programs (`TIME_IN_PAST`); field: the part of the query at fault.
    """

    def __init__(self, message: str, *, reason: str, field: str = "text") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class UnavailableError(ExpertError):
    """The expert cannot answer now, through no fault of the request.

    reason: stable, upper snake case (`NO_MODEL`, `WORKER_DIED`); retryable: trying again soon may help.
    """

    def __init__(self, message: str, *, reason: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable


class BundleError(ExpertError):
    """A bundle breaks a rule; the text names the bundle, the file and the rule."""


class StoreError(ExpertError):
    """The store on disk cannot do it; what was there before is untouched."""


class FleetError(ExpertError):
    """The order makes no sense in the fleet's present state.

    reason: stable, upper snake case (`UNKNOWN_EXPERT`, `NOTHING_TO_ROLL_BACK_TO`).
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
