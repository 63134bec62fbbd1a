"""The page of a data set: every finding, the figures behind it, nothing from outside and nothing that runs."""

import re
from pathlib import Path

import pytest

from boresight.data.lint.profile import Profile
from boresight.data.lint.row import row_of
from boresight.data.lint.run import Lint
from boresight.data.readers import read_pairs
from boresight.pipeline.data_report import lint_with_report
from boresight.records import PreferencePair
from tests.data.lint.making import demonstration, pair, sound_pairs

FAULTY = Path(__file__).parents[2] / "examples" / "kube_assistant" / "data" / "pairs_faulty.csv"
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lint, Path]:
    path = tmp_path_factory.mktemp("page") / "data.html"
    return lint_with_report({"pairs": read_pairs(FAULTY, on_identical="keep").pairs}, path), path


def test_every_finding_is_on_the_page_with_its_share(made: tuple[Lint, Path]) -> None:
    done, path = made
    text = path.read_text(encoding="utf-8")
    for finding in done.findings:
        article = text[text.index(f'id="{finding.id}"') :].split("</article>")[0]
        assert f"{finding.count:,} of {finding.of:,}" in article and finding.severity in article


def test_nothing_is_loaded_and_nothing_runs(made: tuple[Lint, Path]) -> None:
    text = made[1].read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "<script" not in text and "http://" not in text
    assert not re.search(r'(?:src|href)="(?!#)', text)


def test_equal_data_gives_equal_bytes(made: tuple[Lint, Path], tmp_path: Path) -> None:
    lint_with_report({"pairs": read_pairs(FAULTY, on_identical="keep").pairs}, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == made[1].read_bytes()


def test_text_of_the_data_cannot_become_markup(tmp_path: Path) -> None:
    wild = pair(1, "<script>alert(1)</script>", "<img src=x>", "<img src=x>")
    lint_with_report({"<b>": [wild]}, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<img" not in text and "&lt;script&gt;" in text


def test_personal_data_is_not_shown(tmp_path: Path) -> None:
    rows = [pair(n, "q", f"write to anna{n}@mail.ethz.ch", "b") for n in range(3)]
    lint_with_report({"data": rows}, tmp_path / "page.html")
    assert "anna" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_demonstrations_have_a_page_too(tmp_path: Path) -> None:
    done = lint_with_report({"data": [demonstration(n, f"q {n}", "a b c") for n in range(60)]}, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert done.finding("no_small_talk") is not None and "no_small_talk" in text and "rejected" not in text


def test_votes_are_counted_by_hand() -> None:
    """3 votes of 3: 3 agreeing pairs of 3. 2 votes of 3: 1 of 3. One vote tells nothing."""
    profile = Profile()
    votes = [{"n_votes": 3, "p_chosen": 1.0}, {"n_votes": 3, "p_chosen": 2 / 3}, {"n_votes": 1}]
    for position, given in enumerate(votes):
        profile.see(row_of(pair(position, "q", "a", "b", **given), position, "data"))
    assert (profile.voted, profile.unanimous, profile.agreement) == (2, 1, 4 / 6)


def test_lengths_and_gaps_are_counted_by_hand() -> None:
    profile = Profile()
    rows: list[PreferencePair] = [
        pair(0, "q", "one two three", "one"),  # 13 against 3 characters: 4 times or more
        pair(1, "q", "ab", "abc"),  # 1.5 times, the rejected one longer
        pair(2, "q", "same", "size"),
    ]
    for position, row in enumerate(rows):
        profile.see(row_of(row, position, "data"))
    assert dict(profile.chosen_words) == {2: 1, 1: 2} and dict(profile.rejected_words) == {1: 3}
    assert dict(profile.gap_untied) == {5: 1, 3: 1}
    assert {place: n for place, n in profile.gap_longer.items() if n} == {5: 1}


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM}")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_window_and_loads_nothing(made: tuple[Lint, Path], width: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        page.on("request", lambda request: told.append(request.url))
        page.goto(made[1].as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("article.finding").count() == len(made[0].findings)
        assert page.locator("figure svg:visible").count() == 2
        assert told == [made[1].as_uri()]
        browser.close()


def test_sound_data_is_told_as_such(tmp_path: Path) -> None:
    lint_with_report({"data": sound_pairs(60)}, tmp_path / "page.html")
    assert 'class="passed"' in (tmp_path / "page.html").read_text(encoding="utf-8")
