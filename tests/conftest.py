"""What holds for all tests, several of which run side by side.

One thread for each process: threads that wait for a processor that another process has cost far more than they bring.
No deadlines for examples of Hypothesis: others may have the processor meanwhile.
"""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch and numpy when they are first imported
settings.register_profile("side by side", deadline=None)
settings.load_profile("side by side")
