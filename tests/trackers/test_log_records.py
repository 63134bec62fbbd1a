import struct

import pytest

from boresight.trackers.log_records import BLOCK, log_records


def piece(part: int, content: bytes) -> bytes:
    return struct.pack("<IHB", 0, len(content), part) + content


def test_a_record_may_stand_whole_or_in_parts() -> None:
    log = b"head" + piece(1, b"one") + piece(2, b"tw") + piece(3, b"o-") + piece(4, b"parts") + piece(1, b"")
    assert list(log_records(log, 4)) == [b"one", b"two-parts", b""]


def test_the_end_of_a_block_that_no_header_fits_into_is_passed_over() -> None:
    first = piece(1, b"x" * (BLOCK - 7 - 3))
    assert list(log_records(first + bytes(3) + piece(1, b"next"))) == [first[7:], b"next"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_what_a_kill_cut_off_is_passed_over(cut: int) -> None:
    log = piece(1, b"whole") + piece(1, b"cut off")
    assert list(log_records(log[:-cut])) == [b"whole"]


def test_zeros_after_the_last_record_are_its_end() -> None:
    assert list(log_records(piece(1, b"whole") + bytes(100))) == [b"whole"]
