"""How much there is to learn from: examples and their lengths in tokens."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Examples of a stage. Of a pair, `responses` is 2, and `response_tokens` those of one of them."""

    examples: int
    prompt_tokens: float
    """Mean."""
    response_tokens: float
    """Mean of one response."""
    responses: int = 1
    longest: int = 0
    """Tokens of the longest prompt and response."""
    longest_example: int = 0
    """Of the longest prompt and all of its responses."""

    @property
    def tokens(self) -> float:
        """Of one example, its prompt computed once."""
        return self.prompt_tokens + self.responses * self.response_tokens

    @property
    def scored_share(self) -> float:
        """Part of the tokens that is projected on the vocabulary."""
        return self.responses * self.response_tokens / self.tokens if self.tokens else 1.0


def workload_of(prompts: Sequence[int], responses: Sequence[Sequence[int]]) -> Workload:
    """From the tokens of each example's prompt and of each of its responses."""
    each = [length for row in responses for length in row]
    many = max((len(row) for row in responses), default=1) or 1
    both = list(zip(prompts, responses, strict=True))
    return Workload(
        examples=len(prompts),
        prompt_tokens=sum(prompts) / max(1, len(prompts)),
        response_tokens=sum(each) / max(1, len(each)),
        responses=many,
        longest=max((prompt + max(row, default=0) for prompt, row in both), default=0),
        longest_example=max((prompt + sum(row) for prompt, row in both), default=0),
    )
