"""`boresight judge label`: responses in, preference pairs out, with cost and bias of the judge."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.cli import judge_options as options
from boresight.data.wording import counted


def label(
    responses: options.Responses,
    out: options.Out,
    base_url: options.Address = None,
    model: options.ModelName = None,
    judge: options.LocalModel = None,
    reward_model: options.Scorer = None,
    rubric: options.RubricName = "helpful",
    pairs_per_prompt: options.Couples = 1,
    ranking: options.Ranking = False,
    samples: options.Samples = 1,
    logprobs: options.Logprobs = False,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 512,
    clip: options.Clip = 0.05,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; ask nothing.")] = False,
    price_prompt: options.PromptPrice = None,
    price_completion: options.ReplyPrice = None,
    budget: options.Budget = None,
    route: options.Route = None,
    judged: options.JudgedOut = None,
    calibration: options.CalibrationFile = None,
    drift_check: options.DriftCheck = True,
    cache: options.Replies = None,
    most_at_once: options.MostAtOnce = 32,
    timeout: options.Timeout = 60.0,
    patience: options.Patience = 300.0,
    key_variable: options.KeyVariable = "OPENAI_API_KEY",
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Preference pairs from responses, judged by a rubric in both orders.

    Two orders that agree make a label (source: ai) with p_chosen from both of them and all samples; orders that
    disagree make none, and go to --route. A reply without a verdict failed and is no tie. A local model (--judge) is
    read by the probabilities of its verdicts. With --calibration p_chosen is that of people, and drift is looked for.

    \b
    Example:
      boresight judge label responses.jsonl --base-url http://127.0.0.1:8000/v1 --model NAME --out pairs.jsonl
      boresight judge label responses.jsonl --judge models/judge --out pairs.jsonl
      boresight judge label responses.jsonl --base-url https://api.openai.com/v1 --model NAME --out pairs.jsonl
          --price-prompt 0.4 --price-completion 1.6 --budget 5 --dry-run
    """
    from boresight.feedback.label_file import label_file

    named = options.Named(base_url, model, judge, reward_model)
    paid = options.prices(price_prompt, price_completion, budget)
    how = options.How(samples, logprobs, temperature, max_tokens, timeout, key_variable, most_at_once, patience)
    couples = None if ranking else pairs_per_prompt
    asked = options.any_judge(named, rubric, how, options.kept_replies(out, cache, dry_run), paid, budget)
    read = options.read_responses(responses)
    if dry_run:
        return options.tell_estimate(options.estimated(asked, read, couples, seed), as_json=as_json)
    known, again = options.checked(calibration, drift_check, lambda: options.any_judge(named, rubric, how, None, paid))
    summary, warnings = label_file(
        read, asked, out, route=route, pairs_per_prompt=couples, clip=clip, seed=seed, judged=judged,
        calibration=known, again=again, warn=_warn,
    )  # fmt: skip
    tell(summary, warnings, out, as_json=as_json)


def tell(summary: dict[str, Any], warnings: list[str], out: Path, *, as_json: bool) -> None:
    """The summary on stdout, the warnings on stderr."""
    print(json.dumps(summary, ensure_ascii=False) if as_json else label_text(summary, out))
    for warning in warnings:
        _warn(warning)


def _warn(line: str) -> None:
    print(f"WARNING: {line}", file=sys.stderr)


def label_text(summary: dict[str, Any], out: Path) -> str:
    """What came of the comparisons, what it cost, and what the judge prefers."""
    from boresight.tables import table

    cost = summary["cost"]
    usd = "" if cost is None or cost["usd"] is None else f", {cost['usd']:.2f} USD"
    asked = (
        "no question was asked, the responses were scored"
        if cost is None
        else (
            f"{counted(cost['asked'], 'question')} asked, {cost['known_before']:,} known before; "
            f"{cost['prompt_tokens']:,} + {cost['completion_tokens']:,} tokens{usd}"
        )
    )
    rubric = f", rubric {summary['rubric']} ({summary['rubric_hash'][:12]})" if "rubric" in summary else ""
    lines = [
        f"{out}: {counted(summary['pairs'], 'pair')} from {counted(summary['comparisons'], 'comparison')} "
        f"({counted(summary['prompts'], 'prompt')})",
        f"  {summary['ties']:,} ties, {summary['verdict_flips']:,} turned with the order, {summary['failed']:,} failed",
        f"  {asked}",
        f"  judge {summary['judge']}{rubric}",
    ]
    rows = [["prefers", "rate %", "95 %", "n"]]
    for name, words in (("position", "shown first"), ("length", "longer"), ("self_preference", "own family")):
        if (found := summary["bias"][name]) is not None:
            low, high = found["ci95"]
            rows.append(
                [words, f"{100 * found['rate']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", f"{found['n']:,}"]
            )
    return "\n".join(lines) + "\n\n" + table(rows, right=(1, 3))
