"""What a reward service takes at once, and how long it lets a response wait for company."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Larger batches give more responses a second, a longer wait larger batches; the rest bounds memory."""

    batch_tokens: int = 8192
    """Tokens of one forward pass, filling included: responses times the longest of them."""
    batch_responses: int = 128
    """Responses of one forward pass; 1 scores one by one."""
    wait_seconds: float = 0.005
    """How long the oldest response waits for others where the model is idle."""
    waiting_responses: int = 4096
    """Responses that are held; a request that would be beyond it is refused (429)."""
    request_responses: int = 512
    """Responses of one request (413)."""
    response_tokens: int | None = None
    """Tokens of a prompt with its response (400); None for as many as the model knows positions."""
    body_bytes: int = 8 << 20
    """Of one request (413)."""
