"""One thread for each process of the tests: several of them run side by side, and threads that wait for a processor
that another process has cost far more than they bring. Read by torch and numpy when they are first imported."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
