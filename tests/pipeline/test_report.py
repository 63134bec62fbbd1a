"""The report of a small run: written with the real writers of stages, metrics and statistics, then read as a page."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from boresight.config.sections import Bounds
from boresight.data.jsonl import write_records
from boresight.data.wording import percent as percent_text
from boresight.errors import DataError
from boresight.evaluation.baselines import fit_baselines
from boresight.evaluation.certificate import certify
from boresight.evaluation.gate import decide
from boresight.evaluation.measures import MeasuredResponse, model_summary
from boresight.evaluation.win_rate import compare_all
from boresight.pipeline.artifacts import Identity, Input, RunFolder
from boresight.pipeline.report import write_report
from boresight.pipeline.report_examples import drawn_by_kind
from boresight.pipeline.report_reading import read_rows, read_run
from boresight.pipeline.report_words import duration_text, listing, number_text
from boresight.records import Message, PreferencePair
from boresight.runlog.writer import MetricsWriter
from boresight.storage import hash_text, read_json, write_json, write_text

HOSTILE = '<script>alert("x")</script> <img src="http://example.org/a.png" onerror=alert(1)> & </svg>'
PROMPTS = [("plain", f"p-{i:02}") for i in range(14)] + [("false_premise", f"f-{i:02}") for i in range(40)]
STAGES = {
    "base": "pretrain",
    "demo": "sft",
    "start": "evaluate",
    "drafts": "sample",
    "labels": "ai_labels",
    "pairs": "preferences",
    "scorer": "reward_model",
    "ppo": "ppo",
    "dpo": "dpo",
    "compare": "evaluate",
    "gate": "gate",
}
INPUTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "base": {"data": ["data/docs.txt"]},
    "demo": {"start": ["base"], "data": ["data/demonstrations.jsonl"]},
    "start": {"candidates": ["demo"], "baseline": ["base"], "prompts": ["data/held_out.jsonl"]},
    "drafts": {"policy": ["demo"], "prompts": ["data/prompts.jsonl"]},
    "labels": {"responses": ["drafts"]},
    "pairs": {"sources": ["data/pairs.csv", "labels"]},
    "scorer": {"start": ["demo"], "data": ["pairs"]},
    "ppo": {"policy": ["demo"], "reference": ["demo"], "reward": ["scorer"]},
    "dpo": {"policy": ["demo"], "reference": ["demo"], "data": ["pairs"]},
    "compare": {"candidates": ["ppo", "dpo"], "baseline": ["demo"], "prompts": ["data/held_out.jsonl"]},
    "gate": {"of": ["compare"]},
}


class RunBuilder:
    """Makes a run folder stage by stage, as the pipeline does."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, RunFolder(root)

    def stage(self, name: str, fill: Callable[[Path], Mapping[str, Any]], **config: Any) -> Mapping[str, Any]:
        inputs = {
            field: [
                Input(source, source, self.runs.output_hash(source) if source in STAGES else hash_text(source),
                      source in STAGES)
                for source in sources
            ]
            for field, sources in INPUTS[name].items()
        }  # fmt: skip
        section = {"kind": STAGES[name], **{f: list(s) for f, s in INPUTS[name].items()}, **config}
        identity = Identity(name, STAGES[name], section, {}, 7, inputs)
        folder = self.runs.open(identity)
        result = fill(folder)
        self.runs.finish(identity, result)
        self.summary()
        return result

    def summary(self) -> None:
        rows = [{"name": n, "kind": k, "key": self.runs.built_key(n)} for n, k in STAGES.items()]
        write_json(self.root / "run.json", {"name": "small", "seed": 7, "stages": rows})


