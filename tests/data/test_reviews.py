# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data.reviews import (
    FIELDS,
    LARGEST_NUMBER,
    CaptionState,
    Review,
    ReviewConflict,
    ReviewLog,
    checked_fields,
    is_sound,
    state_of,
)

BASE = {
    "level": 1,
    "start_time": 1.0,
    "end_time": 2.5,
    "caption": "The gallbladder is grasped.",
    "raw_narration": "so here we grasp it",
    "is_surgical_content": True,
    "is_descriptive": False,
}
HOSTILE = [
    {"id": "x" * 32},
    {"id": "A" * 32},
    {"id": None},
    {"time": "yesterday"},
    {"time": "2026-01-31T12:00:00.000+02:00"},
    {"time": "2026-02-31T12:00:00.000+00:00"},
    {"time": 1.5},
    {"reviewer": ""},
    {"reviewer": "  "},
    {"reviewer": "Ann\x1b[2J"},
    {"reviewer": "Ann\n"},
    {"reviewer": "A" * 101},
    {"reviewer": ["Ann"]},
    {"action": "drop"},
    {"action": ["flag"]},
    {"caption_id": -1},
    {"caption_id": 2**53},
    {"caption_id": 10**300},
    {"caption_id": 1.0},
    {"caption_id": True},
    {"caption_id": "1"},
    {"video_id": None},
    {"video_name": "v\x00"},
    {"video_name": "v\n"},
    {"video_name": "v" * 1001},
    {"remark": "r" * 2001},
    {"remark": "\x07"},
    {"remark": "\ud800"},
    {"remark": None},
    {"follows": ""},
    {"follows": "last"},
    {"before": None},
    {"after": []},
    {"after": {"caption": "b"}},  # of a flag
    {"action": "change"},
    {"action": "change", "before": {"level": 1}, "after": {"caption": "b"}},
    {"action": "change", "before": {"level": 1}, "after": {"level": 4}},
    {"action": "change", "before": {"level": 1}, "after": {"level": True}},
    {"action": "change", "before": {"level": 1}, "after": {"level": "task"}},
    {"action": "change", "before": {"level": 0}, "after": {"level": 1}},
    {"action": "change", "before": {"start_time": 1}, "after": {"start_time": float("nan")}},
    {"action": "change", "before": {"start_time": 1}, "after": {"start_time": float("inf")}},
    {"action": "change", "before": {"start_time": 1}, "after": {"start_time": 10**400}},
    {"action": "change", "before": {"start_time": 1}, "after": {"start_time": -0.5}},
    {"action": "change", "before": {"start_time": 1}, "after": {"start_time": True}},
    {"action": "change", "before": {"start_time": 1, "end_time": 2}, "after": {"start_time": 3, "end_time": 3}},
    {"action": "change", "before": {"caption": "a"}, "after": {"caption": 1}},
    {"action": "change", "before": {"caption": "a"}, "after": {"caption": "b" * 100_001}},
    {"action": "change", "before": {"caption": "a"}, "after": {"caption": "b\x00"}},
    {"action": "change", "before": {"is_descriptive": True}, "after": {"is_descriptive": 1}},
    {"action": "change", "before": {"duration": 1}, "after": {"duration": 2}},
    {"action": "change", "before": {1: 1}, "after": {1: 2}},
    {"action": "add", "after": {"caption": "b"}},
    {"action": "add", "after": BASE, "follows": "0" * 32},
    {"action": "add", "after": BASE | {"caption": " "}},
    {"action": "add", "after": BASE | {"caption": None, "raw_narration": None}},
    {"action": "delete"},
    {"action": "delete", "before": BASE, "after": BASE},
]


def values(number: int = 0, **more) -> dict:
    found = {"id": f"{number:032x}", "time": "2026-01-31T12:00:00.000+00:00", "reviewer": "Ann", "action": "flag"}
    found |= {"caption_id": 7, "video_id": 3, "video_name": "v3", "before": {}, "after": {}, "remark": ""}
    return found | {"follows": None} | more


def review(number: int = 0, **more) -> Review:
    return Review(**values(number, **more))


def change(number: int = 0, follows: str | None = None, **after) -> Review:
    return review(number, action="change", before={name: BASE[name] for name in after}, after=after, follows=follows)


@pytest.fixture
def log(tmp_path) -> ReviewLog:
    return ReviewLog(tmp_path / "reviews.jsonl")


