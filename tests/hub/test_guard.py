# SPDX-License-Identifier: Apache-2.0
"""What the guard lets through, and what it does not: pixels in whatever clothes."""

import base64
import binascii
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, List, Value, Video, load_dataset
from PIL import Image as Pillow

from surglavi_hf import VideoClip
from surglavi_hf.data import SplitOptions, Takedown
from surglavi_hf.hub.dataset_tables import as_dataset, published_splits, write_shards
from surglavi_hf.hub.guard import check_dataset_files, check_model_files
from surglavi_hf.hub.published import published_features

PHASE, ALL, VIDEOS = (f"{config}/train-00000-of-00001.parquet" for config in ("phase", "all", "videos"))
EMBEDDINGS = "embeddings/train-00000-of-00001.parquet"
TRANSCRIPTIONS = "transcriptions/train-00000-of-00001.parquet"


def picture() -> bytes:
    """A JPEG of about 6 kB."""
    values = np.cumsum(np.random.default_rng(0).normal(size=(96, 96, 3)), axis=0) * 20 % 256
    file = io.BytesIO()
    Pillow.fromarray(values.astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def in_words(text: str, length: int) -> str:
    return " ".join(text[start : start + length] for start in range(0, len(text), length))


def letters(data: bytes) -> str:
    return "".join(chr(ord("a") + half) for byte in data for half in divmod(byte, 16))


FORMS = {
    "MIME base64": lambda data: base64.encodebytes(data).decode(),
    **{
        f"base64 in words of {length}": lambda data, length=length: in_words(base64.b64encode(data).decode(), length)
        for length in (1, 2, 4, 8, 12, 76)
    },
    "address": lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
    "base32": lambda data: in_words(base64.b32encode(data).decode(), 8),
    "small base32": lambda data: in_words(base64.b32encode(data).decode().lower(), 4),
    "hex pairs": lambda data: data.hex(" "),
    "hex groups": lambda data: in_words(data.hex(), 8),
    "hex with colons": lambda data: data.hex(":"),
    "hex in letters": lambda data: in_words(letters(data), 6),
    "decimals": lambda data: ", ".join(map(str, data)),
    "JSON": lambda data: json.dumps(list(data)),
    "fractions": lambda data: " ".join(f"{byte / 255:.3f}" for byte in data),
    "bits": lambda data: " ".join(f"{byte:08b}" for byte in data),
    "escapes": lambda data: "".join(f"\\x{byte:02x}" for byte in data),
    "percents": lambda data: "".join(f"%{byte:02X}" for byte in data),
    "quoted-printable": lambda data: binascii.b2a_qp(data).decode("latin1").replace("\0", "=00"),
    "uuencode": lambda data: "".join(
        binascii.b2a_uu(data[start : start + 45]).decode() for start in range(0, len(data), 45)
    ),
    "ascii85": lambda data: in_words(base64.a85encode(data).decode(), 8),
    "base85": lambda data: base64.b85encode(data).decode(),
    "latin-1": lambda data: data.decode("latin1").replace("\0", " "),
    "braille": lambda data: " ".join(chr(0x2800 + byte) for byte in data),
    "emoji": lambda data: "".join(chr(0x1F300 + byte) for byte in data),
    "Chinese letters": lambda data: "".join(chr(0x4E00 + byte) for byte in data),
    "variation selectors": lambda data: "".join(chr(0xE0100 + byte % 240) for byte in data),
    "words of a list": lambda data: " ".join(LIST[byte] for byte in data),
    "bytes that are no text": lambda data: "\ufffd" * len(data),
}
LIST = [f"{a}{b}{c}" for a in ("ba", "de", "fi", "go") for b in ("la", "mi", "no", "ru") for c in "adehiklmnoprstuy"]

SENTENCES = {
    "Spanish": "El cirujano diseca el triángulo de Calot y coloca tres clips en el conducto cístico.",
    "French": "Le chirurgien dissèque l'œsophage, puis il referme le péritoine avec un surjet de fil résorbable.",
    "German": "Nach der Eröffnung der Bursa omentalis wird die Milzflexur mobilisiert; 150 ml Blut, CO₂ 12 mmHg.",
    "Polish": "Chirurg wprowadza trokary i odsłania przewód pęcherzykowy, zakłada klipsy i przecina naczynie.",
    "Turkish": "Cerrah safra kesesini karaciğer yatağından ayırır ve kanamayı bipolar koagülasyon ile kontrol eder.",
    "Vietnamese": "Phẫu thuật viên bóc tách tam giác Calot rồi kẹp và cắt ống túi mật bằng kéo nội soi.",
    "Russian": "Хирург выделяет пузырный проток и артерию, накладывает клипсы и пересекает их ножницами.",
    "Greek": "Ο χειρουργός παρασκευάζει τον κυστικό πόρο και τοποθετεί κλιπ πριν από τη διατομή του.",
    "Arabic": "يقوم الجراح بتشريح مثلث كالوت ثم يضع المشابك على القناة المرارية ويقطعها بالمقص.",
    "Persian": "جراح مجرای کیستیک را آزاد می‌کند و پیش از برش، گیره‌ها را روی آن می‌گذارد.",
    "Hebrew": "המנתח מפריד את צינור כיס המרה, מניח שלושה קליפסים וחותך ביניהם.",
    "Chinese": "术者首先分离胆囊三角，显露胆囊管和胆囊动脉，分别夹闭后用剪刀离断，最后将胆囊从肝床剥离。",
    "Japanese": "術者はカロー三角を剥離し、胆嚢管にクリップをかけてから切離します。出血はほとんどありません。",
    "Korean": "집도의는 칼로 삼각을 박리하고 담낭관에 클립을 세 개 적용한 뒤 가위로 절단합니다.",
    "Hindi": "सर्जन कैलोट त्रिकोण को अलग करता है और सिस्टिक डक्ट पर क्लिप लगाकर उसे काटता है।",
    "Thai": "ศัลยแพทย์เลาะสามเหลี่ยมคาลอตแล้วหนีบท่อถุงน้ำดีด้วยคลิปก่อนที่จะตัดด้วยกรรไกร",
    "an accident of transcription": "The stapler is a GIA-A" + "-A" * 200 + ". Hmmm" + "m" * 300,
}


@pytest.fixture(scope="module")
def tables(corpus) -> dict[str, pa.Table]:
    """By name, as they are published of the demo's corpus; and embeddings of its clips."""
    found = {
        f"{config}/train-00000-of-00001.parquet": rows.data.table
        for config, _, rows in published_splits(corpus, Takedown(), SplitOptions())
    }
    ids = found[ALL]["caption_id"].combine_chunks()
    values = np.random.default_rng(0).normal(size=(len(ids), 16)).astype(np.float32)
    return found | {EMBEDDINGS: embeddings(ids, values / np.linalg.norm(values, axis=1, keepdims=True))}


def embeddings(ids: pa.Array, values: np.ndarray) -> pa.Table:
    flat = pa.array(values.astype(np.float16).reshape(-1))
    columns = {"caption_id": ids, "embedding": pa.FixedSizeListArray.from_arrays(flat, values.shape[1])}
    return pa.table(columns | {name: ["surgclip"] * len(ids) for name in ("model_id", "model_revision")})


@pytest.fixture
def check(tmp_path, tables):
    """Checks tables of the corpus, some of them changed, as files that we write."""

    def check(**changed: dict) -> None:
        """`changed`: of a config, columns by name."""
        paths = {}
        for name, table in tables.items():
            config = name.split("/")[0]
            for column, values in changed.get(config, {}).items():
                place = table.column_names.index(column)
                kind = table.schema.field(column).type
                table = table.set_column(place, column, pa.array(values, kind))
            width = table["embedding"].type.list_size if config == "embeddings" else 0
            rows = as_dataset(table.replace_schema_metadata(None), published_features(config, width))
            paths |= write_shards(config, "train", rows, tmp_path).files
        check_dataset_files(paths)

    return check


def repeated(values: list, number: int) -> list:
    return [values[place % len(values)] for place in range(number)]


def test_the_columns_are_those_of_the_builder(corpus, tables):
    for name in set(tables) - {EMBEDDINGS}:
        config = name.split("/")[0]
        features = load_dataset("surglavi", config, data_dir=str(corpus), split="train").features
        assert {key: value for key, value in features.items() if key not in ("clip", "file")} == published_features(
            config
        )


def test_the_tables_of_a_database_pass(check):
    check()


@pytest.mark.parametrize("language", SENTENCES)
def test_texts_in_any_language_pass(check, tables, language):
    number = len(tables[PHASE])
    check(phase={"caption": [SENTENCES[language]] * number, "title": tables[PHASE]["title"].to_pylist()})
    check(phase={"caption": [f"{SENTENCES[language]} {number}" for number in range(number)]})


def test_real_captions_and_titles_pass(shared):
    from surglavi_hf.hub.language import LanguageTest

    for file, column, number in (("captions", "caption", 173_414), ("videos", "title", 1832)):
        texts = pq.read_table(shared / "data" / f"surglavi_beta_{file}.parquet")[column].drop_null().to_pylist()
        assert len(texts) == number
        test = LanguageTest(column)
        test.add(texts)
        test.finish()


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_in_a_caption(check, tables, form):
    captions = tables[PHASE]["caption"].to_pylist()
    captions[len(captions) // 2] = f"{captions[0]} {FORMS[form](picture())}"[:20_000]
    with pytest.raises(ValueError, match=r"column caption is not pushed"):
        check(phase={"caption": captions})


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"words of a list", "Chinese letters"}))
def test_a_picture_in_many_captions(check, tables, form):
    """A hundred characters in each other row of a thousand."""
    number, text = len(tables[ALL]), FORMS[form](picture())
    captions = tables[ALL]["caption"].to_pylist()
    captions[::2] = repeated([text[start : start + 100] for start in range(0, len(text), 100)], len(captions[::2]))
    assert number > 60
    with pytest.raises(ValueError, match=r"column caption is not pushed"):
        check(all={"caption": captions})


