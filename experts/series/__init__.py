"""What numbers over time tell: what comes next, what is odd, where it changed. In numpy alone, one series at a time.

Knows no bundle, no query text, no wire.
"""

from .anomaly import find_anomalies
from .changepoint import find_changes
from .ensemble import forecast

__all__ = ["find_anomalies", "find_changes", "forecast"]
