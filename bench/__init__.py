"""One file per figure; each prints a table and writes `build/bench/<name>.json`."""

import os

# As the daemon does: one thread for small matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