@pytest.mark.parametrize("wrong", HOSTILE, ids=lambda wrong: str(wrong)[:60])
def test_what_is_no_review(wrong, log, caplog):
    with pytest.raises(ValueError, match=r"expected|add(ed)? has no text") as caught:
        review(1, **wrong)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    try:
        line = json.dumps(values(1, **wrong))
    except (TypeError, ValueError):
        return
    log.path.write_text(f"{line}\n{json.dumps(asdict(review(2)))}\n")
    assert log.read() == [review(2)] and log.skipped == 1
    assert caplog.messages == [f"{log.path}, line 1 is no review; skipping it"]


def test_what_is_a_review():
    assert review(
        reviewer="Ö. Müller (手術)", remark="one\ntwo\t", caption_id=LARGEST_NUMBER, video_name="手術\u3000一"
    )
    made = change(start_time=0, end_time=10**9)
    assert made.after == {"start_time": 0.0, "end_time": 1e9} and type(made.after["start_time"]) is float
    assert review(action="change", before={"caption": "\x96 \x00"}, after={"caption": None}), "as a database has it"
    assert list(checked_fields(dict(reversed(BASE.items())))) == list(FIELDS)


def test_a_log_is_read_as_it_was_written(log):
    assert log.read() == [] and log.skipped == 0
    made = [change(1, caption="“naïve”\u2028\nsecond line"), review(2, follows=f"{1:032x}", remark="a\nb")]
    for one in made:
        log.append(one)
    assert log.read() == made == ReviewLog(log.path).read()
    assert log.path.read_bytes().count(b"\n") == 2
    assert {path.name for path in log.path.parent.iterdir()} == {"reviews.jsonl", ".reviews.jsonl.lock"}


def test_lines_that_are_none(log, caplog):
    sound = json.dumps(asdict(review(1))).encode()
    junk = [b"", b"  ", b"{", b"[]", b"1", b'"id"', b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"{}"]
    junk += [b"x" * 5_000_000, sound[:-1] + b', "more": 1}', sound]
    log.path.write_bytes(b"\n".join([sound.replace(b'"Ann"', b'"Bob"', 1).replace(b"01", b"02", 1), *junk, b""]))
    assert [found.reviewer for found in log.read()] == ["Bob", "Ann"]
    assert log.skipped == len(caplog.messages) == 11, "blank lines do not count"
    assert caplog.messages[0] == f"{log.path}, line 4 is no review; skipping it"
    assert caplog.messages[-1] == f"{log.path}, line 15 is review {1:032x} once more; skipping it"
    log.read()
    assert len(caplog.messages) == 11


def test_what_is_new_is_read_alone(log, monkeypatch):
    log.append(review(1))
    log.read()
    parsed = []
    monkeypatch.setattr(
        "surglavi_hf.data.reviews.json.loads", lambda text: parsed.append(text) or json.JSONDecoder().decode(text)
    )
    ReviewLog(log.path).append(review(2, caption_id=8))
    parsed.clear()
    assert len(log.read()) == 2 and len(parsed) == 1
    assert len(log.read()) == 2 and len(parsed) == 1


@pytest.mark.parametrize("other", ["shorter", "other head", "other end", "gone"])
def test_a_file_that_was_replaced_is_read_again(log, other):
    for number in range(1, 30):
        log.append(review(number, caption_id=number))
    lines = log.path.read_bytes().splitlines(keepends=True)
    assert len(log.read()) == 29
    if other == "gone":
        log.path.unlink()
        assert log.read() == []
    elif other == "shorter":
        log.path.write_bytes(b"".join(lines[:5]))
        assert len(log.read()) == 5
    else:
        place = 0 if other == "other head" else -1
        lines[place] = lines[place].replace(b"Ann", b"Bob")
        log.path.write_bytes(b"".join(lines) + lines[1].replace(b"0" * 30, b"f" * 30))
        assert (len(log.read()), log.read()[place - (place < 0)].reviewer) == (30, "Bob")
    log.append(review(99, caption_id=99))
    assert log.read()[-1].caption_id == 99


def test_a_review_follows_what_its_reviewer_saw(log):
    first = change(1, caption="b")
    log.append(first)
    with pytest.raises(
        ReviewConflict, match=r"caption 7 was reviewed by Ann at 2026.* \(change\), after it was"
    ) as caught:
        log.append(review(2))
    assert caught.value.latest == first
    log.append(review(2, follows=first.id))
    with pytest.raises(ReviewConflict):
        log.append(review(3, follows=first.id))
    log.append(review(3, caption_id=8))
    with pytest.raises(ValueError, match=r"is in .* already"):
        log.append(review(3, caption_id=9))
    with pytest.raises(ValueError, match="has no review"):
        log.append(review(4, caption_id=9, follows=first.id))
    assert [found.id[-1] for found in log.read()] == ["1", "2", "3"]


