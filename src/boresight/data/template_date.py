"""Chat templates that write today's date (those of Llama 3.1 and its successors do) are given one date for all runs.

With the real one, a run that is resumed after midnight would go on with other prompts, and a reward model would be
asked on Tuesday in other words than it learned on Monday.
"""

import re
from datetime import date

from boresight.errors import ModelError

DATE = date(2024, 7, 26)
"""What Llama's own template writes where it has no clock."""

CLOCK = "strftime_now"
ASKED = re.compile(rf"""{CLOCK}\(\s*(["'])(?P<format>[^"'\\]*)\1\s*\)""")


def reads_clock(template: str) -> bool:
    """Whether the template asks what day it is."""
    return f"{CLOCK}(" in template


def with_one_date(template: str) -> str:
    """The template with DATE where it asks for today's.

    Raises ModelError where it asks in a way that cannot be told from its text.
    """
    dated = ASKED.sub(lambda asked: repr(DATE.strftime(asked["format"])), template)
    if reads_clock(dated):
        raise ModelError(
            f"the chat template calls {CLOCK} with something else than a text, so equal runs would write other "
            'prompts each day. Expected: strftime_now("%d %b %Y") or another format in quotes. Give the tokenizer such '
            "a template."
        )
    return dated
