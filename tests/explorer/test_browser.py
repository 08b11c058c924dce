# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, with keys, pointer and two people at once."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from surglavi_hf.data.reviews import ReviewLog
from surglavi_hf.demo.benchmark import write_benchmark
from surglavi_hf.evaluation import load_benchmark, zero_shot
from surglavi_hf.explorer.jobs import Job

from ..data.reference import write_database
from .conftest import TOKEN

WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    '"><svg onload=alert(1)>',
    "${7*7} {{7*7}} javascript:alert(1)",
    "‮abc‬ \u2028 \ufffd 🩺 很长",
]


@pytest.fixture
def open_page(chromium, serve):  # whose servers outlive the pages
    """Opens a page of a server; at the end there were no errors in it, and no request to another host."""
    opened = []

    def open_(client, path="/", viewport=WIDE, scheme="light", allow=()):
        context = chromium.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(30_000)
        page = context.new_page()
        found = {"errors": [], "hosts": set(), "allow": allow, "client": client}
        page.on("pageerror", lambda error: found["errors"].append(str(error)))
        page.on(
            "console", lambda said: found["errors"].append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("request", lambda request: found["hosts"].add(urlsplit(request.url).netloc))
        page.goto(f"{client.address}{path}{'&' if '?' in path else '?'}token={TOKEN}")
        page.wait_for_selector("main h1, main [role=status]")
        opened.append((context, found))
        return page

    yield open_
    for context, found in opened:
        context.close()
        assert [text for text in found["errors"] if not any(one in text for one in found["allow"])] == []
        assert found["hosts"] == {urlsplit(found["client"].address).netloc}


@pytest.fixture
def explored(serve, drawn, encoder, tmp_path):
    """All that an explorer can show, of the drawn corpus; reviews are taken."""
    write_benchmark(tmp_path / "benchmark")
    file = tmp_path / "benchmark" / "benchmark.yaml"
    report = zero_shot(encoder, None, load_benchmark(file))
    for name in ("one", "two"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        report.to_json(tmp_path / "reports" / name / "report.json")
    return serve(drawn, lambda: encoder, review=True, benchmark=str(file), reports=(str(tmp_path / "reports"),))


def until(page, expression, seconds=30):
    """Waits until something is so; Playwright's own way evaluates text in the page, which its policy forbids."""
    for _ in range(seconds * 20):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never so: {expression}")


PAGES = {
    "/": "Drawn procedures",
    "/captions?level=step": "Captions",
    "/videos?sort=-duration": "Videos",
    "/search?q=hook": "Search",
    "/video/1?t=4": "Drawn procedure 1",
    "/benchmark": "Drawn operations",
    "/benchmark/operation-3?report=one/report&report=two/report": "operation-3",
    "/reviews": "Reviews",
}


def axe(page):
    """What keeps some people from using a page: its serious findings."""
    from axe_playwright_python.sync_playwright import Axe

    # The checker is put in by the browser's debugger, which the page's policy does not bind.
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
def test_every_page_at_both_widths_and_in_both_colours(open_page, explored, viewport, scheme):
    page = open_page(explored, viewport=viewport, scheme=scheme)
    for path, title in PAGES.items():
        assert page.goto(explored.address + path).status == 200
        page.wait_for_load_state("networkidle")
        assert title in page.locator("h1").first.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert axe(page) == [], path


def test_the_checker_sees_what_is_wrong(open_page, own, serve):
    page = open_page(serve(own))
    page.evaluate("""() => {
        const wrong = document.createElement("button");
        document.querySelector("main").append(wrong);
        const faint = document.createElement("p");
        faint.textContent = "too faint to read";
        faint.style.color = "#ddd";
        document.querySelector("main").append(faint);
    }""")
    assert {one.partition(":")[0] for one in axe(page)} == {"button-name", "color-contrast"}


def test_charts_filter_by_a_click_and_the_address_keeps_it(open_page, explored):
    page = open_page(explored)
    page.get_by_role("button", name=re.compile("^step")).click()
    page.wait_for_url("**/?level=step")
    tile = page.locator(".tile", has_text="captions").first
    expected = explored.get("/api/overview?level=step")["captions"]
    until(page, f"document.querySelector('.tile .value').textContent === '{expected:,}'")
    page.get_by_role("button", name=re.compile("^task")).click()
    page.wait_for_url("**/?level=step&level=task")
    page.go_back()
    page.wait_for_url("**/?level=step")
    tile.click()
    page.wait_for_url("**/captions?level=step")
    page.wait_for_selector(".rows .row[role=row] .level.step")
    other = open_page(explored, "/captions?level=step")  # a colleague, sent the address
    other.wait_for_selector(".rows .row[role=row] .level.step")
    assert (
        other.locator(".rows .long .level").all_inner_texts() == page.locator(".rows .long .level").all_inner_texts()
    )
    assert f"{expected:,}" in other.locator("h1").inner_text()


def test_a_long_list_has_only_the_rows_in_view(open_page, serve, tmp_path):
    caption = {"video_id": 1, "level_id": 1, "duration": 1}
    captions = [
        caption | {"caption_id": n + 1, "start_time": n, "end_time": n + 1, "caption": f"caption number {n}"}
        for n in range(30_000)
    ]
    write_database(tmp_path / "surglavi_beta.db", videos=[{"video_id": 1, "name": "v"}], captions=captions)
    page = open_page(serve(tmp_path), "/captions?sort=start")
    page.wait_for_selector("text=caption number 0")
    box = page.locator(".rows .scroll")
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.wait_for_selector("text=caption number 29999")
    assert page.locator(".rows .long > .row").count() < 60
    box.evaluate("box => { box.scrollTop = box.scrollHeight / 2 }")
    page.wait_for_selector("text=/caption number 15[01]\\d\\d/")


def test_a_list_that_is_taller_than_browsers_draw(open_page, serve, tmp_path):
    """At 58 pixels a row, over 12 million pixels: the scrollbar then moves by more than a row."""
    caption = {"video_id": 1, "level_id": 1, "duration": 1}
    captions = [
        caption | {"caption_id": n + 1, "start_time": n, "end_time": n + 1, "caption": f"caption number {n}"}
        for n in range(220_000)
    ]
    write_database(tmp_path / "surglavi_beta.db", videos=[{"video_id": 1, "name": "v"}], captions=captions)
    page = open_page(serve(tmp_path), "/captions?sort=start")
    page.wait_for_selector("text=caption number 0")
    box = page.locator(".rows .scroll")
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.wait_for_selector("text=caption number 219999")
    last = page.locator("text=caption number 219999").bounding_box()
    frame = box.bounding_box()
    assert frame["y"] <= last["y"] <= frame["y"] + frame["height"]


def test_video_page_by_keys_alone(open_page, explored):
    page = open_page(explored, "/video/1")
    page.wait_for_selector("video")
    until(page, "document.querySelector('video').readyState >= 1")
    page.keyboard.press("3")  # tasks
    page.keyboard.press("n")
    until(page, "!document.querySelector('video').paused")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').paused")
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert page.evaluate("document.querySelector('video').playbackRate") == 1.5
    for _ in range(9):
        page.keyboard.press("[")
    assert page.evaluate("document.querySelector('video').playbackRate") == 0.25
    for _ in range(9):
        page.keyboard.press("]")
    assert page.evaluate("document.querySelector('video').playbackRate") == 4
    at = page.evaluate("document.querySelector('video').currentTime")
    page.keyboard.press("ArrowRight")
    until(page, f"Math.abs(document.querySelector('video').currentTime - {at + 1}) < 0.01")
    page.keyboard.press("l")
    assert page.get_by_role("button", name="loop the interval").get_attribute("aria-pressed") == "true"
    page.keyboard.press("+")
    assert page.get_by_role("button", name="whole").is_enabled()
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    page.keyboard.press("e")
    page.wait_for_selector(".editor")
    page.keyboard.press("/")
    page.wait_for_selector("input[type=search]")


def test_everything_is_reached_by_tab(open_page, explored):
    page = open_page(explored, "/video/1")
    page.wait_for_selector(".lanes .interval")
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent || '').trim()"
        )
        reached.add(name)
    assert {"Overview", "play", "zoom in", "Have the model look at every second", "Add a caption here"} <= reached
    intervals = [name for name in reached if name.startswith(("phases, ", "steps, ", "tasks, "))]
    assert len(intervals) == 3  # one a lane; arrows go on from there
    page.locator(".lane.phase .interval").first.focus()
    page.keyboard.press("ArrowRight")
    second = page.locator(".lane.phase .interval").nth(1)
    assert second.evaluate("one => one === document.activeElement")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('.lane').classList.contains('step')")


