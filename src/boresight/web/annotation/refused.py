"""What the annotation store does not do, with a word that a page can act on and a sentence for people."""

from typing import Literal

from boresight.errors import BoresightError

Reason = Literal[
    "bad_answer",  # the answer does not fit the task
    "bad_request",  # a setting, name or file that is not as it must be
    "closed",  # the project's deadline is over
    "key_used",  # the answer key was sent before, with another answer
    "lease_lost",  # the task has gone to others meanwhile; the answer is kept in the log, uncounted
    "not_allowed",  # the role does not reach
    "not_found",
    "not_qualified",  # the training was not passed
    "nothing_to_undo",
    "paused",
]


class RefusedError(BoresightError):
    """What a person may not do, or not now; the code is for programs, the text for people."""

    label = "label error"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