def write_curves(folder: Path, steps: int, values: Mapping[str, float], seconds: float = 0.25) -> None:
    writer = MetricsWriter(folder)
    for step in range(1, steps + 1):
        writer.append(step, {name: value * (1 + 1 / step) for name, value in values.items()})
        writer.append(step, {"time/step_seconds": seconds})


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def evaluation(folder: Path, baseline: str, agrees: Mapping[str, int]) -> dict[str, Any]:
    """Every model is right but for the first `agrees[model]` false premises; the right response scores 1, else 0."""
    responses, comparisons = [], []
    measured: dict[str, list[MeasuredResponse]] = {model: [] for model in agrees}
    for kind, prompt_id in PROMPTS:
        right = {m: kind == "plain" or int(prompt_id[2:]) >= n for m, n in agrees.items()}
        texts = {m: f"No, {HOSTILE}" if right[m] else f"Yes, says {m}." for m in agrees}
        given = {m: {"text": text, "stopped": True, "tokens": 9} for m, text in texts.items()}
        prompt = [{"role": "user", "content": HOSTILE}]
        responses.append({"prompt_id": prompt_id, "kind": kind, "prompt": prompt, "responses": given})
        for model in agrees:
            hits = {"right_form": True} | ({} if kind == "plain" else {"agrees": not right[model]})
            measured[model].append(MeasuredResponse(kind=kind, hits=hits, tokens=9, stopped=True))
            for order in ("candidate_first", "baseline_first") if model != baseline else ():
                verdict = 0.5 + (right[model] - right[baseline]) / 2
                comparisons.append({"prompt_id": prompt_id, "kind": kind, "candidate": model, "order": order,
                                    "verdict": verdict, "score_candidate": float(right[model]),
                                    "score_baseline": float(right[baseline])})  # fmt: skip
    write_lines(folder / "responses.jsonl", responses)
    write_lines(folder / "comparisons.jsonl", comparisons)
    return {"prompts": len(PROMPTS), "temperature": 0.0, "judge": {"kind": "rules"}, "baseline": baseline,
            "models": {m: model_summary(rows) for m, rows in measured.items()},
            "candidates": compare_all(comparisons, seed=7)}  # fmt: skip


def certificate() -> dict[str, Any]:
    def pair(i: int) -> PreferencePair:
        prompt = (Message("user", f"question {i}"),)
        chosen, rejected = (Message("assistant", "no " * (i % 3 + 1)),), (Message("assistant", "yes of course"),)
        return PreferencePair(
            id=f"q{i}", prompt=prompt, chosen=chosen, rejected=rejected, kind=("plain", "fact")[i % 2]
        )

    pairs = [pair(i) for i in range(30)]
    scores = [0.2 * (i % 7) for i in range(30)]
    return {
        "held_out": certify(pairs, scores, [0.5] * 30, fit_baselines(pairs)) | {"read": 33, "dropped": {"identical": 3}}
    }


