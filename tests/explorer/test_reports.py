# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from surglavi_hf.demo.benchmark import write_benchmark
from surglavi_hf.evaluation import EvalReport, Windows, load_benchmark, zero_shot
from surglavi_hf.explorer.reports import Reports


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, encoder):
    """A drawn benchmark, and two reports of it."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_benchmark(folder)
    benchmark = load_benchmark(folder / "benchmark.yaml")
    for name, windows in (("centered", Windows()), ("online", Windows("online"))):
        report = zero_shot(encoder, None, benchmark, windows)
        (folder / "evaluation" / name).mkdir(parents=True)
        report.to_json(folder / "evaluation" / name / "report.json")
    (folder / "evaluation" / "other.json").write_text('{"benchmark": "x"}')
    return folder, benchmark


@pytest.fixture
def reports(evaluated):
    folder, _ = evaluated
    return Reports(str(folder / "benchmark.yaml"), [folder / "evaluation"])


def test_reports_are_found_with_their_figures(reports, evaluated):
    folder, benchmark = evaluated
    found = reports.overview()
    assert [one["name"] for one in found["reports"]] == ["centered/report", "online/report"]
    report = EvalReport.from_json(folder / "evaluation" / "centered" / "report.json")
    assert found["reports"][0]["metrics"]["accuracy_video_mean"] == report.metrics["accuracy_video_mean"]
    assert [one["name"] for one in found["videos"]] == list(benchmark.videos)
    assert found["classes"] == list(benchmark.classes)


def test_confusion_counts_every_frame(reports, evaluated):
    folder, benchmark = evaluated
    report = EvalReport.from_json(folder / "evaluation" / "online" / "report.json")
    labels = np.concatenate([benchmark.labels(name) for name in benchmark.videos])
    count = len(benchmark.classes)
    expected = [
        [int(np.sum((labels == a) & (np.array(report.predictions) == b))) for b in range(count)] for a in range(count)
    ]
    assert reports.details("online/report")["confusion"] == expected
    assert sum(map(sum, expected)) == len(labels)


def test_ribbons_of_two_models(reports, evaluated):
    folder, benchmark = evaluated
    name = list(benchmark.videos)[1]
    shown = reports.video(name, ["centered/report", "online/report"])
    assert [one["name"] for one in shown["reports"]] == ["centered/report", "online/report"]
    times, labels = benchmark.times(name), benchmark.labels(name)

    def at(segments, time):
        return next((one["class"] for one in segments if one["start"] <= time < one["end"]), None)

    assert [at(shown["labels"], time) for time in times] == labels.tolist()
    start = len(benchmark.labels(next(iter(benchmark.videos))))
    for one, key in zip(shown["reports"], ("centered", "online"), strict=True):
        report = EvalReport.from_json(folder / "evaluation" / key / "report.json")
        predicted = report.predictions[start : start + len(times)]
        assert [at(one["segments"], time) for time in times] == predicted
        assert one["accuracy"] == pytest.approx(np.mean(labels == predicted))
        assert [at(one["wrong"], time) == 1 for time in times] == (labels != predicted).tolist()


def test_pictures_are_those_that_are_listed(reports, evaluated):
    _, benchmark = evaluated
    name = next(iter(benchmark.videos))
    video = benchmark.videos[name]
    picture = reports.picture(name, video.times[5])
    assert np.array_equal(picture, video.frames.read([5])[0].permute(1, 2, 0).numpy())
    assert reports.video_path(name).is_file()


def test_what_does_not_fit_is_refused(evaluated, tmp_path):
    folder, _ = evaluated
    content = json.loads((folder / "evaluation" / "online" / "report.json").read_text())
    (tmp_path / "short.json").write_text(json.dumps(content | {"predictions": [0]}, indent=2))
    wrong = [99] * len(content["predictions"])
    (tmp_path / "classes.json").write_text(json.dumps(content | {"predictions": wrong}, indent=2))
    per_video = [row | {"video": "elsewhere"} for row in content["per_video"]]
    (tmp_path / "videos.json").write_text(json.dumps(content | {"per_video": per_video}, indent=2))
    reports = Reports(str(folder / "benchmark.yaml"), [tmp_path])
    for name, message in (("short", "evaluate again"), ("classes", "none of the"), ("videos", "which .* has not")):
        with pytest.raises(ValueError, match=message):
            reports.details(name)
    with pytest.raises(ValueError, match="no report"):
        reports.details("../../etc/passwd")
    with pytest.raises(FileNotFoundError):
        reports.video_path("../x")


def test_damaged_reports_are_left_out_with_a_line(evaluated, tmp_path, caplog):
    folder, _ = evaluated
    (tmp_path / "damaged.json").write_text('{\n  "benchmark": 3')
    assert not Reports(str(folder / "benchmark.yaml"), [tmp_path, tmp_path / "nothing"]).found
    assert "damaged.json is not shown" in caplog.text


def test_over_http(serve, evaluated):
    folder, benchmark = evaluated
    client = serve(None, benchmark=str(folder / "benchmark.yaml"), reports=(str(folder / "evaluation"),))
    assert client.get("/api/about")["corpus"] is False
    assert len(client.get("/api/benchmark")["reports"]) == 2
    name = next(iter(benchmark.videos))
    assert client.get(f"/api/benchmark/{name}?report=online/report")["reports"][0]["name"] == "online/report"
    assert client.get("/api/report?name=online/report")["confusion"]
    assert client.ask(f"/benchmark-frame/{name}.jpg?t=2")[2]["content-type"] == "image/jpeg"
    assert client.ask(f"/benchmark-media/{name}", Range="bytes=0-3")[0] == 206
    assert client.error("/api/report?name=x")[0] == 400
    assert client.error("/api/captions")[0] == 404
    assert client.error("/benchmark-media/x")[0] == 404
