"""`boresight judge label`: responses in, preference pairs out, with cost and bias of the judge."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from boresight.feedback.judge_client import JudgeClient, Ledger, Prices
    from boresight.feedback.rubric_judge import RubricJudge

Address = Annotated[
    str, typer.Option("--base-url", metavar="URL", help="Up to where /chat/completions begins, often in /v1.")
]
PromptPrice = Annotated[
    float | None, typer.Option("--price-prompt", min=0.0, metavar="USD", help="A million prompt tokens.")
]
ReplyPrice = Annotated[
    float | None, typer.Option("--price-completion", min=0.0, metavar="USD", help="A million reply tokens.")
]
Budget = Annotated[
    float | None, typer.Option("--budget", min=0.0, metavar="USD", help="Stop before it is passed; needs prices.")
]
Route = Annotated[
    Path | None, typer.Option("--route", metavar="FILE", help="Couples for people: orders disagree, or no verdict.")
]
Replies = Annotated[Path | None, typer.Option("--cache", metavar="FILE", help="Replies; by default beside --out.")]
KeyVariable = Annotated[
    str, typer.Option("--key-variable", metavar="NAME", help="Environment variable with the API key.")
]


def label(
    responses: Annotated[Path, typer.Argument(metavar="RESPONSES", help="Response records, as `sample` writes them.")],
    base_url: Address,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model's name there.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the preference pairs go.")],
    rubric: Annotated[
        str, typer.Option("--rubric", metavar="NAME|FILE", help="helpful, harmless, or a file.")
    ] = "helpful",
    pairs_per_prompt: Annotated[int, typer.Option("--pairs-per-prompt", min=1, help="Couples shown of a prompt.")] = 1,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Replies to each question.")] = 1,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="Of the judge.")] = 0.0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest reply.")] = 512,
    clip: Annotated[float, typer.Option("--clip", min=0.0, max=0.49, help="No label is surer than 1 - clip.")] = 0.05,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; ask nothing.")] = False,
    price_prompt: PromptPrice = None,
    price_completion: ReplyPrice = None,
    budget: Budget = None,
    route: Route = None,
    cache: Replies = None,
    most_at_once: Annotated[int, typer.Option("--most-at-once", min=1, max=512, help="Requests on the way.")] = 32,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for one request.")] = 60.0,
    patience: Annotated[float, typer.Option("--patience", min=0.0, help="Seconds that one is tried again.")] = 300.0,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    seed: Annotated[int, typer.Option("--seed", help="Of the draw of couples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Preference pairs from responses, judged by a rubric in both orders.

    Two orders that agree make a label (source: ai) with p_chosen from both of them and all samples; orders that
    disagree make none, and go to --route. A reply without a verdict is counted as failed, never as a tie.

    \b
    Example:
      boresight judge label responses.jsonl --base-url http://127.0.0.1:8000/v1 --model NAME --out pairs.jsonl
      boresight judge label responses.jsonl --base-url https://api.openai.com/v1 --model NAME --out pairs.jsonl
          --price-prompt 0.4 --price-completion 1.6 --budget 5 --dry-run
    """
    from boresight.data.jsonl import read_records
    from boresight.feedback.label_file import estimate_file, label_file
    from boresight.records import Response

    judge = _judge(
        (base_url, model, temperature, max_tokens, timeout, key_variable), rubric, samples,
        None if dry_run and cache is None and not _beside(out).exists() else cache or _beside(out),
        _prices(price_prompt, price_completion, budget), budget, most_at_once, patience,
    )  # fmt: skip
    read = read_records(responses, Response)
    if dry_run:
        estimate = estimate_file(read, judge, pairs_per_prompt=pairs_per_prompt, seed=seed)
        print(json.dumps(estimate) if as_json else _estimate_text(estimate))
        return
    summary, warnings = label_file(
        read, judge, out, route=route, pairs_per_prompt=pairs_per_prompt, clip=clip, seed=seed
    )
    print(json.dumps(summary, ensure_ascii=False) if as_json else label_text(summary, out))
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.replies.sqlite")


