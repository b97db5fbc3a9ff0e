"""The life of a request, from the socket to the answer; introduces the other rooms to each other."""

import os

# The matrices here are small: threads that OpenBLAS would start for them only wait for each other, and for the user's
# other programs. It reads this once, when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
