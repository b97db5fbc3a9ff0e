"""Which recognisers there are. A bundle chooses from this list by name; nothing else is ever searched for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .contact import CONTACT
from .credentials import CREDENTIALS
from .identity import IDENTITY
from .recogniser import Recogniser

RECOGNISERS: Mapping[str, tuple[Recogniser, ...]] = MappingProxyType({**CONTACT, **CREDENTIALS, **IDENTITY})
