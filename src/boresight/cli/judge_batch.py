"""`boresight judge batch`: questions out as a batch file, results back in as preference pairs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli import judge_options as options

SUBVERBS = {
    "write": ("boresight.cli.judge_batch", "write", "Write the questions as OpenAI-style batch files."),
    "read": ("boresight.cli.judge_batch", "read", "Read the results, and write the preference pairs."),
}

BatchAddress = Annotated[
    str, typer.Option("--base-url", metavar="URL", help="Of the batch: https://api.openai.com/v1.")
]
BatchModel = Annotated[str, typer.Option("--model", metavar="NAME", help="The model's name there.")]


def command() -> None:
    """Labels through batch files, which many providers answer within a day at half the price.

    `write` makes the questions of `judge label`, `read` takes the results and labels. Give both the same settings:
    they decide what is asked. What is known or on its way is not written again.

    \b
    Example:
      boresight judge batch write responses.jsonl --base-url https://api.openai.com/v1 --model NAME
          --out pairs.jsonl --requests requests.jsonl
      boresight judge batch read responses.jsonl results.jsonl --base-url https://api.openai.com/v1 --model NAME
          --out pairs.jsonl
    """


def write(
    responses: options.Responses,
    base_url: BatchAddress,
    model: BatchModel,
    out: options.Out,
    requests: Annotated[Path, typer.Option("--requests", metavar="FILE", help="Where the requests go.")],
    rubric: options.RubricName = "helpful",
    pairs_per_prompt: options.Couples = 1,
    ranking: options.Ranking = False,
    samples: options.Samples = 1,
    logprobs: options.Logprobs = False,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 512,
    cache: options.Replies = None,
    again: Annotated[bool, typer.Option("--again", help="Also what an earlier file asked in vain.")] = False,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Questions about responses as batch files of at most 50,000 requests each; nothing is asked.

    The custom id of a request is a hash of all that decides the reply, so results may be read in any order.

    \b
    Example:
      boresight judge batch write responses.jsonl --base-url https://api.openai.com/v1 --model NAME
          --out pairs.jsonl --requests requests.jsonl
    """
    from boresight.data.jsonl import read_records
    from boresight.feedback.ai_labels import comparisons_of
    from boresight.feedback.batch_files import write_batch
    from boresight.feedback.label_file import couples_of
    from boresight.records import Response

    how = options.How(samples, logprobs, temperature, max_tokens)
    named = options.Named(base_url, model)
    judge, client = options.endpoint_judge(named, rubric, how, cache or options.beside(out))
    couples = couples_of(read_records(responses, Response), None if ranking else pairs_per_prompt, seed)
    written = write_batch(client, judge.questions(comparisons_of(couples)), requests, again=again)
    summary = {**written._asdict(), "files": [str(file) for file in written.files], "comparisons": len(couples)}
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    print(
        f"{', '.join(summary['files']) or 'nothing to write'}: {written.requests:,} requests "
        f"({written.known:,} answered before, {written.on_the_way:,} on their way in an earlier file)"
    )


def read(
    responses: options.Responses,
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Output and error files of the batch.")],
    base_url: BatchAddress,
    model: BatchModel,
    out: options.Out,
    rubric: options.RubricName = "helpful",
    pairs_per_prompt: options.Couples = 1,
    ranking: options.Ranking = False,
    samples: options.Samples = 1,
    logprobs: options.Logprobs = False,
    temperature: options.Temperature = 0.0,
    max_tokens: options.MaxTokens = 512,
    clip: options.Clip = 0.05,
    price_prompt: options.PromptPrice = None,
    price_completion: options.ReplyPrice = None,
    route: options.Route = None,
    cache: options.Replies = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Results of a batch as preference pairs, as `judge label` makes them; what failed is named and counted.

    Failed and unanswered requests can be written again by `judge batch write`, or asked by `judge label`.

    \b
    Example:
      boresight judge batch read responses.jsonl results.jsonl errors.jsonl --base-url https://api.openai.com/v1
          --model NAME --out pairs.jsonl
    """
    from boresight.cli.judge_label import tell
    from boresight.data.jsonl import read_records
    from boresight.feedback.ai_labels import comparisons_of
    from boresight.feedback.batch_files import KnownReplies, read_results
    from boresight.feedback.label_file import couples_of, label_file
    from boresight.feedback.rubric_judge import RubricJudge
    from boresight.records import Response

    how, couples = options.How(samples, logprobs, temperature, max_tokens), None if ranking else pairs_per_prompt
    named = options.Named(base_url, model)
    judge, client = options.endpoint_judge(named, rubric, how, cache or options.beside(out))
    answered = read_records(responses, Response)
    asked = judge.questions(comparisons_of(couples_of(answered, couples, seed)))
    found = read_results(client, asked, results)
    known = KnownReplies(client, found.failures, options.prices(price_prompt, price_completion, None))
    known_judge = RubricJudge(known, judge.rubric, samples)
    summary, warnings = label_file(
        answered, known_judge, out, route=route, pairs_per_prompt=couples, clip=clip, seed=seed
    )
    tell({**summary, "batch": found.counts()}, warnings, out, as_json=as_json)
