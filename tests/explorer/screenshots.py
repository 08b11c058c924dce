# SPDX-License-Identifier: Apache-2.0
"""
Pictures of the explorer for README and docs, of the drawn corpus that `surglavi demo` leaves.

    make demo
    python -m tests.explorer.screenshots demo docs/explorer
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from .conftest import CHROMIUM

WIDE = {"width": 1280, "height": 800}
VIDEO = 122  # which the model was not trained on


def surglavi(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "surglavi_hf.cli", *arguments]


def settled(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)


def answer(page: Page) -> None:
    if page.get_by_role("button", name="Have the model look at every second").is_visible():
        page.get_by_role("button", name="Have the model look at every second").click()
    page.wait_for_selector("text=The model has looked at every second", timeout=120_000)
    page.select_option("section.answer select", "step")
    page.get_by_role("button", name="Show the ribbon").click()
    page.wait_for_selector(".lane.ribbon .interval")
    page.fill("#sentence", "The surgeon works on the bowel.")
    page.get_by_role("button", name="Show the curve").click()
    page.wait_for_selector(".curve canvas")
    page.wait_for_timeout(400)


def take(origin: str, token: str, browser, folder: Path) -> None:
    def page_of(viewport: dict, scheme: str) -> Page:
        page = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce").new_page()
        page.goto(f"{origin}/?token={token}")
        return page

    def save(page: Page, name: str, whole: bool = False) -> None:
        path = folder / f"{name}.png"
        page.screenshot(path=path, full_page=whole)
        Image.open(path).convert("RGB").quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)

    page = page_of(WIDE, "light")
    settled(page, f"{origin}/?level=task&level=step")
    save(page, "overview")
    settled(page, f"{origin}/search?q=The+hook+burns+the+liver")
    save(page, "search")
    page.set_viewport_size({"width": 1280, "height": 1000})
    settled(page, f"{origin}/video/{VIDEO}?t=26.2")
    save(page, "video")
    answer(page)
    page.evaluate("document.querySelector('.top').style.position = 'static'")
    page.locator(".lanes").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.transport').scrollIntoView()")
    page.wait_for_timeout(300)
    save(page, "answer")
    settled(page, f"{origin}/benchmark")
    page.set_viewport_size(WIDE)
    save(page, "benchmark")
    page = page_of({"width": 1280, "height": 1000}, "dark")
    settled(page, f"{origin}/video/{VIDEO}?t=26.2")
    page.get_by_role("button", name="correct it").last.click()
    page.wait_for_selector(".editor")
    page.wait_for_timeout(300)
    save(page, "review")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    model, corpus = str(options.demo / "training" / "model"), str(options.demo / "corpus")
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="surglavi-pictures-") as name:
        cache = Path(name)
        benchmark = str(options.demo / "benchmark" / "benchmark.yaml")
        embeddings = str(cache / "embeddings.parquet")
        subprocess.run(
            surglavi("embed", "--data-dir", corpus, "--model", model, "--output", embeddings, "--level", "task"),
            check=True,
        )
        for window in ("centered", "online"):
            output = ("--output", str(cache / "reports" / window))
            subprocess.run(surglavi("evaluate", benchmark, "--model", model, "--window", window, *output), check=True)
        arguments = ("--data-dir", corpus, "--model", model, "--index", embeddings, "--review", "--no-browser")
        reports = ("--benchmark", benchmark, "--reports", str(cache / "reports"), "--cache-dir", str(cache / "cache"))
        process = subprocess.Popen(surglavi("explore", *arguments, *reports), stdout=subprocess.PIPE, text=True)
        try:
            origin, token = re.search(r"(http://\S+)/\?token=(\S+)", process.stdout.readline()).groups()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                take(origin, token, browser, options.output)
        finally:
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