@pytest.mark.parametrize("length", [4, 8, 20, 60])
def test_a_piece_of_a_picture_after_each_caption(check, tables, length):
    text = base64.b64encode(picture()).decode()
    captions = tables[ALL]["caption"].to_pylist()
    captions = [f"{caption} {text[place * length :][:length]}" for place, caption in enumerate(captions)]
    with pytest.raises(ValueError, match=r"column caption is not pushed"):
        check(all={"caption": captions})


@pytest.mark.parametrize(
    ("config", "column", "length"),
    [
        ("all", "raw_narration", 5000),
        ("videos", "title", 90),
        ("videos", "description", 5000),
        ("videos", "subject", 90),
        ("videos", "name", 90),
        ("videos", "url", 90),
        ("videos", "youtube_id", 90),
        ("transcriptions", "text", 5000),
        ("transcriptions", "file_path", 90),
    ],
)
def test_a_picture_in_another_text(check, tables, config, column, length):
    table = tables[f"{config}/train-00000-of-00001.parquet"]
    text = in_words(base64.b64encode(picture()).decode(), 8).replace(" ", "/" if column == "url" else " ")
    values = [text[place * 90 :][:length] for place in range(len(table))]
    with pytest.raises(ValueError, match=rf"column ({column}|youtube_id|video_name|name) is not pushed"):
        check(**{config: {column: values}})


