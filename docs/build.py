"""Builds the site, strict: a dead link or anchor ends it. What comes out opens as files, and asks nobody.

python docs/build.py            # into build/site
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
SHIM = "offline-worker.js"
"""What the search needs where pages are opened as files; the builder would have it from a host of others."""
ELSEWHERE = re.compile(r'<script\b[^>]*\bsrc="https?://[^"]*iframe-worker[^"]*"[^>]*></script>')
LOADED = re.compile(r'<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"[^>]*>')


def main() -> int:
    built = subprocess.run([str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"], cwd=ROOT)
    if built.returncode:
        return built.returncode
    for file in [*SITE.rglob("*.py"), *SITE.glob("figures/**/*.json")]:
        file.unlink()  # what makes the pages is no part of them
    faults = [fault for page in sorted(SITE.rglob("*.html")) for fault in mended(page)]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return int(bool(faults))


def mended(page: Path) -> list[str]:
    """The page loads the shim from beside it; what it would still load from elsewhere is told."""
    up = "../" * (len(page.relative_to(SITE).parts) - 1)
    text = page.read_text(encoding="utf-8")
    text = ELSEWHERE.sub(f'<script src="{up}{SHIM}"></script>', text)
    page.write_text(text, encoding="utf-8")
    loaded = [tag for tag in LOADED.findall(text) if 'rel="canonical"' not in tag]
    return [f"{page.relative_to(SITE)} would load from elsewhere: {tag}" for tag in loaded]


if __name__ == "__main__":
    sys.exit(main())
