"""Two small runs held against each other: differences by hand, the page as a browser sees it."""

from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.pipeline.report_reading import read_run
from boresight.pipeline.run_comparison import compare_runs, write_comparison
from boresight.storage import read_json, write_json
from tests.pipeline.test_report import Page, build_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """In the second run PPO agrees with no false premise (four in the first) and DPO with nine (none)."""
    home = tmp_path_factory.mktemp("runs")
    first, second = build_run(home / "one"), build_run(home / "two", agrees={"ppo": 0, "dpo": 9})
    config = second / "stages/ppo/config.json"
    write_json(config, {**read_json(config), "kl_coefficient": 0.2})
    return first, second


def page_of(first: Path, second: Path, out: Path) -> Page:
    return Page(write_comparison(first, second, out).read_text(encoding="utf-8"))


def rows_of(table: object) -> dict[str, list[str]]:
    return {str(row[0]): [Page(str(cell)).text.strip() for cell in row[1:]] for row in table.rows}  # type: ignore[attr-defined]


def test_win_rates_are_compared_on_the_prompts_that_both_answered(runs: tuple[Path, Path]) -> None:
    comparison = compare_runs(*map(read_run, runs))
    assert (comparison.state, comparison.title) == ("failed", "B failed, A passed")
    tables = dict(comparison.figures)
    found = rows_of(tables["Win rates"])
    # DPO loses nine of 54 prompts that it had won, PPO wins four more; a won prompt is half a point above a tie.
    assert found["compare: dpo against demo"][2].startswith("−8.3")
    assert (
        found["compare: ppo against demo"][2].startswith("+3.7") and "n = 54" in found["compare: ppo against demo"][2]
    )
    assert rows_of(tables["Measures"])["compare: dpo, agrees"][2] == "+22.5"
    said = " ".join(Page(str(sentence)).text for sentence in comparison.sentences)
    assert "dpo wins 83.3% in A and 75.0% in B on the same 54 prompts: less in B" in said
    assert "demo wins 53.7% in A and 53.7% in B on the same 54 prompts: not told apart" in said


def test_settings_that_differ_are_listed_and_no_others(runs: tuple[Path, Path]) -> None:
    comparison = compare_runs(*map(read_run, runs))
    assert comparison.settings is not None
    assert rows_of(comparison.settings) == {"stages.ppo.kl_coefficient": ["0.05", "0.2"]}
    assert [curve.name for curve in comparison.curves] == ["base", "demo", "scorer", "ppo", "dpo"]


def test_a_run_compared_with_itself_differs_nowhere(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = page_of(runs[0], runs[0], tmp_path / "same.html")
    assert "Both runs passed" in page.text and "None: both runs have the same settings" in page.text
    assert "None: both runs read the same content" in page.text
    changes = {cell for _, table in compare_runs(*[read_run(runs[0])] * 2).figures for row in rows_of(table).values()
               for cell in row[2:]}  # fmt: skip
    assert {change.split(" ")[0] for change in changes} <= {"+0.0", "+0", "+0%"}


def test_the_page_lies_in_the_second_run_and_loads_nothing(runs: tuple[Path, Path]) -> None:
    path = write_comparison(*runs)
    page = Page(path.read_text(encoding="utf-8"))
    assert path == runs[1] / "compared_with_one.html"
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [found for _, found in page.elements if "src" in found or found.get("href", "#")[0] != "#"]
    assert page_of(*runs, runs[1] / "again.html").html == page.html  # equal folders give equal bytes


def test_an_unfinished_run_is_told_and_what_is_no_run_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    build_run(tmp_path / "three")
    (tmp_path / "three/stages/gate/manifest.json").unlink()
    page = page_of(runs[0], tmp_path / "three", tmp_path / "page.html")
    assert "B has no verdict yet, A passed" in page.text and "missing: gate" in page.text
    with pytest.raises(DataError, match="nothing: no such folder"):
        write_comparison(runs[0], tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no run\.json"):
        write_comparison(runs[0], tmp_path / "empty")


@pytest.mark.browser
def test_page_has_no_console_errors_and_no_sideways_scrolling(runs: tuple[Path, Path]) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("needs Chromium at /usr/bin/chromium")
    path, messages = write_comparison(*runs), []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        for width, scheme in ((1280, "light"), (375, "dark")):
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab.on("console", lambda message: messages.append(message.text))
            tab.on("pageerror", lambda error: messages.append(str(error)))
            tab.goto(path.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert messages == []
