"""A headless browser, where the machine has one; nothing is downloaded."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def opened(html: str, folder: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what it wrote to the console; skips the test without a browser."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    asked = ("--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri())
    done = subprocess.run([found, *QUIET, *asked], capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