def test_an_added_caption_gets_a_number_of_its_own(log):
    log.append(review(1, caption_id=40))

    def make(number: int) -> Review:
        return review(number, action="add", caption_id=number, after=BASE)

    assert log.append_new(make, largest=30).caption_id == 41
    assert ReviewLog(log.path).append_new(make, largest=30).caption_id == 42
    assert log.append_new(make, largest=100).caption_id == 101
    with pytest.raises(ValueError, match="append_new"):
        log.append(make(200))
    with pytest.raises(ValueError, match="expected one that is to add caption 102"):
        log.append_new(lambda number: make(5), largest=1)
    with pytest.raises(ValueError, match="expected a whole number"):
        log.append_new(make, largest=LARGEST_NUMBER)
    assert len(log.read()) == 4


def test_a_line_that_nobody_could_read_is_not_written(log):
    texts = dict.fromkeys(("caption", "raw_narration"), "手" * 100_000)
    with pytest.raises(ValueError, match="is too long"):
        log.append(review(1, action="change", before=texts, after=texts))
    assert not log.path.exists()


def test_it_is_on_the_disk_when_it_is_said_to_be(log, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    log.append(review(1))
    assert synced == [log.path.stat().st_size]


def test_a_line_cut_anywhere_loses_itself_alone(log, caplog):
    first, second, third = review(1), change(2, caption="“é”", follows=f"{1:032x}"), review(3, caption_id=8)
    for one in (first, second):
        log.append(one)
    content = log.path.read_bytes()
    start = content.index(b"\n") + 1
    for length in range(start, len(content)):
        log.path.write_bytes(content[:length])
        is_whole = length == len(content) - 1  # but for its end
        reader = ReviewLog(log.path)
        assert reader.read() == ([first, second] if is_whole else [first])
        assert reader.skipped == (start < length < len(content) - 1)
        caplog.clear()
        ReviewLog(log.path).append(third)
        assert reader.read() == ReviewLog(log.path).read() == ([first, second, third] if is_whole else [first, third])
        assert reader.skipped == (start < length < len(content) - 1)
        assert len({*caplog.messages}) == reader.skipped


def test_a_line_that_another_one_is_writing(log, caplog):
    log.append(review(1))
    log.append(review(2, caption_id=8))
    content = log.path.read_bytes()
    log.path.write_bytes(content[:-20])
    assert log.read() == [review(1)] and not caplog.messages
    log.path.write_bytes(content)
    assert log.read() == [review(1), review(2, caption_id=8)] and (log.skipped, caplog.messages) == (0, [])


WRITER = """
import json, sys
from surglavi_hf.data.reviews import Review, ReviewConflict, ReviewLog
log, who, about = ReviewLog(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
base = json.loads(sys.argv[4])
conflicts = 0
print("ready", flush=True); sys.stdin.readline()
for number in range(200):
    own = about | {"id": f"{who:016x}{number:016x}", "reviewer": f"reviewer {who}"}
    if number % 10 == 9:
        own |= {"action": "add", "after": base}
        log.append_new(lambda caption_id: Review(**own | {"caption_id": caption_id}), 70)
    else:
        own["caption_id"] = 7 if number % 2 else 10 + who  # one that both review, and one of its own
        last = [review for review in log.read() if review.caption_id == own["caption_id"]][-1:]
        while True:
            try:
                log.append(Review(**own | {"follows": last[0].id if last else None}))
                break
            except ReviewConflict as error:
                last, conflicts = [error.latest], conflicts + 1
    print(own["id"], flush=True)
print(conflicts)
"""


def start(log: ReviewLog, who: int) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    arguments = [str(log.path), str(who), json.dumps(values()), json.dumps(BASE)]
    process = subprocess.Popen([sys.executable, "-c", WRITER, *arguments], **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_reviewers_at_once_lose_nothing(log):
    running = [start(log, who) for who in (1, 2)]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    found = log.read()
    assert (len(found), log.skipped) == (400, 0)
    assert {one.id for one in found} == {name for part in printed for name in part[:-1]}
    last: dict[int, str] = {}
    for one in found:
        assert one.follows == last.get(one.caption_id), "each has seen what came before"
        last[one.caption_id] = one.id
    added = [one.caption_id for one in found if one.action == "add"]
    assert added == list(range(71, 111)), "a number each"
    assert min(sum(one.reviewer == f"reviewer {who}" for one in found) for who in (1, 2)) == 200


def test_a_kill_loses_one_review_at_most(log):
    done = 0
    for who in (1, 2):
        process = start(log, who)
        process.stdin.write("\n")
        process.stdin.flush()
        said = [process.stdout.readline().strip() for _ in range(60)]
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].split()
        found = [one.id for one in ReviewLog(log.path).read()]
        assert found[done : done + len(said)] == said and len(found) <= done + len(said) + 1
        done = len(found)
    log.append(review(1, caption_id=5))
    assert len(log.read()) == done + 1


def test_what_reviews_make_of_a_caption():
    first, flag = change(1, caption="b"), review(2, remark="is it?")
    assert state_of(BASE, []) == CaptionState(BASE)
    found = state_of(BASE, [first, flag])
    assert found == CaptionState(BASE | {"caption": "b"}, flagged=True, last=flag.id, reviewers=("Ann",))
    approve, delete = review(3, action="approve", reviewer="Bob"), review(4, action="delete", before=BASE)
    found = state_of(BASE, [first, flag, approve])
    assert (found.flagged, found.approved, found.reviewers) == (False, True, ("Ann", "Bob"))
    assert not state_of(BASE, [approve, first]).approved and not state_of(BASE, [approve, flag]).approved
    assert state_of(BASE, [flag, first]).flagged, "it was changed, and nobody looked"
    assert state_of(BASE, [delete]).deleted and not state_of(BASE, [delete, review(5, action="restore")]).deleted
    assert BASE["caption"] == "The gallbladder is grasped."


def test_what_reviews_make_of_a_caption_that_is_added():
    add = review(1, action="add", after=BASE)
    assert state_of(None, [add]) == CaptionState(BASE, last=add.id, reviewers=("Ann",))
    assert state_of(None, [add, change(2, caption="b")]).fields == BASE | {"caption": "b"}
    assert state_of(None, [change(2, caption="b"), review(3, action="approve")]).fields is None
    assert state_of(BASE | {"level": 3}, [add]).fields["level"] == 3, "it is there"
    again = review(2, action="add", after=BASE | {"level": 2})
    assert state_of(None, [add, again]).fields["level"] == 1


def test_a_change_that_leaves_no_caption_is_none():
    for after in (
        {"start_time": 2.5},
        {"end_time": 0.5},
        {"caption": " \n"},
        {"caption": None, "raw_narration": None},
    ):
        found = state_of(BASE, [review(1, action="approve"), change(2, **after)])
        assert found == CaptionState(BASE, approved=True, last=f"{2:032x}", reviewers=("Ann",))
    assert state_of(BASE, [change(1, caption=None)]).fields["caption"] is None, "the narration is there"


TEXTS = st.none() | st.text("ab é", max_size=3)
TIMES = st.sampled_from([0.0, 0.5, 1.0, 2.5, 4.0])
VALUES = {"level": st.integers(1, 3), "start_time": TIMES, "end_time": TIMES, "caption": TEXTS, "raw_narration": TEXTS}
VALUES |= {"is_surgical_content": st.booleans(), "is_descriptive": st.booleans()}
STEPS = st.lists(
    st.sampled_from(["flag", "approve", "delete", "restore"])
    | st.fixed_dictionaries({}, optional=VALUES).filter(
        lambda after: after and not after.get("start_time", -1) >= after.get("end_time", 9)
    ),
    max_size=8,
)


def reviews_of(steps) -> list[Review]:
    made = []
    for number, step in enumerate(steps):
        if isinstance(step, str):
            made.append(review(number, action=step, before=BASE if step == "delete" else {}))
        else:
            made.append(change(number, **step))
    return made


@given(STEPS)
def test_the_fold(steps):
    """Of each field the last sound value; of each mark what came last."""
    made = reviews_of(steps)
    found = state_of(BASE, made)
    fields, flagged, approved, deleted = dict(BASE), False, False, False
    for step in steps:
        if isinstance(step, dict):
            merged = {**fields, **step}
            text = merged["raw_narration"] if merged["caption"] is None else merged["caption"]
            if merged["start_time"] < merged["end_time"] and text and text.strip():
                fields, approved = merged, False
        else:
            deleted = {"delete": True, "restore": False}.get(step, deleted)
            flagged = {"flag": True, "approve": False}.get(step, flagged)
            approved = {"flag": False, "approve": True}.get(step, approved)
    last = made[-1].id if made else None
    assert found == CaptionState(fields, flagged, approved, deleted, last, ("Ann",) if made else ())
    assert is_sound(found.fields)
    middle = len(made) // 2
    state = state_of(BASE, made[:middle])
    for one in made[middle:]:
        state = state.after(one)
    assert state == found, "in parts"


@given(STEPS)
def test_the_log_of_a_fold(tmp_path_factory, steps):
    log = ReviewLog(tmp_path_factory.mktemp("log") / "reviews.jsonl")
    made, last = [], None
    for one in reviews_of(steps):
        made.append(replace(one, follows=last))
        log.append(made[-1])
        last = one.id
    assert log.read() == made == ReviewLog(log.path).read()
