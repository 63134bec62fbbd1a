"""`boresight judge`: labels by a language model behind an OpenAI-compatible address."""

SUBVERBS = {
    "label": ("boresight.cli.judge_label", "label", "Preference pairs from responses, in both orders."),
    "batch": ("boresight.cli.judge_batch", "command", "The same through batch files: cheaper, within a day."),
    "calibrate": ("boresight.cli.judge_calibrate", "calibrate", "A judge or a jury against people, and corrected."),
    "route": ("boresight.cli.judge_route", "route", "Which couples people should see, for so many votes."),
    "merge": ("boresight.cli.judge_merge", "merge", "People's votes and a judge's labels as one set."),
}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""


def command() -> None:
    """AI feedback: a language model compares responses by a rubric.

    Each couple is asked about in both orders. The API key is read from the environment and written nowhere. What was
    answered is kept, so that the same command goes on after an interruption without asking or paying twice.

    \b
    Example:
      boresight judge label responses.jsonl --base-url http://127.0.0.1:8000/v1 --model NAME --out pairs.jsonl
    """