def build_run(root: Path, *, agrees: Mapping[str, int] | None = None) -> Path:
    """The whole small run; `agrees` says how many of forty false premises each model agrees with."""
    build, counts = RunBuilder(root), {"demo": 36, "ppo": 4, "dpo": 0} | dict(agrees or {})
    rollout = {"policy/kl_to_reference": 0.7, "reward/score": 1.1, "policy/entropy": 0.4, "policy/clip_fraction": 0.02,
               "rollout/length_tokens": 21.0, "value/explained_variance": 0.6}  # fmt: skip
    pair_metrics = {"loss/total": 0.5, "reward/chosen": 0.2, "reward/rejected": -0.4, "reward/margin": 0.6,
                    "reward/accuracy": 0.45}  # fmt: skip

    def trained(steps: int, metrics: Mapping[str, float], **result: Any) -> Callable[[Path], Mapping[str, Any]]:
        def fill(folder: Path) -> Mapping[str, Any]:
            write_curves(folder, steps, metrics)
            return {"steps": steps, **result}

        return fill

    build.stage("base", trained(120, {"loss/total": 2.0}, documents=60, tokens=4100, parameters=90210,
                                vocabulary_size=300, final_loss=2.02))  # fmt: skip
    build.stage("demo", trained(6, {"loss/total": 0.7}, conversations=80, dropped={"too_long": 2}, trained_tokens=910,
                                read={"data/demonstrations.jsonl": 82}, final_loss=0.71))  # fmt: skip
    build.stage("start", lambda f: evaluation(f, "base", {"base": 40, "demo": counts["demo"]}), candidates=["demo"])
    build.stage("drafts", lambda f: {"prompts": 9, "responses": 36, "stop_rate": 0.972, "mean_tokens": 12.5})
    build.stage("labels", lambda f: {"responses": 36, "prompts": 9, "pairs": 8, "ties": 1, "verdict_flips": 3})
    pairs = {"read": {"data/pairs.csv": 33, "labels": 8}, "kept": 36, "dropped": {"duplicate": 5}, "train": 30,
             "left_out": {"file": "left_out.jsonl", "rows": 2},
             "held_out": 6, "kinds": {"plain": 20, "fact": 16}, "longer_share": 0.444}  # fmt: skip
    build.stage("pairs", lambda f: pairs)
    build.stage("scorer", trained(5, {"loss/preference": 0.6, "reward/accuracy": 0.4}, pairs=30, dropped={},
                                  certificate=certificate()))  # fmt: skip
    build.stage(
        "ppo", trained(4, rollout, responses=64, reference_unchanged=True, reward_mean=0.9), kl_coefficient=0.05
    )
    build.stage("dpo", trained(4, pair_metrics, pairs=30, dropped={}, reference_unchanged=True), beta=0.15)
    compared = build.stage("compare", lambda f: evaluation(f, "demo", counts), candidates=["ppo", "dpo"])
    bounds = {"agrees": Bounds(max=0.15)}
    build.stage("gate", lambda f: decide(compared, min_win_rate=0.55, min_lower_bound=0.5, measures=bounds))
    return root


