"""Options that the verbs of `boresight judge` share, and the judge that they name."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from boresight.feedback.asker import Asker
    from boresight.feedback.calibration import Calibration
    from boresight.feedback.judge import ToldJudge
    from boresight.feedback.judge_cache import JudgeCache
    from boresight.feedback.judge_client import JudgeClient, Ledger, Prices
    from boresight.feedback.rubric_judge import RubricJudge
    from boresight.records import Response

Responses = Annotated[Path, typer.Argument(metavar="RESPONSES", help="Response records, as `sample` writes them.")]
Address = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Up to where /chat/completions begins, often in /v1.")
]
ModelName = Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model's name there.")]
LocalModel = Annotated[
    Path | None, typer.Option("--judge", metavar="DIR", help="A local model in place of an address.")
]
Scorer = Annotated[
    Path | None, typer.Option("--reward-model", metavar="DIR", help="A reward model in place of an address.")
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the preference pairs go.")]
RubricName = Annotated[str, typer.Option("--rubric", metavar="NAME|FILE", help="helpful, harmless, or a file.")]
Couples = Annotated[int, typer.Option("--pairs-per-prompt", min=1, help="Couples shown of a prompt.")]
Ranking = Annotated[bool, typer.Option("--ranking", help="Every couple; pairs of a prompt are one ranking.")]
Samples = Annotated[int, typer.Option("--samples", min=1, help="Replies to each question.")]
Logprobs = Annotated[bool, typer.Option("--logprobs", help="Soft labels from returned log-probabilities.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0.0, help="Of the judge.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest reply.")]
Clip = Annotated[float, typer.Option("--clip", min=0.0, max=0.49, help="No label is surer than 1 - clip.")]
PromptPrice = Annotated[
    float | None, typer.Option("--price-prompt", min=0.0, metavar="USD", help="A million prompt tokens.")
]
ReplyPrice = Annotated[
    float | None, typer.Option("--price-completion", min=0.0, metavar="USD", help="A million reply tokens.")
]
Budget = Annotated[
    float | None, typer.Option("--budget", min=0.0, metavar="USD", help="Stop before it is passed; needs prices.")
]
JudgedOut = Annotated[
    Path | None, typer.Option("--judged", metavar="FILE", help="All couples with their verdicts: to calibrate, route.")
]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", metavar="FILE", help="What `judge calibrate --out` wrote, applied.")
]
DriftCheck = Annotated[
    bool, typer.Option("--drift-check/--no-drift-check", help="First ask the calibration's sample again.")
]
Route = Annotated[
    Path | None, typer.Option("--route", metavar="FILE", help="Couples for people: orders disagree, or no verdict.")
]
Replies = Annotated[Path | None, typer.Option("--cache", metavar="FILE", help="Replies; by default beside --out.")]
MostAtOnce = Annotated[int, typer.Option("--most-at-once", min=1, max=512, help="Requests on the way.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for one request.")]
Patience = Annotated[float, typer.Option("--patience", min=0.0, help="Seconds that one is tried again.")]
KeyVariable = Annotated[
    str, typer.Option("--key-variable", metavar="NAME", help="Environment variable with the API key.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the draw of couples.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class How(NamedTuple):
    """How an endpoint is asked."""

    samples: int = 1
    logprobs: bool = False
    temperature: float = 0.0
    max_tokens: int = 512
    timeout: float = 60.0
    key_variable: str = "OPENAI_API_KEY"
    most_at_once: int = 32
    patience: float = 300.0


@dataclass(frozen=True, slots=True)
class Named:
    """Who is to judge: an address with a model's name, a local model, or a reward model; exactly one of them."""

    base_url: str | None
    model: str | None
    local: Path | None = None
    scorer: Path | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.base_url, self.local, self.scorer) if value is not None]
        if len(given) != 1:
            raise typer.BadParameter(
                f"{len(given)} judges are named; give one of --base-url (with --model), --judge and --reward-model",
                param_hint="--base-url",
            )
        if (self.base_url is None) != (self.model is None):
            raise typer.BadParameter("an address and the model's name go together", param_hint="--model")


def beside(out: Path) -> Path:
    """Where replies are kept by default."""
    return out.with_name(f"{out.name}.replies.sqlite")


def prices(prompt: float | None, completion: float | None, budget: float | None) -> "Prices | None":
    from boresight.feedback.judge_client import Prices

    if (prompt is None) != (completion is None):
        raise typer.BadParameter("prices take both --price-prompt and --price-completion", param_hint="--price-prompt")
    if prompt is None or completion is None:
        if budget is not None:
            raise typer.BadParameter("a budget takes --price-prompt and --price-completion", param_hint="--budget")
        return None
    return Prices(prompt, completion)