def test_a_click_plays_an_interval_and_ends_with_it(open_page, explored):
    page = open_page(explored, "/video/1")
    until(page, "document.querySelector('video') && document.querySelector('video').readyState >= 1")
    row = next(row for row in explored.get("/api/video/1")["captions"] if row["level"] == "task" and row["start"] > 3)
    page.select_option("select:near(:text('speed'))", "4")
    page.locator(f".interval[data-id='{row['caption_id']}']").click()
    page.wait_for_url(f"**/video/1?caption={row['caption_id']}")
    assert row["text"] in page.locator(".now").inner_text()
    until(page, "document.querySelector('video').paused", 20)
    assert abs(page.evaluate("document.querySelector('video').currentTime") - row["end"]) < 0.6


def test_the_model_answers_on_the_page(open_page, explored):
    page = open_page(explored, "/video/1")
    page.get_by_role("button", name="Have the model look at every second").click()
    page.wait_for_selector("text=The model has looked at every second", timeout=60_000)
    page.get_by_role("button", name="Show the ribbon").click()
    page.wait_for_selector(".lane.ribbon .interval")
    assert page.locator(".figures td").first.inner_text().endswith("%")
    page.fill("#sentence", "The hook burns the liver.")
    page.get_by_role("button", name="Show the curve").click()
    page.wait_for_selector(".curve canvas")
    page.locator(".curve .u-over").click()  # in its middle
    middle = explored.get("/api/video/1")["video"]["duration"] / 2
    until(page, f"Math.abs(document.querySelector('video').currentTime - {middle}) < 1.5")
    page.wait_for_url("**sentence=The+hook+burns+the+liver.*")