def pixels(number: int) -> list[int]:
    return np.random.default_rng(0).integers(0, 256, number).tolist()


@pytest.mark.parametrize(
    ("config", "column"),
    [
        *(
            ("all", name)
            for name in ("caption_id", "parent_caption_id", "video_id", "level", "start_time", "end_time")
        ),
        *(("all", name) for name in ("duration", "fps", "width", "height")),
        *(("videos", name) for name in ("video_id", "year")),
        *(("transcriptions", name) for name in ("transcription_id", "video_id")),
        ("embeddings", "caption_id"),
    ],
)
def test_pixels_in_a_column_of_numbers(check, tables, config, column):
    number = len(tables[f"{config}/train-00000-of-00001.parquet"])
    with pytest.raises(ValueError, match=r"is not pushed: "):
        check(**{config: {column: pixels(number)}})


@pytest.mark.parametrize(
    ("config", "column", "value"),
    [
        *(("videos", "width", value) for value in (-1, 3, 2**40)),
        *(("videos", "frame_count", value) for value in (-1, 2**62)),
        *(("videos", "fps", value) for value in (float("nan"), 1e300, -25.0)),
        *(("videos", "year", value) for value in (12, 10**12)),
        *(("videos", "total_caption_count", value) for value in (-1, 2**40)),
        *(("all", "start_time", value) for value in (float("inf"), -1.0)),
        ("all", "caption_id", 2**50),
        ("all", "is_descriptive", False),
        ("videos", "runtime", "a" * 40),
    ],
)
def test_values_out_of_range(check, tables, config, column, value):
    values = tables[f"{config}/train-00000-of-00001.parquet"][column].to_pylist()
    with pytest.raises(ValueError, match=rf"column {column} is not pushed: "):
        check(**{config: {column: [*values[:-1], value]}})