def _prices(prompt: float | None, completion: float | None, budget: float | None) -> "Prices | None":
    from boresight.feedback.judge_client import Prices

    if (prompt is None) != (completion is None):
        raise typer.BadParameter("prices take both --price-prompt and --price-completion", param_hint="--price-prompt")
    if prompt is None or completion is None:
        if budget is not None:
            raise typer.BadParameter("a budget takes --price-prompt and --price-completion", param_hint="--budget")
        return None
    return Prices(prompt, completion)


def _judge(
    address: tuple[str, str, float, int, float, str],
    rubric: str,
    samples: int,
    replies: Path | None,
    prices: "Prices | None",
    budget: float | None,
    most_at_once: int,
    patience: float,
) -> "RubricJudge":
    """A judge that keeps its replies in `replies`, or nowhere."""
    from boresight.feedback.chat_endpoint import ChatEndpoint
    from boresight.feedback.judge_cache import JudgeCache
    from boresight.feedback.judge_client import JudgeClient
    from boresight.feedback.rubric import load_rubric
    from boresight.feedback.rubric_judge import RubricJudge

    endpoint, read = ChatEndpoint(*address), load_rubric(rubric)
    cache = JudgeCache(replies or Path(":memory:"))
    client = JudgeClient(endpoint, cache, most_at_once=most_at_once, patience=patience, prices=prices, budget=budget)
    client.progress = _Progress(client)
    return RubricJudge(client, read, samples)


class _Progress:
    """A line on a terminal every hundredth part, with the cost so far."""

    def __init__(self, client: "JudgeClient") -> None:
        self._client, self._shown = client, 0.0

    def __call__(self, done: int, total: int, ledger: "Ledger") -> None:
        if sys.stderr.isatty() and (done == total or done / total - self._shown >= 0.01):
            self._shown = done / total
            cost = self._client.cost()
            spent = "" if cost is None else f", {cost:.2f} USD"
            end = "\n" if done == total else ""
            print(f"\r{done:,} of {total:,} questions{spent}", end=end, file=sys.stderr, flush=True)


def _estimate_text(estimate: dict[str, Any]) -> str:
    usd = estimate["usd"]
    cost = "give prices to know the cost" if usd is None else f"at most about {usd:.2f} USD"
    return (
        f"{estimate['comparisons']:,} comparisons in both orders: {estimate['questions']:,} questions to ask "
        f"({estimate['known_before']:,} known), about {estimate['prompt_tokens']:,} prompt tokens and at most "
        f"{estimate['completion_tokens']:,} in replies; {cost}. Nothing was asked."
    )


def label_text(summary: dict[str, Any], out: Path) -> str:
    """What came of the comparisons, what it cost, and what the judge prefers."""
    from boresight.cli.tables import table

    cost = summary["cost"]
    usd = "" if cost["usd"] is None else f", {cost['usd']:.2f} USD"
    lines = [
        f"{out}: {summary['pairs']:,} pairs from {summary['comparisons']:,} comparisons "
        f"({summary['prompts']:,} prompts)",
        f"  {summary['ties']:,} ties, {summary['verdict_flips']:,} turned with the order, {summary['failed']:,} failed",
        f"  {cost['asked']:,} questions asked, {cost['known_before']:,} known before; "
        f"{cost['prompt_tokens']:,} + {cost['completion_tokens']:,} tokens{usd}",
        f"  judge {summary['judge']}, rubric {summary['rubric']} ({summary['rubric_hash'][:12]})",
    ]
    rows = [["prefers", "rate %", "95 %", "n"]]
    for name, words in (("position", "shown first"), ("length", "longer"), ("self_preference", "own family")):
        if (found := summary["bias"][name]) is not None:
            low, high = found["ci95"]
            rows.append(
                [words, f"{100 * found['rate']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", f"{found['n']:,}"]
            )
    return "\n".join(lines) + "\n\n" + table(rows, right=(1, 3))
