"""What a plan is made for: model, hardware, data at hand and limits."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from boresight.errors import PlanError
from boresight.planning.calibration import Calibration
from boresight.planning.hardware import Machine
from boresight.planning.shapes import ModelShape

Finetune = Literal["full", "lora", "qlora"]
Layout = Literal["separate", "shared", "one_trunk"]
Preference = Literal["balance", "quality", "cost"]
DATA = {
    "demonstrations": "conversations that show how to answer",
    "pairs": "two responses to a prompt, one of them preferred",
    "rankings": "several responses to a prompt, in order",
    "prompts": "prompts alone",
    "verifiable": "prompts with an answer or rules that a program can check",
    "judge": "a language model that compares responses by a rubric",
}
FILES = {
    "demonstrations": "data/demonstrations.jsonl",
    "pairs": "data/pairs.jsonl",
    "rankings": "data/pairs.jsonl",
    "prompts": "data/prompts.jsonl",
    "verifiable": "data/prompts.jsonl",
}
"""Where a written pipeline looks for them unless another path is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What other frameworks may do otherwise than this package, for a plan of theirs. None: as here."""

    formats: Literal["mixed", "pure_bfloat16"] | None = None
    eight_bit_optimizer: bool = False
    shard: Literal[0, 1, 2, 3] | None = None
    """ZeRO stage over all GPUs, for every method."""
    offload: bool = False
    """The optimizer waits on the CPU."""
    engine: Literal["colocated", "apart"] | None = None
    """A sampling engine such as vLLM, with 16-bit weights: on the same GPUs, or on others."""

    @property
    def is_here(self) -> bool:
        return self == Elsewhere()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`have`: kinds of data at hand with their paths."""

    model: str
    shape: ModelShape
    machine: Machine
    calibration: Calibration
    finetune: Finetune = "full"
    dtype: str = "bfloat16"
    rank: int = 16
    roles: Layout | None = None
    """Of ppo and rloo, as in a pipeline file (docs/scale.md)."""
    have: dict[str, str]
    tuned: bool = False
    """The model was taught to answer before: it needs no demonstrations."""
    regulated: bool = False
    """Labels of a language model may not decide alone."""
    examples: int = 10_000
    """Pairs or demonstrations."""
    prompts: int = 10_000
    """Prompts that a policy is trained on."""
    prompt_tokens: int = 256
    response_tokens: int = 256
    longest: int = 2048
    """Tokens of the longest prompt and response."""
    epochs: float = 1.0
    hours: float | None = None
    budget: float | None = None
    cost_per_gpu_hour: float | None = None
    prefer: Preference = "balance"
    elsewhere: Elsewhere = Elsewhere()

    def __post_init__(self) -> None:
        """Raises PlanError for numbers that are not above 0, and for options that do not go together."""
        for name, value in (
            ("--examples", self.examples),
            ("--prompts", self.prompts),
            ("--prompt-tokens", self.prompt_tokens),
            ("--response-tokens", self.response_tokens),
            ("--longest", self.longest),
            ("--epochs", self.epochs),
            ("--hours", self.hours),
            ("--budget", self.budget),
            ("--cost-per-gpu-hour", self.cost_per_gpu_hour),
            ("--rank", self.rank),
        ):
            if value is not None and not 0 < value < float("inf"):
                raise PlanError(f"{name} {value}: expected a number above 0. Leave it out where there is no limit.")
        if self.budget is not None and self.cost_per_gpu_hour is None:
            raise PlanError(
                f"--budget {self.budget:g}: needs --cost-per-gpu-hour, since prices are not guessed. Give what an hour "
                "of one GPU costs you."
            )
        if self.roles == "shared" and self.finetune == "full":
            raise PlanError(
                "--roles shared: adapters share a base; add --finetune lora, or take separate or one_trunk."
            )
        if self.longest < self.prompt_tokens + self.response_tokens:
            raise PlanError(
                f"--longest {self.longest}: less than the mean prompt and response together "
                f"({self.prompt_tokens} + {self.response_tokens} tokens). Raise it, or lower those."
            )

    @property
    def max_new_tokens(self) -> int:
        """What a policy may write: twice the mean, as far as the longest row allows."""
        return min(2 * self.response_tokens, self.longest - self.prompt_tokens)


def read_have(text: str) -> dict[str, str]:
    """`demonstrations,pairs=my/pairs.csv` as kinds with paths. Raises PlanError for a kind that there is not."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        kind, _, path = item.partition("=")
        if kind not in DATA:
            near = get_close_matches(kind, DATA, 1, 0.3)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise PlanError(f"--have {item}: no such kind of data.{meant} Expected some of {', '.join(DATA)}.")
        found[kind] = path or FILES.get(kind, "")
    return found
