"""The JSON of openai-whisper, faster-whisper, WhisperX and compatible services.

``{"segments": [{"words": [{"word": " Hello", "start": 0.1, "end": 0.4, "probability": 0.9}]}]}``; WhisperX
repeats all words as ``word_segments`` and calls the confidence ``score``.
"""

from __future__ import annotations

from typing import Any

from align.formats.json_text import json_number, load_json
from align.formats.tracks import FormatError, Track, limit, shortest


def read(text: str) -> list[Track]:
    """Read one track; words without times (numerals in WhisperX) are left out.

    Raises
    ------
    FormatError
        If there are no words with times at all.
    """
    content = load_json(text)
    words = _words(content)
    if words is None:
        raise FormatError('has neither "words" nor "segments" with words: run whisper with --word_timestamps True')
    track = Track()
    for word in words:
        label = word.get("word", word.get("text")) if isinstance(word, dict) else None
        if not isinstance(label, str):
            raise FormatError('a word is not {"word": ..., "start": ..., "end": ...}')
        if word.get("start") is None or word.get("end") is None:
            continue
        score = word.get("probability", word.get("score"))
        track.add(
            shortest(json_number(word["start"], "a start")),
            shortest(json_number(word["end"], "an end")),
            label,
            None if score is None else json_number(score, "a score"),
        )
    limit(len(track.words))
    return [track]


def _words(content: Any) -> list[Any] | None:
    if isinstance(content, list):  # a list of segments, or of words
        of_segments = bool(content) and isinstance(content[0], dict) and "words" in content[0]
        content = {"segments" if of_segments else "words": content}
    if not isinstance(content, dict):
        return None
    for key in ("word_segments", "words"):
        if isinstance(content.get(key), list):
            return content[key]
    segments = content.get("segments")
    if not isinstance(segments, list):
        return None
    words: list[Any] = []
    found = False
    for segment in segments:
        own = segment.get("words") if isinstance(segment, dict) else None
        if isinstance(own, list):
            words += own
            found = True
    return words if found else None
