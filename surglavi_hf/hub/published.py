# SPDX-License-Identifier: Apache-2.0
"""What is published, column by column: types, ranges of numbers, lengths of texts. Nothing else is."""

from datasets import ClassLabel, Features, List, Value

from ..data import Level
from ..data.embeddings import EMBEDDINGS

LEVELS = [level.name.lower() for level in Level]
_INTEGER, _NUMBER, _TEXT, _FLAG = (Value(name) for name in ("int64", "float64", "string", "bool"))
_OF_CAPTION = {
    **dict.fromkeys(("caption_id", "parent_caption_id", "video_id"), _INTEGER),
    **dict.fromkeys(("youtube_id", "video_name"), _TEXT),
    "level": ClassLabel(names=LEVELS),
    **dict.fromkeys(("start_time", "end_time", "duration"), _NUMBER),
    **dict.fromkeys(("caption", "raw_narration"), _TEXT),
    **dict.fromkeys(("is_enhanced", "is_surgical_content", "is_descriptive"), _FLAG),
    **dict.fromkeys(("title", "procedure_type", "procedure_modality", "specialty", "subject"), _TEXT),
    "fps": _NUMBER,
    **dict.fromkeys(("width", "height"), _INTEGER),
}
_OF_VIDEO = {
    "video_id": _INTEGER,
    **dict.fromkeys(("title", "name", "url", "runtime"), _TEXT),
    "year": _INTEGER,
    **dict.fromkeys(("fps", "duration"), _NUMBER),
    **dict.fromkeys(("frame_count", "width", "height"), _INTEGER),
    **dict.fromkeys(
        ("youtube_id", "description", "procedure_modality", "procedure_type", "specialty", "subject"), _TEXT
    ),
    "total_caption_count": _INTEGER,
}
_OF_TRANSCRIPTION = {
    **dict.fromkeys(("transcription_id", "video_id"), _INTEGER),
    **dict.fromkeys(("youtube_id", "video_name", "file_path", "text"), _TEXT),
}

NEVER_NULL = {
    *("caption_id", "video_id", "transcription_id", "level", "start_time", "end_time", "duration", "caption"),
    *("is_enhanced", "is_surgical_content", "is_descriptive", "embedding", "model_id", "model_revision"),
}
# Least and most; 0 stands for what is not known.
RANGES = {
    **dict.fromkeys(("caption_id", "parent_caption_id", "video_id", "transcription_id"), (0, 2**31 - 1)),
    "level": (0, len(LEVELS) - 1),
    **dict.fromkeys(("start_time", "end_time", "duration"), (0, 1_000_000)),  # s
    "fps": (0.1, 1000),
    **dict.fromkeys(("width", "height"), (16, 16_384)),
    "year": (1900, 2100),
    "frame_count": (1, 100_000_000),
    "total_caption_count": (1, 1_000_000),
}
# Characters. Of 173,414 real captions the longest has 6,663; titles of YouTube have 100 and descriptions 5,000.
MAX_LABEL = 300
LANGUAGE = {
    **dict.fromkeys(("caption", "raw_narration"), 20_000),
    **dict.fromkeys(("title", "procedure_type", "procedure_modality", "specialty", "subject"), MAX_LABEL),
    "description": 10_000,
    "text": 1_000_000,  # a video of ten hours
}
NAMES = {"youtube_id": 128, "name": 255, "video_name": 255, "file_path": 255, "url": 255}
SHORT = {"runtime": 16, "model_id": 200, "model_revision": 200}
# Equal in all rows of a video, by their name in config `videos`.
OF_VIDEO = {
    **{"youtube_id": "youtube_id", "video_name": "name", "title": "title", "fps": "fps"},
    **{name: name for name in ("width", "height", "procedure_type", "procedure_modality", "specialty", "subject")},
}


def published_features(config: str, dimension: int = 0) -> Features:
    """
    Returns the columns of a config that is published.

    Args:
        config: Of SurgLaVi, or `embeddings`.
        dimension: Of the embeddings.
    """
    if config == EMBEDDINGS:
        embedding = {"caption_id": _INTEGER, "embedding": List(Value("float16"), length=dimension)}
        return Features(embedding | dict.fromkeys(("model_id", "model_revision"), _TEXT))
    return Features({"videos": _OF_VIDEO, "transcriptions": _OF_TRANSCRIPTION}.get(config, _OF_CAPTION))
