"""Who judges: the forms that `judge` of the stages `ai_labels` and `evaluate` and of the reward `judge` takes."""

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from boresight.config.section_bases import Fraction, Section


class RulesJudge(Section):
    """Scores a response by its prompt's `expect` (see `boresight.feedback.rule_judge`)."""

    kind: Literal["rules"]
    noise: Fraction = 0.0
    """Share of verdicts turned round at random, to imitate people who disagree."""
    tie_margin: NonNegativeFloat = 0.0
    """Scores that differ by at most this are a tie."""


class RewardModelJudge(Section):
    """A reward model as judge: the higher score wins."""

    kind: Literal["reward_model"]
    model: str
    """Reward-model stage."""
    tie_margin: NonNegativeFloat = 0.0
    """Scores that differ by at most this are a tie."""


class RubricSection(Section):
    """What a language model as judge has in every form."""

    rubric: Literal["helpful", "harmless"] = "helpful"
    """A shipped rubric."""
    rubric_file: str | None = None
    """A rubric of your own, in place of `rubric`."""
    clip: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """No label is surer than 1 - clip: a judge errs even where both orders agree."""


def _is_plain_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("expected no user, password or query, as settings are written into reports")
    return url.rstrip("/")


class EndpointSection(Section):
    """A language model behind an OpenAI-compatible address. The API key is read from the environment and written
    nowhere; what was answered is kept in the run's folder, so that nothing is asked twice."""

    PLAIN: ClassVar = ("model",)
    kind: Literal["openai"]
    base_url: Annotated[str, AfterValidator(_is_plain_address)]
    """Address up to where /chat/completions begins: `http://127.0.0.1:8000/v1`."""
    model: str
    """Name of the model there."""
    temperature: NonNegativeFloat = 0.0
    """Sampling temperature."""
    max_tokens: PositiveInt = 512
    """Longest reply in tokens; of a judge, a reply that is cut off before its answer is counted as failed."""
    price_prompt: NonNegativeFloat | None = None
    """US dollars a million prompt tokens; with `price_completion` the cost is told."""
    price_completion: NonNegativeFloat | None = None
    """US dollars a million reply tokens."""
    budget: NonNegativeFloat | None = None
    """US dollars that the questions of the stage may cost, those answered before included; what could pass it is not
    asked. Needs the prices."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the API key; where it is not set, none is sent."""
    most_at_once: PositiveInt = 32
    """Requests on the way at once at most; fewer where the endpoint asks for it."""
    timeout_seconds: PositiveFloat = 60.0
    """Time for one request."""
    patience_seconds: NonNegativeFloat = 300.0
    """How long a request that fails is tried again."""


class OpenAIJudge(RubricSection, EndpointSection):
    """A language model behind an OpenAI-compatible address, asked by a rubric in both orders (docs/ai_feedback.md). The
    API key is read from the environment and written nowhere; what was answered is kept in the run's folder, so that
    nothing is asked twice."""

    samples: PositiveInt = 1
    """Replies to each question; with several, and a temperature above 0, their mean is a soft label."""
    logprobs: bool = False
    """Ask for the log-probabilities of the answer's tokens, and take the answer's mean over them: a soft label from one
    reply. Where the endpoint gives none, the answer itself counts."""


class LocalModelJudge(RubricSection):
    """A local model, asked by a rubric in both orders: the probabilities that it gives to the answers are the label, so
    that one forward pass is enough and nothing is sampled."""

    kind: Literal["local_model"]
    path: str
    """Folder of a model that follows instructions, as transformers loads it."""
    chat_template: Literal["tokenizer", "chatml", "llama3"] = "tokenizer"
    """The tokenizer's own template, or a built-in one."""
    batch_size: PositiveInt = 8
    """Questions in one forward pass."""


class LocalWriter(Section):
    """A local model that writes critiques and revisions."""

    kind: Literal["local_model"]
    path: str
    """Folder of a model that follows instructions, as transformers loads it."""
    chat_template: Literal["tokenizer", "chatml", "llama3"] = "tokenizer"
    """The tokenizer's own template, or a built-in one."""


class ReviseSection(Section):
    """Each response is criticised by one principle of a constitution and rewritten (Bai et al. 2022,
    arXiv:2212.08073)."""

    constitution: Literal["helpful", "harmless"] = "harmless"
    """Shipped principles, of which one is drawn for each response."""
    constitution_file: str | None = None
    """A constitution of your own, in place of `constitution`."""
    by: Annotated[EndpointSection | LocalWriter, Field(discriminator="kind")] | None = None
    """Who criticises and rewrites: `{kind: openai, base_url: URL, model: NAME}` or `{kind: local_model, path: FOLDER}`;
    by default the model that gave the response."""
    temperature: NonNegativeFloat = 0.7
    """Of critiques and revisions by a local model; an endpoint has its own."""
    max_new_tokens: PositiveInt | None = None
    """Longest critique and longest revision of a local model; by default those of the stage."""


AskedJudge = OpenAIJudge | LocalModelJudge
Judge = Annotated[RulesJudge | RewardModelJudge | OpenAIJudge | LocalModelJudge, Field(discriminator="kind")]
JUDGE_PATHS = ("judge.rubric_file", "judge.path")

JUDGE_CLASSES: dict[str, type[Section]] = {
    "rules": RulesJudge, "reward_model": RewardModelJudge, "openai": OpenAIJudge, "local_model": LocalModelJudge,
}  # fmt: skip

NO_PART_OF_A_RESULT = (
    "key_variable", "most_at_once", "timeout_seconds", "patience_seconds", "price_prompt", "price_completion",
    "budget", "batch_size",
)  # fmt: skip
"""Settings of a judge that say how it is asked, not what: a stage that is paused goes on with others. A budget that is
raised later makes a finished stage no other; `--from` builds it anew."""