def test_a_copy_is_made_and_plays(open_page, serve, drawn, matroska):
    page = open_page(serve(drawn), "/video/1?t=5")
    page.wait_for_selector("text=Matroska")
    assert page.locator(".screen img").count() == 1  # frame by frame until then
    page.get_by_role("button", name="Make a small copy that plays").click()
    page.wait_for_selector(".screen video", timeout=60_000)
    until(page, "Math.abs(document.querySelector('video').currentTime - 5) < 0.1")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').currentTime > 5.2")


def test_a_review_by_hand_and_back(open_page, explored, drawn):
    page = open_page(explored, "/video/1")
    row = next(row for row in explored.get("/api/video/1")["captions"] if row["level"] == "step")
    page.goto(f"{explored.address}/video/1?caption={row['caption_id']}")
    page.wait_for_selector(".caption-card.step")
    page.locator(".caption-card.step").get_by_role("button", name="correct it").click()
    page.fill("[name=caption]", "The surgeon writes a new caption.")
    page.get_by_role("button", name="end a frame later").click()
    page.fill("[name=reviewer]", "Ana")
    # The start, by its edge.
    edge = page.locator(".interval.chosen .edge.start")
    edge.scroll_into_view_if_needed()
    box = edge.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 5, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=The surgeon writes a new caption.")
    (review,) = ReviewLog(drawn / "reviews.jsonl").read()
    assert review.reviewer == "Ana"
    assert review.after["caption"] == "The surgeon writes a new caption."
    fps = explored.get("/api/video/1")["video"]["fps"]
    assert review.after["end_time"] == pytest.approx(row["end"] + 1 / fps, abs=1e-3)
    assert review.after["start_time"] > row["start"]
    page.goto(f"{explored.address}/reviews")
    page.wait_for_selector("text=Ana")
    page.goto(f"{explored.address}/captions?review=changed")
    page.wait_for_selector("text=The surgeon writes a new caption.")