def test_what_is_not_known_is_null_or_0(check, tables):
    number = len(tables[VIDEOS])
    check(videos={"year": [0] * number, "frame_count": [None] * number, "runtime": [None] * number})


def test_embeddings_that_are_none(check, tables, tmp_path):
    ids = tables[EMBEDDINGS]["caption_id"].combine_chunks()
    number = len(ids)
    for values, message in (
        (np.random.default_rng(0).normal(size=(number, 30_000)) / 200, "embeddings of 30,000 numbers"),
        (np.array(pixels(number * 8)).reshape(number, 8), "vector of length"),
        (np.array(pixels(number * 8)).reshape(number, 8) / 1000, "vectors of one sign"),
        (np.full((number, 8), np.nan), "not finite"),
    ):
        rows = as_dataset(embeddings(ids, values), published_features("embeddings", values.shape[1]))
        with pytest.raises(ValueError, match=message):
            check_dataset_files(write_shards("embeddings", "train", rows, tmp_path).files)


def test_two_models_in_the_embeddings(check, tables):
    names = [f"model-{place}" for place in range(len(tables[EMBEDDINGS]))]
    with pytest.raises(ValueError, match="column model_id is not pushed: it has several values"):
        check(embeddings={"model_id": names})


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        (b"\0\0\0 ftypisom", Value("binary")),
        (b"\0\0\0 ftypisom", Value("large_binary")),
        ({"bytes": b"jpeg", "path": None}, Image()),
        ({"bytes": b"mp4", "path": None}, Video(decode=False)),
        ({"video_name": "a", "start_time": 0.0, "end_time": 1.0}, VideoClip(video_dir="x")),
        ([0, 255], List(Value("uint8"))),
        (255, Value("int64")),
        (1, Value("uint8")),
        ("a word", Value("string")),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("column", ["x", "start_time"])
def test_columns_that_are_not_the_datasets(tmp_path, value, feature, column):
    Dataset.from_dict({column: [value]}, Features({column: feature})).to_parquet(tmp_path / "shard.parquet")
    with pytest.raises(ValueError, match=f"is not pushed: column {column} "):
        check_dataset_files({PHASE: tmp_path / "shard.parquet"})


def test_a_column_too_few_and_one_twice(tmp_path, tables):
    table = tables[PHASE]
    for places in (range(table.num_columns - 1), [0, *range(table.num_columns)]):
        pq.write_table(table.select(places), tmp_path / "shard.parquet")
        with pytest.raises(ValueError, match=r"once and in this order|Multiple matches"):
            check_dataset_files({PHASE: tmp_path / "shard.parquet"})


def hidden_between_pages(path) -> None:
    """Bytes between the pages and the footer, which readers skip."""
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    path.write_bytes(content[:-footer] + picture() + content[-footer:])


def hidden_in_metadata(path) -> None:
    table = pq.read_table(path)
    metadata = table.schema.metadata | {b"thumbnail": picture()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def hidden_in_a_field(path) -> None:
    table = pq.read_table(path)
    field = table.schema.field(0).with_metadata({b"thumbnail": base64.b64encode(picture())})
    pq.write_table(table.cast(table.schema.set(0, field)), path)


def hidden_in_the_features(path) -> None:
    table = pq.read_table(path)
    info = json.loads(table.schema.metadata[b"huggingface"])
    info["info"]["features"]["x"] = {"_type": "VideoClip", "id": base64.b64encode(picture()).decode()}
    pq.write_table(table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()}), path)


def hidden_at_the_end(path) -> None:
    path.write_bytes(path.read_bytes() + picture())


