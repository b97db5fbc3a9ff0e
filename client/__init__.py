"""What an app imports: `expertd.client`.

    from expertd.client import Client

    with Client(app="notes") as expertd:
        print(expertd.ask("wake me at 7:30 tomorrow").text)

Answers, decisions and events are the messages of the contract (`expertd.v1`), not copies of them.
"""

from .aio import AsyncClient
from .client import About, Client
from .errors import (
    CancelledError,
    DaemonDownError,
    DeadlineError,
    DeniedError,
    ExhaustedError,
    ExpertdError,
    FailedPreconditionError,
    InputError,
    InternalError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from .fleet import Fleet
from .series import Reading, read_series
from .wire import default_socket

__all__ = [
    "About",
    "AsyncClient",
    "CancelledError",
    "Client",
    "DaemonDownError",
    "DeadlineError",
    "DeniedError",
    "ExhaustedError",
    "ExpertdError",
    "FailedPreconditionError",
    "Fleet",
    "InputError",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "Reading",
    "UnavailableError",
    "default_socket",
    "read_series",
]