def test_what_is_typed_is_not_lost_nor_said_of_another_caption(open_page, explored, drawn):
    rows = [row for row in explored.get("/api/video/1")["captions"] if row["level"] == "step"]
    page = open_page(explored, f"/video/1?caption={rows[0]['caption_id']}")
    page.wait_for_selector(".caption-card.step")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator(".caption-card.step").get_by_role("button", name="correct it").click()
    page.fill("[name=reviewer]", "Ana")
    page.fill("[name=start]", "not a time")
    page.get_by_role("button", name="Save").click()
    assert page.locator("[name=start]:invalid").count() == 1
    page.fill("[name=start]", "0:00:00.000")
    page.fill("[name=remark]", "a remark of the first")
    page.locator(f".interval[data-id='{rows[1]['caption_id']}']").click()
    assert len(asked) == 1
    page.get_by_role("link", name="Captions").first.click()
    assert len(asked) == 2
    assert page.input_value("[name=remark]") == "a remark of the first"
    assert not (drawn / "reviews.jsonl").exists()
    page.get_by_role("button", name="Flag").click()
    page.wait_for_selector(".caption-card")
    page.keyboard.press("2")
    page.keyboard.press("n")
    page.wait_for_selector(f".interval.chosen[data-id='{rows[1]['caption_id']}']")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').paused")
    page.keyboard.press("e")
    page.wait_for_selector(f"text=Caption {rows[1]['caption_id']}")
    assert page.input_value("[name=remark]") == ""
    page.keyboard.press("Escape")
    page.wait_for_selector(".editor", state="detached")
    assert len(asked) == 2
    (review,) = ReviewLog(drawn / "reviews.jsonl").read()
    assert (review.action, review.remark) == ("flag", "a remark of the first")


def test_space_pauses_an_interval_and_n_goes_from_the_playhead(open_page, explored):
    page = open_page(explored, "/video/1")
    page.wait_for_selector("video")
    until(page, "document.querySelector('video').readyState >= 1")
    rows = [row for row in explored.get("/api/video/1")["captions"] if row["level"] == "task"]
    page.locator(f".interval[data-id='{rows[0]['caption_id']}']").click()
    until(page, "!document.querySelector('video').paused")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').paused")
    later = next(row for row in rows if row["start"] > 30)
    page.locator(".position").evaluate(
        "(one, time) => { one.value = time; one.dispatchEvent(new Event('input')) }", later["start"] - 0.3
    )
    page.keyboard.press("n")
    until(page, f"location.search.includes('caption={later['caption_id']}')")
    chosen = page.locator(".interval.chosen")
    assert chosen.evaluate("one => one.parentElement.getBoundingClientRect().top < one.getBoundingClientRect().top")
    assert chosen.evaluate("one => one.querySelector('span').scrollHeight <= one.clientHeight + 8")


def test_a_view_holds_the_ribbon_and_unknown_addresses_say_so(open_page, explored):
    model = explored.explorer.answers.model
    model.watch(explored.explorer.corpus.videos.names[0], Job(lambda job: None))
    page = open_page(explored, "/video/1?ribbon=step&smooth=5", allow=["404", "400"])
    page.wait_for_selector(".lane.ribbon .interval")
    assert page.get_by_label("labels are captions of level").input_value() == "step"
    page.goto(f"{explored.address}/nothing/here")
    page.wait_for_selector("text=There is nothing here")
    page.goto(f"{explored.address}/captions?procedure=x")
    page.wait_for_selector("text='procedure' is nothing to choose by")


def test_a_server_that_was_started_anew_is_told_of(open_page, explored):
    page = open_page(explored, "/video/1", allow=["403"])
    page.wait_for_selector(".caption-card")
    page.context.clear_cookies()  # the new one has another token
    page.get_by_role("button", name="correct it").first.click()
    page.fill("[name=reviewer]", "Ana")
    page.fill("[name=caption]", "What Ana typed.")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=this explorer was started anew")
    assert page.input_value("[name=caption]") == "What Ana typed."


