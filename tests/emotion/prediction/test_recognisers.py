"""Recognisers that are not there are one line; Whisper's words come through as a transcript's would."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

from emotion.prediction.recognisers import open_recogniser
from emotion.prediction.transcribe import UNTRANSCRIBED, recognise
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError


@pytest.fixture
def whisper(monkeypatch, tmp_path):
    """A stand-in for faster-whisper that hears the loudness, and a folder with a model."""

    class WhisperModel:
        def __init__(self, folder, local_files_only):
            assert local_files_only and (tmp_path / "model.bin").read_bytes() == b"weights", folder

        def transcribe(self, samples, temperature, **_):
            assert samples.dtype == np.float32 and temperature == 0
            heard = " Loud," if np.abs(samples).max() > 0.5 else " (QUIET)"
            return iter([SimpleNamespace(text=heard), SimpleNamespace(text=" it's here.")]), SimpleNamespace()

    module = ModuleType("faster_whisper")
    module.WhisperModel = WhisperModel
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    (tmp_path / "model.bin").write_bytes(b"weights")
    return f"whisper:{tmp_path}"


def test_whisper_hears_each_utterance_without_words_whatever_its_length(whisper, tmp_path):
    utterances = []
    for name, level, seconds in (("loud", 0.9, 90), ("soft", 0.1, 1), ("silent", 0.0, 1), ("known", 0.9, 1)):
        sf.write(tmp_path / f"{name}.wav", level * np.sin(np.arange(8000 * seconds)), 8000)
        known = name == "known"
        extras = {} if known else {UNTRANSCRIBED: True}
        utterances.append(Utterance(name, tmp_path / f"{name}.wav", "Said so." * known, "s", extras=extras))
    done, problems = recognise(utterances, lambda: open_recogniser(whisper))
    assert [one.text for one in done] == ["loud it's here", "quiet it's here", "", "Said so."] and not problems


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sphinx", "must be pocketsphinx or whisper:FOLDER"),
        ("whisper", "must be pocketsphinx or whisper:FOLDER"),
        ("whisper:", "must be pocketsphinx or whisper:FOLDER"),
        ("whisper:nowhere", "hf download .* --local-dir nowhere"),
    ],
)
def test_what_is_not_there_is_one_line(name, told):
    with pytest.raises(UserError, match=told):
        open_recogniser(name)


def test_a_missing_library_and_a_damaged_model_are_one_line(whisper, tmp_path, monkeypatch):
    def damaged(folder, local_files_only):
        raise RuntimeError("Unsupported model binary version")

    monkeypatch.setattr(sys.modules["faster_whisper"], "WhisperModel", damaged)
    with pytest.raises(UserError, match="is no Whisper model, or is damaged: Unsupported"):
        open_recogniser(whisper)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(UserError, match=r"pip install 'speech2vec-emotion\[asr\]'"):
        open_recogniser(whisper)
