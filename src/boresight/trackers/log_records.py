"""Records of a log in LevelDB's form (its doc/log_format.md): what W&B keeps an offline run in."""

import struct
from collections.abc import Iterator

BLOCK, HEADER = 32768, 7  # bytes; a header is checksum (4), length (2) and part (1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def log_records(data: bytes, start: int = 0) -> Iterator[bytes]:
    """The whole records from byte `start` on; one that a kill cut off ends them. Checksums are not looked at."""
    place, parts = start, b""
    while place + HEADER <= len(data):
        if (left := BLOCK - place % BLOCK) < HEADER:  # too short for a header, and filled with zeros
            place += left
            continue
        _, length, part = struct.unpack("<IHB", data[place : place + HEADER])
        content = data[place + HEADER : place + HEADER + length]
        if part not in (FULL, FIRST, MIDDLE, LAST) or len(content) < length:
            return
        place += HEADER + length
        parts = content if part in (FULL, FIRST) else parts + content
        if part in (FULL, LAST):
            yield parts