@pytest.mark.parametrize(
    "hide",
    [hidden_between_pages, hidden_in_metadata, hidden_in_a_field, hidden_in_the_features, hidden_at_the_end],
    ids=lambda hide: hide.__name__,
)
def test_bytes_beside_the_rows(tmp_path, tables, hide):
    (path,) = write_shards(
        "phase", "train", as_dataset(tables[PHASE], published_features("phase")), tmp_path
    ).files.values()
    check_dataset_files({PHASE: path})
    hide(path)
    with pytest.raises(ValueError, match=r"is not pushed: (the file has more than its rows|it is no Parquet file)"):
        check_dataset_files({PHASE: path})


@pytest.mark.parametrize(
    "name",
    [
        *("a.mp4", "videos/a.mp4", "surglavi.py", "x/../train-00000-of-00001.parquet", "data.arrow"),
        *("surglavi_beta.db", "phase/train-00000-of-00001.parquet.mp4", "phase/other-00000-of-00001.parquet"),
    ],
)
def test_files_that_are_no_tables(name):
    with pytest.raises(ValueError, match="is not pushed: a dataset repository gets tables"):
        check_dataset_files({name: b"x"})


def test_a_video_called_a_table(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [0.0, 1.0])
    with pytest.raises(ValueError, match=r"phase/train-00000-of-00001.parquet is not pushed: it is no Parquet file"):
        check_dataset_files({PHASE: video})


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"text\0"])
def test_a_picture_called_a_card(content):
    with pytest.raises(ValueError, match=r"README\.md is not pushed"):
        check_dataset_files({"README.md": content})
    with pytest.raises(ValueError, match=r"config\.json is not pushed"):
        check_model_files({"config.json": content})


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("card", ["# Data\n\n{}\n", "---\nlicense: mit\nthumbnail: '{}'\n---\n# Data\n"])
def test_a_picture_in_a_card(form, card):
    content = card.replace("{}", FORMS[form](picture())).encode()
    for check in (check_dataset_files, check_model_files):
        with pytest.raises(ValueError, match=r"README\.md is not pushed"):
            check({"README.md": content})


def test_words_of_others_in_a_card_pass():
    card = """---
license: mit
thumbnail: https://cdn-uploads.example.org/60b7b2f8d9c1/4caeb77e-4cf2-b14d-c53ded855ff1.png
---
# Ours

![CI](https://github.com/me/x/actions/workflows/ci.yml/badge.svg?branch=main)
at commit 4caeb77e4cf1b14dc53ded855ff1d2a3b4c5d6e7

| model | Acc | F1 |
|---|---|---|
""" + "".join(f"| surgclip-{place} | {place / 7:.4f} | {place / 9:.4f} |\n" for place in range(60))
    check_dataset_files({"README.md": card.encode()})


@pytest.mark.parametrize("form", ["base64 in words of 12", "hex pairs", "base64 in words of 76", "ascii85"])
def test_a_picture_in_a_takedown_list(form):
    lines = FORMS[form](picture()).replace(" ", "\n")[:5000].replace("#", "-")
    with pytest.raises(ValueError, match=r"takedown\.txt is not pushed"):
        check_dataset_files({"takedown.txt": "\n".join(line[:200] for line in lines.splitlines()).encode()})
    with pytest.raises(ValueError, match=r"takedown\.txt is not pushed"):
        check_dataset_files({"takedown.txt": f"# {FORMS[form](picture())[:5000]}".replace("\n", " ").encode()})


def test_a_takedown_list_passes():
    check_dataset_files({"takedown.txt": "# Letter of 2 May\ndQw4w9WgXcQ\nprocedure-001\ncaption:12\né\n".encode()})


SECRETS = {
    "Hugging Face": "hf_" + "aB3" * 12,
    "AWS": "AKIA" + "Q7" * 8,
    "GitHub": "ghp_" + "aB3" * 12,
    "key": "-----BEGIN RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets(check, tables, secret):
    captions = [*tables[PHASE]["caption"].to_pylist()[:-1], f"log in with {SECRETS[secret]} first"]
    with pytest.raises(ValueError, match="looks like a token or a private key") as caught:
        check(phase={"caption": captions})
    assert SECRETS[secret] not in str(caught.value)
