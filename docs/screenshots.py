"""The pictures of the docs, taken of the real pages: report, lineage, monitor and annotation app, in light and dark.

make demo                                   # about a quarter of an hour, once
python docs/screenshots.py                  # of runs/kube-assistant, into docs/figures/screens

Needs Chromium and `pip install 'boresight[web]' playwright pillow`.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "figures" / "screens"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1200, "height": 760}
LARGEST = 150_000
"""Bytes of one picture."""

Tab = Any


@contextmanager
def served(*words: str) -> Iterator[str]:
    """A command of ours that serves; the link that it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-m", "boresight", *words, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(20)


def take_report(tab: Tab, run: Path) -> Tab:
    tab.goto((run / "report.html").resolve().as_uri())
    return tab


def take_curves(tab: Tab, run: Path) -> Tab:
    """The curves of PPO: reward, KL, entropy and clip fraction among them."""
    tab.goto((run / "report.html").resolve().as_uri())
    return tab.locator("#curves article").filter(has=tab.locator("h4", has_text="ppo"))


def take_lineage(tab: Tab, run: Path) -> Tab:
    tab.goto((run / "report.html").resolve().as_uri())
    graph = tab.locator("#lineage svg").first
    graph.scroll_into_view_if_needed()
    return graph


def take_monitor(tab: Tab, run: Path) -> Tab:
    with served("monitor", str(run)) as link:
        tab.goto(link.rstrip("/") + f"/runs/{run.name}/stages/ppo")
        tab.wait_for_load_state("networkidle")
        tab.wait_for_timeout(1500)  # the charts draw themselves
        return shot(tab)


def take_annotation(tab: Tab, run: Path) -> Tab:
    """Two drafts of the run beside each other, as an annotator sees them."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = Path(folder, "tasks.jsonl")
        tasks.write_text("".join(json.dumps(row) + "\n" for row in drafts(run, 8)), encoding="utf-8")
        with served("label", "serve", str(tasks)) as link:
            tab.goto(link)
            tab.fill("[name=name]", "ada")
            tab.fill("[name=password]", "a password of the screenshot")
            tab.keyboard.press("Enter")
            tab.wait_for_url("**/admin")
            tab.goto(link[: link.index("/join/")] + "/label/1")
            tab.locator("[data-kind=pair]").wait_for()
            tab.keyboard.press("2")
            return shot(tab)


def drafts(run: Path, count: int) -> Iterator[dict[str, Any]]:
    """Tasks from the run's own samples: the first two different responses to each prompt."""
    seen: dict[str, dict[str, Any]] = {}
    with (run / "stages" / "drafts" / "responses.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            prompt = row["prompt"]
            task = seen.setdefault(prompt["id"], {"id": prompt["id"], "prompt": prompt["messages"], "responses": []})
            if len(task["responses"]) < 2 and row["text"] not in task["responses"]:
                task["responses"].append(row["text"])
    yield from [task for task in seen.values() if len(task["responses"]) == 2][:count]


VIEWS: dict[str, Callable[[Tab, Path], Any]] = {
    "report": take_report,
    "curves": take_curves,
    "lineage": take_lineage,
    "monitor": take_monitor,
    "annotation": take_annotation,
}


def shot(place: Tab) -> bytes:
    return bytes(place.screenshot())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "runs" / "kube-assistant")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    if not (given.run / "report.html").is_file():
        print(f"{given.run}: no report there; `make demo` makes the run of the pictures", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, take in VIEWS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport=SIZE, color_scheme=scheme, reduced_motion="reduce")
                taken = take(context.new_page(), given.run)
                save(taken if isinstance(taken, bytes) else shot(taken), given.out / f"{name}_{scheme}.webp")
                context.close()
        browser.close()
    return 0


def save(png: bytes, path: Path) -> None:
    """As WebP, as good as the size allows."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if picture.size != tuple(SIZE.values()):  # a part of a page: some of its ground around it
        picture = ImageOps.expand(picture, 24, fill=picture.getpixel((2, 2)))
    for quality in (90, 80, 70, 60, 50):
        held = io.BytesIO()
        picture.save(held, "WEBP", quality=quality, method=6)
        if held.tell() <= LARGEST:
            break
    path.write_bytes(held.getvalue())
    print(f"{path.name}  {picture.width}x{picture.height}  {held.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
