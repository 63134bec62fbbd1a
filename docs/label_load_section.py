"""The table of human_feedback.md on the annotation server under load, from figures/label_http.json."""

from pathlib import Path

from boresight.storage import read_json

LABEL_HTTP = Path(__file__).with_name("figures") / "label_http.json"


def label_load_section() -> str:
    """Text between the marks of the page."""
    measured = read_json(LABEL_HTTP)
    one = next(iter(measured.values()))
    lines = [
        f"`python bench/label_http.py`: {one['people']} annotators at once with {one['tasks']:,} tasks of",
        f"overlap {one['overlap']}, pairs and rankings, {one['pause_s']:g} s between claim and answer in the mean, on",
        f"{one['cores']} cores that annotators, server and database share. Killed is the server, by SIGKILL;",
        "requests that met a kill are sent again, and their time is not counted.",
        "",
        "| store | kills | answers, a second | next task, ms: median, 95 % | answer, ms: median, 95 % "
        "| acknowledged votes lost | people at one place | tasks over their overlap |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in measured.values():
        claim, submit = one["next_task"], one["submit"]
        lines.append(
            f"| {one['store']} | {one['kills']} | {one['answers']:,}, {one['answers_per_s']:g} "
            f"| {claim['p50_ms']:.0f}, {claim['p95_ms']:.0f} | {submit['p50_ms']:.0f}, {submit['p95_ms']:.0f} "
            f"| {one['lost_votes']} | {one['double_assignments']} | {one['tasks_over_overlap']} |"
        )
    return "\n".join(lines) + "\n"