def kept_replies(out: Path, cache: Path | None, dry_run: bool) -> Path | None:
    """Where replies are kept; nowhere for a dry run that finds none, which writes nothing."""
    kept = beside(out) if cache is None else cache
    return None if dry_run and cache is None and not kept.exists() else kept


def read_responses(path: Path) -> "list[Response]":
    from boresight.data.jsonl import read_records
    from boresight.records import Response

    return read_records(path, Response)


def tell_estimate(estimate: dict[str, Any], *, as_json: bool) -> None:
    from boresight.feedback.label_file import estimate_words

    print(json.dumps(estimate) if as_json else f"{estimate_words(estimate)} Nothing was asked.")


def checked(
    path: Path | None, drift_check: bool, build: "Callable[[], ToldJudge]"
) -> "tuple[Calibration | None, ToldJudge | None]":
    """The calibration of a file and, where drift is to be looked for, the judge once more, without a memory."""
    from boresight.feedback.calibration import load_calibration

    if path is None:
        return None, None
    known = load_calibration(path)
    return known, build() if drift_check and known.audit else None


def any_judge(
    named: Named, rubric: str, how: How, replies: Path | None, paid: "Prices | None", budget: float | None = None
) -> "ToldJudge":
    """The judge that is named, whatever it is."""
    if named.base_url is None:
        return folder_judge(named, rubric, replies)
    return endpoint_judge(named, rubric, how, replies, paid, budget)[0]


def estimated(judge: "ToldJudge", responses: "Sequence[Response]", couples: int | None, seed: int) -> dict[str, Any]:
    """What labels would cost; a usage error for a judge that is asked nothing."""
    from boresight.feedback.label_file import estimate_file
    from boresight.feedback.rubric_judge import RubricJudge

    if not isinstance(judge, RubricJudge):
        raise typer.BadParameter("a reward model is asked nothing and costs nothing", param_hint="--dry-run")
    return estimate_file(responses, judge, pairs_per_prompt=couples, seed=seed)


def endpoint_judge(
    named: Named, rubric: str, how: How, replies: Path | None, paid: "Prices | None" = None, budget: float | None = None
) -> "tuple[RubricJudge, JudgeClient]":
    """A judge at an address that keeps its replies in `replies`, or nowhere."""
    from boresight.feedback.chat_endpoint import ChatEndpoint
    from boresight.feedback.judge_client import JudgeClient
    from boresight.feedback.rubric import load_rubric
    from boresight.feedback.rubric_judge import RubricJudge

    assert named.base_url is not None and named.model is not None
    endpoint = ChatEndpoint(
        named.base_url, named.model, temperature=how.temperature, max_tokens=how.max_tokens, timeout=how.timeout,
        key_variable=how.key_variable, logprobs=how.logprobs,
    )  # fmt: skip
    read = load_rubric(rubric)
    client = JudgeClient(
        endpoint, cache_at(replies), most_at_once=how.most_at_once, patience=how.patience, prices=paid, budget=budget
    )
    client.progress = Progress(client)
    return RubricJudge(client, read, how.samples), client


def folder_judge(named: Named, rubric: str, replies: Path | None) -> "ToldJudge":
    """A judge from a folder: a language model that reads a rubric, or a reward model."""
    from boresight.errors import JudgeError
    from boresight.models.loading import default_device

    if named.scorer is not None:
        from boresight.feedback.judge import RewardModelJudge
        from boresight.models.roles import build_reward_model

        if not named.scorer.is_dir():
            raise JudgeError(f"{named.scorer}: no folder with a reward model. Correct the path.")
        model = build_reward_model(named.scorer, device=default_device())
        return RewardModelJudge(model, 0.0, name=named.scorer.name, soft=True)
    from boresight.feedback.local_judge import build_local_judge
    from boresight.feedback.rubric import load_rubric
    from boresight.feedback.rubric_judge import RubricJudge

    assert named.local is not None
    read = load_rubric(rubric)
    local = build_local_judge(named.local, cache_at(replies), device=default_device())
    local.progress = Progress(local)
    return RubricJudge(local, read, direct=True)


def cache_at(replies: Path | None) -> "JudgeCache":
    from boresight.feedback.judge_cache import JudgeCache

    return JudgeCache(replies or Path(":memory:"))


class Progress:
    """A line on a terminal every hundredth part, with the cost so far."""

    def __init__(self, client: "Asker") -> None:
        self._client, self._shown = client, 0.0

    def __call__(self, done: int, total: int, ledger: "Ledger") -> None:
        if sys.stderr.isatty() and (done == total or done / total - self._shown >= 0.01):
            self._shown = done / total
            cost = self._client.cost()
            spent = "" if cost is None else f", {cost:.2f} USD"
            end = "\n" if done == total else ""
            print(f"\r{done:,} of {total:,} questions{spent}", end=end, file=sys.stderr, flush=True)