class Page(HTMLParser):
    """What a browser would see: elements, `<data>` values, text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.numbers: list[tuple[str, str]] = []
        self._open_value: str | None = None
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in ("data", "b", "code"):
            self.words.append(" ")
        if tag == "data":
            self._open_value = found["value"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._open_value is not None:
            self.numbers.append((self._open_value, data))
            self._open_value = None

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def read_page(run_folder: Path) -> Page:
    return Page(write_report(run_folder).read_text(encoding="utf-8"))


def numbers_in(value: Any) -> set[float]:
    if isinstance(value, Mapping):
        return set().union(*map(numbers_in, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(numbers_in, value)) if value else set()
    return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def page(run_folder: Path) -> Page:
    return read_page(run_folder)


@pytest.fixture
def copy(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "copy"))


def take_away(folder: Path, *names: str) -> None:
    index = read_json(folder / "run.json")
    for stage in index["stages"]:
        if stage["name"] in names:
            stage["key"] = None
            shutil.rmtree(folder / "stages" / stage["name"])
    write_json(folder / "run.json", index)


def test_a_folder_that_is_none_or_no_runs_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nope: no such folder\. Give the folder that `boresight run` printed"):
        read_run(tmp_path / "nope")
    with pytest.raises(DataError, match=r"no run\.json in this folder, so it is not a run"):
        read_run(tmp_path)


def test_every_rate_of_the_results_is_on_the_page_with_its_exact_value(run_folder: Path, page: Page) -> None:
    shown = {float(value) for value, _ in page.numbers}
    compared = read_json(run_folder / "stages/compare/result.json")
    held_out = read_json(run_folder / "stages/scorer/result.json")["certificate"]["held_out"]
    wanted = {candidate["win_rate"] for candidate in compared["candidates"].values()}
    wanted |= {kind["win_rate"] for c in compared["candidates"].values() for kind in c["by_kind"].values()}
    wanted |= {measure["value"] for model in compared["models"].values() for measure in model["measures"].values()}
    wanted |= {held_out[key] for key in ("accuracy", "ece", "brier", "nll", "temperature")}
    wanted |= {held_out["length_only"]["accuracy"], held_out["bag_of_words"]["accuracy"]}
    assert wanted <= shown


def test_every_number_on_the_page_stands_in_the_files_or_is_a_plain_sum_of_them(run_folder: Path, page: Page) -> None:
    files = [*run_folder.rglob("*.json"), *run_folder.rglob("*.jsonl")]
    known = set().union(
        *(numbers_in([json.loads(line) for line in f.read_text().splitlines()]) if f.suffix == ".jsonl"
          else numbers_in(read_json(f)) for f in files)
    )  # fmt: skip
    seconds = {0.25 * steps for steps in (120, 6, 5, 4)}
    sums = {
        41.0: "rows read: 33 + 8",
        5 / 41: "share of them dropped",
        0.25 * (120 + 6 + 5 + 4 + 4): "seconds of all stages",
        **dict.fromkeys(seconds, "seconds of a stage"),
        2.0: "candidates, and candidates better than the baseline",
        5.0: "stages with times",
    }
    unknown = {float(value) for value, _ in page.numbers} - known - set(sums)
    assert all(31 <= number <= 36 for number in unknown), unknown  # how many prompts a largest gain was drawn from


def test_printed_percentages_are_their_values_rounded_to_a_tenth(page: Page) -> None:
    percentages = [(float(value), text) for value, text in page.numbers if text.endswith("%")]
    assert len(percentages) > 40
    for value, text in percentages:
        assert float(text.rstrip("%").replace("−", "-")) == pytest.approx(100 * value, abs=0.0501)


def test_intervals_and_sample_sizes_stand_beside_the_rates(run_folder: Path, page: Page) -> None:
    result = read_json(run_folder / "stages/compare/result.json")["candidates"]["dpo"]
    low, high = result["ci95"]
    assert f"dpo wins {100 * result['win_rate']:.1f}% ({100 * low:.1f}–{100 * high:.1f}%, n = 54)" in page.text


def test_model_text_is_escaped_and_nothing_on_the_page_can_run(page: Page) -> None:
    assert HOSTILE in "".join(page.words)
    assert HOSTILE not in page.html
    assert not {"script", "img", "iframe", "object", "embed", "link"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_page_refers_to_nothing_outside_itself(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert "@import" not in page.html
    assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", page.html))
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_ids_are_unique_and_references_inside_the_page_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for _, a in page.elements if a.get("href", "").startswith("#")}
    assert targets | set(re.findall(r"url\(#([^)]*)\)", page.html)) <= set(ids)


def test_charts_take_their_colours_from_the_page(page: Page) -> None:
    assert not re.search("#010[12][0-9a-f]{2}", page.html)
    assert "fill: currentColor" in page.html
    assert "var(--s1)" in page.html
    assert all("aria-label" in a or a.get("aria-hidden") for tag, a in page.elements if tag == "svg")


def test_second_build_has_equal_bytes_and_is_small(run_folder: Path, page: Page) -> None:
    second = write_report(run_folder).read_bytes()
    assert second == page.html.encode()
    assert len(second) < 4_000_000


def test_passed_gate_is_the_title_with_every_check_and_bound(page: Page) -> None:
    assert "Passed: all 6 checks hold" in page.text
    assert "at least 55%" in page.text and "at most 15%" in page.text
    assert page.text.count("✓") == 6 and "✗" not in page.text


def test_failed_check_is_named_first_with_value_and_bound(tmp_path: Path) -> None:
    failed = read_page(build_run(tmp_path / "failed", agrees={"ppo": 16}))
    assert "Failed: 1 of 6 checks does not hold" in failed.text
    assert "ppo does not hold: agrees is 40.0%, at most 15% is required." in failed.text


def test_story_says_what_demonstrations_left_and_what_preferences_changed(page: Page) -> None:
    assert "The base model goes on with the question" in page.text
    assert "After demonstrations: agrees 90.0%" in page.text
    assert "2 of 2 candidates beat demo" in page.text
    assert "dpo: agrees 90.0% → 0%." in page.text
    # The scores of the small reward model have nothing to do with the responses; their words have.
    assert "This is not clearly better than a bag of words." in page.text


@pytest.mark.parametrize("missing", ["base", "demo", "scorer", "ppo"])
def test_page_is_written_without_any_one_stage_and_names_it(copy: Path, missing: str) -> None:
    take_away(copy, missing)
    page = read_page(copy)
    assert f"10 of 11 stages are there. Missing: {missing} ({STAGES[missing]})" in page.text


def test_results_that_rest_on_an_input_built_anew_are_not_shown(copy: Path) -> None:
    manifest = read_json(copy / "stages/scorer/manifest.json")
    write_json(copy / "stages/scorer/manifest.json", {**manifest, "outputs": {"result.json": hash_text("another")}})
    page = read_page(copy)
    outdated = ", ".join(f"{name} ({STAGES[name]}, built from earlier inputs)" for name in ("ppo", "compare", "gate"))
    assert f"8 of 11 stages are there. Missing: {outdated}." in page.text
    assert "No verdict yet" in page.text and "candidates beat" not in page.text


def test_run_without_gate_result_has_no_verdict_yet(copy: Path) -> None:
    take_away(copy, "compare", "gate")
    page = read_page(copy)
    assert "No verdict yet: the gate has not been reached" in page.text
    assert not {"checks", "examples"} & {a.get("id") for _, a in page.elements}


def test_run_that_has_only_begun_shows_the_curves_of_the_stage_under_way(copy: Path) -> None:
    take_away(copy, *STAGES)
    write_curves(copy / "stages" / "base.partial", 3, {"loss/total": 4.0})
    page = read_page(copy)
    assert "0 of 11 stages are there" in page.text
    assert "Not finished; at step 3: loss 5.33." in page.text  # 4 (1 + 1/3)


def test_examples_show_each_prompt_once_a_kind_and_the_extremes_of_each_candidate(page: Page) -> None:
    shown = page.text.split("models that gave the same response word for word share a card.")[1].split("Data pairs")[0]
    ids = re.findall(r"\b[pf]-\d\d\b", shown)
    assert len(ids) == len(set(ids)) == 4
    assert shown.count("Drawn at random from its kind") == 2
    # ppo is right where demo is wrong on f-04 to f-35; one of these 32 was drawn before, or none.
    assert re.search(r"Largest gain of ppo: 1, drawn from 3[12] alike", shown)
    assert re.search(r"Largest gain of dpo: 1, drawn from 3[456] alike", shown)
    assert "Largest loss" not in shown  # neither candidate lost anywhere


def test_drawn_examples_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    rows = [{"prompt_id": prompt_id, "kind": kind} for kind, prompt_id in PROMPTS]
    assert drawn_by_kind(rows, "7/compare") == drawn_by_kind(rows[::-1], "7/compare")
    draws = {drawn_by_kind(rows, f"{seed}/compare")[0]["prompt_id"] for seed in range(20)}
    assert len(draws) > 5


def test_findings_of_the_doctor_stand_beside_each_training(copy: Path) -> None:
    def findings() -> list[bool]:
        return ["open" in attrs for tag, attrs in read_page(copy).elements if attrs.get("class") == "finding"]

    assert findings() == [False, False, True, True]  # the scorer is at chance, and dpo's reference is another model
    steps = [
        {"step": step, "split": "train", "loss/policy": 0.1, "policy/kl_to_reference": 0.02 * 1.3**step,
         "policy/entropy": 60.0 * 0.8**step, "policy/clip_fraction": 0.1, "reward/score": 0.05 * step}
        for step in range(40)
    ]  # fmt: skip
    write_lines(copy / "stages/ppo/metrics.jsonl", steps)
    assert findings() == [False, False, True, True, True]
    assert "entropy collapse." in read_page(copy).text and "To do: " in read_page(copy).text


def test_lineage_holds_full_hashes_and_versions_of_every_stage(run_folder: Path, page: Page) -> None:
    for name in STAGES:
        manifest = read_json(run_folder / "stages" / name / "manifest.json")
        hashes = [manifest["key"], manifest["config_sha256"], *manifest["outputs"].values()]
        hashes += [source["sha256"] for sources in manifest["inputs"].values() for source in sources]
        assert all(sha in page.text for sha in hashes)
        assert all(f"{library} {version}" in page.text for library, version in manifest["versions"].items())


def test_time_is_told_and_where_they_are_known_its_cost_and_that_it_was_a_smoke_test(copy: Path, page: Page) -> None:
    assert "All together 35 s." in page.text and "smoke test" not in page.text
    summary = read_json(copy / "run.json")
    write_json(copy / "run.json", summary | {"cost_per_hour": 7.2, "quick": True})
    text = read_page(copy).text
    assert "All together 35 s, which at 7.2 an hour cost 0.0695." in text  # 34.75 / 3600 * 7.2
    assert "A smoke test (--quick): a few steps of each stage" in text


def test_dropped_rows_are_shown_with_their_reason(page: Page) -> None:
    assert "duplicate 5 12.2%" in page.text  # 5 / (33 + 8)
    assert "5 dropped (rows in dropped.jsonl and left_out.jsonl)" in page.text
    assert "In 44.4% of the pairs the chosen response is the longer one" in page.text
    assert "910 tokens trained on. Read: 82 from data/demonstrations.jsonl; left out: 2 (too long)." in page.text
    assert "scorer, held-out pairs “held out”: 30 pairs scored. Read: 33 rows; left out: 3 (identical)." in page.text
    assert "dpo: 30 pairs trained on. None left out." in page.text


def test_folder_without_run_json_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run\.json in this folder") as caught:
        write_report(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_broken_line_is_named_by_file_and_line(copy: Path) -> None:
    path = copy / "stages/compare/responses.jsonl"
    lines = path.read_text().splitlines()
    write_text(path, "\n".join([lines[0], '{"prompt_id":', *lines[2:]]))
    with pytest.raises(DataError, match=r"responses\.jsonl:2: not a JSON record"):
        write_report(copy)


def test_a_file_of_a_finished_stage_that_is_gone_is_named(copy: Path) -> None:
    (copy / "stages/compare/result.json").unlink()
    with pytest.raises(DataError, match=r"compare/result\.json: is missing, though the stage was finished"):
        write_report(copy)


def test_a_run_json_of_something_else_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"name": "x"})
    with pytest.raises(DataError, match=r"run\.json: holds no seed, stages, so"):
        write_report(tmp_path)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_signs_that_unicode_calls_line_ends_part_no_record(tmp_path: Path, sign: str) -> None:
    rows = [{"id": "a", "text": f"one{sign}two"}, {"id": "b", "text": "three"}]
    write_records(tmp_path / "responses.jsonl", rows)
    assert read_rows(tmp_path / "responses.jsonl") == rows


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.0, "1"), (0.05, "0.05"), (-0.1142, "−0.114"), (23.6, "23.6"), (999.6, "1,000"), (12345, "12,345"),
     (9.09e-13, "9.1\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻¹³")],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0%"), (1.0, "100%"), (0.9996, "100.0%"), (0.0004, "0.0%")])
def test_only_an_exact_nought_or_one_is_printed_without_decimals(value: float, text: str) -> None:
    assert percent_text(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.25, "4.2 s"), (89, "89 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_listing_escapes_its_items() -> None:
    assert listing(["a", "<b>", "c"]) == "a, &lt;b&gt; and c"


@pytest.mark.browser
def test_page_has_no_console_errors_and_no_sideways_scrolling(run_folder: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("needs Chromium at /usr/bin/chromium")
    path = write_report(run_folder)
    messages: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        for width, scheme in ((1280, "light"), (375, "dark")):
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab.on("console", lambda message: messages.append(message.text))
            tab.on("pageerror", lambda error: messages.append(str(error)))
            tab.on(
                "request", lambda request: messages.append(request.url) if "report.html" not in request.url else None
            )
            tab.goto(path.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert messages == []
