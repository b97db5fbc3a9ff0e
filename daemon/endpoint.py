"""Where the titan is, and the key to it. Read by the daemon and by its companion; opens no connection."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from expertd.experts.errors import UnavailableError

# A server on this very machine may do without a key, but the header is sent all the same.
NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint. api_key_file: goes before api_key_env; either is read anew for each call."""

    base_url: str
    model: str
    api_key_env: str
    api_key_file: Path | None
    max_retries: int

    def api_key(self) -> str:
        """Raises: UnavailableError (TITAN_NO_KEY)."""
        if self.api_key_file is not None:
            try:
                key = self.api_key_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UnavailableError(
                    f"the titan's API key cannot be read from {self.api_key_file} ({type(error).__name__}); correct "
                    "[titan] api_key_file",
                    reason="TITAN_NO_KEY",
                ) from None
        else:
            key = os.environ.get(self.api_key_env, "").strip()
        if key:
            return key
        if self._is_on_this_machine():
            return NO_KEY
        raise UnavailableError(
            f"there is no API key for the titan at {self.base_url}: set {self.api_key_env}, or put the key into a file "
            "and name that in [titan] api_key_file",
            reason="TITAN_NO_KEY",
        )

    def _is_on_this_machine(self) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost" or host.endswith(".localhost")
