import os

# On Linux torch then takes tensors of 2 MB and more in huge pages (bench/traps.py measures what that is worth). It
# reads this before its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