def test_two_reviewers_at_once(open_page, explored, drawn):
    row = explored.get("/api/video/1")["captions"][0]
    pages = []
    for name in ("Ana", "Ben"):
        page = open_page(explored, f"/video/1?caption={row['caption_id']}", allow=["409"])
        page.wait_for_selector(f".caption-card.{row['level']}")
        page.locator(f".caption-card.{row['level']}").first.get_by_role("button", name="correct it").click()
        page.fill("[name=reviewer]", name)
        page.fill("[name=caption]", f"{name} wrote this.")
        pages.append(page)
    ana, ben = pages
    ana.get_by_role("button", name="Save").click()
    ana.wait_for_selector("text=Ana wrote this.")
    ben.wait_for_timeout(4500)  # it hears of Ana's meanwhile, and keeps what Ben typed
    assert ben.input_value("[name=caption]") == "Ben wrote this."
    ben.get_by_role("button", name="Save").click()
    ben.wait_for_selector("text=Ana was at this caption meanwhile")
    assert ben.input_value("[name=caption]") == "Ben wrote this."
    ben.get_by_role("button", name="I have seen it").click()
    ben.get_by_role("button", name="Save").click()
    ben.wait_for_selector(".now >> text=Ben wrote this.")
    ana.wait_for_selector(".now >> text=Ben wrote this.", timeout=10_000)  # without reloading
    reviews = ReviewLog(drawn / "reviews.jsonl").read()
    assert [(one.reviewer, one.after["caption"]) for one in reviews] == [
        ("Ana", "Ana wrote this."),
        ("Ben", "Ben wrote this."),
    ]


def test_a_video_is_taken_down_after_a_question(open_page, explored, drawn):
    page = open_page(explored, "/video/2")
    page.get_by_role("button", name="Take this video down").click()
    page.get_by_role("button", name="Leave it").click()
    assert not (drawn / "takedown.txt").exists()
    page.get_by_role("button", name="Take this video down").click()
    page.get_by_role("button", name="Take it down", exact=True).click()
    page.wait_for_selector("text=This video is not shown here: taken down")
    assert (drawn / "takedown.txt").is_file()


def test_captions_and_names_are_text_and_nothing_else(open_page, serve, tmp_path):
    videos = [
        {"video_id": n + 1, "name": f"v{n}", "title": text, "youtube_id": text} for n, text in enumerate(HOSTILE)
    ]
    captions = [
        {
            "caption_id": n + 1,
            "video_id": n + 1,
            "level_id": 1 + n % 3,
            "start_time": 0,
            "end_time": 5,
            "duration": 5,
            "caption": f"{text} hostile",
            "raw_narration": text,
        }
        for n, text in enumerate(HOSTILE)
    ]
    transcriptions = [{"transcription_id": 1, "video_id": 1, "text": HOSTILE[0]}]
    write_database(tmp_path / "surglavi_beta.db", videos=videos, captions=captions, transcriptions=transcriptions)
    (tmp_path / "corpus.json").write_text('{"title": "<b>x</b>", "description": "y", "license": null}')
    client = serve(tmp_path, review=True)
    body = {"action": "flag", "caption_id": 1, "reviewer": HOSTILE[0], "remark": HOSTILE[1]}
    client.post("/api/reviews", body)
    page = open_page(client)
    paths = [
        "/",
        "/captions",
        "/videos",
        "/search?q=hostile",
        "/reviews",
        "/video/1",
        "/video/2",
        "/captions?q=%3Cimg",
    ]
    for path in paths:
        page.goto(client.address + path)
        page.wait_for_load_state("networkidle")
        assert page.title() != "owned"
        assert page.locator("main img[src=x], main script, main svg[onload], h1 b").count() == 0
    page.goto(f"{client.address}/captions?sort=caption_id")
    page.wait_for_selector("text=hostile")
    assert HOSTILE[0] in page.locator(".rows .long .row").first.inner_text()


def test_without_a_server_the_page_says_so(open_page, own, serve):
    client = serve(own)
    page = open_page(client, "/captions", allow=["ERR_", "Failed to load"])
    page.wait_for_selector(".rows .row[role=row] .level")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("link", name="Videos").first.click()
    page.wait_for_selector("text=the server does not answer; is surglavi explore still running?")


def test_pages_are_drawn_by_files_of_this_package_alone():
    static = Path(__file__).parents[2] / "surglavi_hf" / "explorer" / "static"
    for path in static.rglob("*"):
        if path.suffix in (".js", ".css", ".html") and path.parent.name != "vendor":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
            assert "innerHTML" not in text, path
            assert "eval(" not in text, path
