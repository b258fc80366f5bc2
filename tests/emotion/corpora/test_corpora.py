"""Each corpus' names, labels, speakers and texts, the oddities of its files, and the check of its counts."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion.corpora.base import EmotionCorpus
from emotion.corpora.iemocap import read_evaluations, read_transcripts
from emotion.corpora.registry import CORPORA, read_emotion_corpus
from emotion.corpora.table import read_table
from scripts import make_iemocap_like as make
from scripts.make_iemocap_like import Turn, make_iemocap_like, write_dialogue
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import decode_text


def touch_audio(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.zeros(160, np.float32), 16000)


def sexes(corpus: EmotionCorpus) -> dict[str, str | None]:
    return {u.speaker: u.extras.get("sex") for u in corpus.utterances}


def by_name(corpus: EmotionCorpus) -> dict[str, tuple[str, str | None, str, str]]:
    return {u.utterance_id: (u.speaker, u.extras["label"], u.extras["label_full"], u.text) for u in corpus.utterances}


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_iemocap_like(tmp_path_factory.mktemp("made"), scale=0.01, seed=5)


def test_iemocap_is_read_with_its_oddities(iemocap: Path) -> None:
    corpus = read_emotion_corpus("iemocap", iemocap.parent)
    sounds = {p.stem for p in iemocap.rglob("*.wav") if not p.name.startswith(".")}
    assert {u.utterance_id for u in corpus.utterances} == sounds  # no ._ file, no F900 of the subfolders, no XX
    assert corpus.problems == []
    for utterance in corpus.utterances:
        name = utterance.utterance_id
        assert utterance.speaker == name[:5] + name.rsplit("_", 1)[1][0]
        assert utterance.extras["session"] == name[4]
        assert utterance.extras["sex"] == {"F": "female", "M": "male"}[utterance.speaker[-1]]
        assert utterance.extras["dialogue"] == name.rsplit("_", 1)[0]
        assert utterance.extras["style"] == ("improvised" if "impro" in name else "scripted")
    assert len({u.speaker for u in corpus.utterances}) == 10
    assert {u.extras["label_full"] for u in corpus.utterances if u.extras["label"] == "hap"} == {"hap", "exc"}
    assert any("the café." in u.text and "’" in u.text for u in corpus.utterances)  # from a cp1252 file
    assert "neu: " in str(corpus.count_differences("four"))


def test_the_speaker_is_the_last_letter_and_lines_of_no_utterance_are_passed_over(tmp_path: Path) -> None:
    session = tmp_path / "Session3"
    sound = np.zeros(1600, np.float32)
    turns = [Turn("M" if i % 2 else "F", "neu", f"Text {i}.", sound) for i in range(12)]
    turns[3].text = "[LAUGHTER]"
    names = write_dialogue(session, "Ses03M_impro03", turns, encoding="cp1252")
    transcription = session / "dialog" / "transcriptions" / "Ses03M_impro03.txt"
    assert "XX" in transcription.read_text()
    corpus = read_emotion_corpus("iemocap", tmp_path)
    found = by_name(corpus)
    assert sorted(found) == sorted(names)
    assert found["Ses03M_impro03_F000"][0] == "Ses03F"
    assert found["Ses03M_impro03_M001"] == ("Ses03M", "neu", "neu", "[LAUGHTER]")
    assert [(n.utterance_id, n.reason) for n in corpus.notes] == [("Ses03M_impro03_M001", "no forced alignment")]


def test_what_is_missing_from_an_iemocap_is_named(tmp_path: Path) -> None:
    session = tmp_path / "Session1"
    sound = np.zeros(1600, np.float32)
    write_dialogue(session, "Ses01F_impro01", [Turn("F", "ang", f"Text {i}.", sound) for i in range(4)])
    (session / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_F001.wav").unlink()
    touch_audio(session / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_F009.wav")
    transcription = session / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    transcription.write_text("".join(transcription.read_text().splitlines(keepends=True)[:3]))
    evaluation = session / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    evaluation.write_text(evaluation.read_text().replace("F002\tang", "F002\tjoy"))
    corpus = read_emotion_corpus("iemocap", tmp_path)
    assert {(p.utterance_id[-4:], p.reason) for p in corpus.problems} == {
        ("F001", "no audio"),
        ("F002", "unknown label"),
        ("F009", "no label"),
    }
    assert {(n.utterance_id[-4:], n.reason) for n in corpus.notes} == {("F003", "no transcript")}
    with pytest.raises(UserError, match="is not IEMOCAP"):
        read_emotion_corpus("iemocap", session)


@pytest.mark.slow
def test_a_full_size_tree_has_the_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Counts do not depend on the sound: the files are left empty here.
    monkeypatch.setattr(make, "voice", lambda *_: np.zeros(36 * 16000, np.float32))
    monkeypatch.setattr(sf, "write", lambda path, *_, **__: Path(path).touch())
    corpus = read_emotion_corpus("iemocap", make_iemocap_like(tmp_path))
    assert corpus.count_differences("four") == []
    assert corpus.count_differences("full") == []
    assert len(corpus.utterances) == 10039
    assert len({u.extras["dialogue"] for u in corpus.utterances}) == 151
    four = [u for u in corpus.utterances if u.extras["label"]]
    assert Counter(u.extras["style"] for u in four) == {"improvised": 2943, "scripted": 2588}
    assert sorted(n.utterance_id for n in corpus.notes) == ["Ses03F_impro07_M030", "Ses03M_impro03_M001"]


def test_ravdess_in_its_original_layout(tmp_path: Path) -> None:
    root = tmp_path / "Audio_Speech_Actors_01-24"
    for name in ("03-01-01-01-01-01-07", "03-01-02-01-02-01-07", "03-01-08-02-02-02-07", "03-02-03-01-01-01-07"):
        touch_audio(root / "Actor_07" / f"{name}.wav")
    touch_audio(root / "Actor_07" / "take1.wav")
    touch_audio(root / "Actor_12" / "03-01-05-01-02-01-12.wav")
    (root / "Actor_12" / "._03-01-05-01-02-01-12.wav").write_bytes(b"\x00\x05\x16\x07")
    corpus = read_emotion_corpus("ravdess", tmp_path)
    assert by_name(corpus) == {
        "03-01-01-01-01-01-07": ("07", "neu", "neutral", "Kids are talking by the door"),
        "03-01-02-01-02-01-07": ("07", None, "calm", "Dogs are sitting by the door"),
        "03-01-08-02-02-02-07": ("07", None, "surprised", "Dogs are sitting by the door"),
        "03-01-05-01-02-01-12": ("12", "ang", "angry", "Dogs are sitting by the door"),
    }
    assert sexes(corpus) == {"07": "male", "12": "female"}
    assert [p.reason for p in corpus.problems] == ["song or video", "not a file name of this corpus"]
    assert corpus.expected["neutral"] == 96 and sum(corpus.expected.values()) == 1440
    assert "angry: 1 instead of 192" in (corpus.count_differences("full") or [])
    assert "ang: 1 instead of 192" in (corpus.count_differences("four") or [])


@pytest.mark.corpus
def test_real_ravdess_has_its_counts(test_data: Path) -> None:
    root = test_data / "ravdess_4class"
    corpus = read_emotion_corpus("ravdess", root)
    assert len(corpus.utterances) == 672 and not corpus.problems
    assert Counter(u.extras["label"] for u in corpus.utterances) == {"neu": 96, "hap": 192, "sad": 192, "ang": 192}
    assert corpus.count_differences("four") == []
    with (root / "manifest.tsv").open(encoding="utf-8") as lines:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(lines, delimiter="\t")}
    for utterance in corpus.utterances:
        row = rows[utterance.utterance_id]
        assert (f"A{utterance.speaker}", utterance.extras["label"]) == (row["speaker"], row["label4"])
        assert utterance.text == row["text"]


@pytest.mark.corpus
def test_real_meld_has_its_counts(test_data: Path) -> None:
    corpus = read_emotion_corpus("meld", test_data / "meld")
    assert len(corpus.utterances) == 9989 and corpus.count_differences("full") == []
    assert all(u.extras["text_only"] for u in corpus.utterances)
    assert len({u.extras["dialogue"] for u in corpus.utterances}) == 1038


def test_emodb(tmp_path: Path) -> None:
    for name in ("03a01Fa", "16b10Wb", "08a05Nc", "11b02La", "03a99Fa"):
        touch_audio(tmp_path / "wav" / f"{name}.wav")
    corpus = read_emotion_corpus("emodb", tmp_path)
    found = by_name(corpus)
    assert found["03a01Fa"] == ("03", "hap", "happiness", "Der Lappen liegt auf dem Eisschrank.")
    assert found["16b10Wb"][:3] == ("16", "ang", "anger")
    assert found["08a05Nc"][:3] == ("08", "neu", "neutral")
    assert found["11b02La"][:3] == ("11", None, "boredom")
    assert sexes(corpus) == {"03": "male", "08": "female", "11": "male", "16": "female"}
    assert [p.utterance_id for p in corpus.problems] == ["03a99Fa"]
    assert sum(corpus.expected.values()) == 535


def test_cremad(tmp_path: Path) -> None:
    for name in ("1001_DFA_ANG_XX", "1091_IEO_HAP_HI", "1040_ITH_SAD_X", "1002_WSI_FEA_LO"):
        touch_audio(tmp_path / "AudioWAV" / f"{name}.wav")
    corpus = read_emotion_corpus("crema-d", tmp_path)
    assert by_name(corpus)["1001_DFA_ANG_XX"] == ("1001", "ang", "ANG", "Don't forget a jacket")
    assert by_name(corpus)["1002_WSI_FEA_LO"][1] is None
    assert len(corpus.utterances) == 4 and sum(corpus.expected.values()) == 7442
    assert set(sexes(corpus).values()) == {None}
    actors = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,,\n1040,30,,,\n"
    (tmp_path / "VideoDemographics.csv").write_text(actors)
    told = {"1001": "male", "1002": "female", "1040": None, "1091": None}
    assert sexes(read_emotion_corpus("crema-d", tmp_path)) == told
    assert sexes(read_emotion_corpus("crema-d", tmp_path / "AudioWAV")) == told


def test_nemo(tmp_path: Path) -> None:
    for name in ("EB0_anger_1", "WR0_surprised_12", "KS0_happiness_3", "MP0_fear_7", "KS0_joy_3", "take1"):
        touch_audio(tmp_path / "samples" / f"{name}.wav")
    corpus = read_emotion_corpus("nemo", tmp_path)
    assert by_name(corpus) == {
        "EB0_anger_1": ("EB0", "ang", "anger", ""),
        "KS0_happiness_3": ("KS0", "hap", "happiness", ""),
        "MP0_fear_7": ("MP0", None, "fear", ""),
        "WR0_surprised_12": ("WR0", None, "surprise", ""),
    }
    assert sexes(corpus) == {"EB0": "female", "KS0": "male", "MP0": "male", "WR0": "male"}
    assert [(p.utterance_id, p.reason) for p in corpus.problems] == [
        ("KS0_joy_3", "unknown label"),
        ("take1", "not a file name of this corpus"),
    ]
    assert sum(corpus.expected.values()) == 4481 and len(corpus.notes) == 4
    rows = "file_id\tage\traw_text\nEB0_anger_1.wav\t20\tLubię  czytać.\nMP0_fear_7\t20\n"
    (tmp_path / "data.tsv").write_text(rows, encoding="utf-8")
    corpus = read_emotion_corpus("nemo", tmp_path / "samples")
    assert by_name(corpus)["EB0_anger_1"][3] == "Lubię czytać."
    assert {(note.utterance_id, note.reason) for note in corpus.notes} == {
        (name, "no transcript") for name in ("KS0_happiness_3", "MP0_fear_7", "WR0_surprised_12")
    }


@pytest.mark.corpus
def test_real_nemo_has_the_counts_of_this_selection(test_data: Path) -> None:
    corpus = read_emotion_corpus("nemo", test_data / "nemo_4class")
    assert Counter(u.extras["label"] for u in corpus.utterances) == dict.fromkeys(("neu", "hap", "sad", "ang"), 162)
    assert len({u.speaker for u in corpus.utterances}) == 9 and not corpus.problems


MELD_ROWS = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n" + "".join(
    f'{i},"Oh, it\u2019s {i}.",Ross,{emotion},x,{i // 3},{i % 3}\n'
    for i, emotion in enumerate(["neutral", "joy", "fear", "anger", "sadness", "boredom"])
)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_meld_without_audio_is_text_only(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "dev_sent_emo.csv").write_bytes(MELD_ROWS.encode(encoding))
    corpus = read_emotion_corpus("meld", tmp_path)
    assert by_name(corpus)["dev_dia1_utt0"] == ("Ross", "ang", "anger", "Oh, it’s 3.")
    assert all(u.extras["text_only"] for u in corpus.utterances)
    assert [(p.utterance_id, p.reason) for p in corpus.problems] == [("dev_dia1_utt2", "unknown label")]


def test_meld_with_audio(tmp_path: Path) -> None:
    (tmp_path / "train_sent_emo.csv").write_text(MELD_ROWS, encoding="utf-8")
    touch_audio(tmp_path / "train_splits" / "dia0_utt1.flac")
    corpus = read_emotion_corpus("meld", tmp_path)
    assert [u.utterance_id for u in corpus.utterances] == ["train_dia0_utt1"]
    assert "text_only" not in corpus.utterances[0].extras and corpus.utterances[0].audio.exists()
    assert Counter(p.reason for p in corpus.problems) == {"no audio": 5}
    (tmp_path / "train_splits" / "dia0_utt1.flac").rename(tmp_path / "train_splits" / "dia0_utt1.mp4")
    corpus = read_emotion_corpus("meld", tmp_path)
    assert ".mp4 files are not audio" in corpus.notes[0].detail and corpus.utterances[0].extras["text_only"]


def test_a_table_in_csv_tsv_and_jsonl(tmp_path: Path) -> None:
    rows = [
        {
            "audio": "a/x.wav",
            "text": "Yes,  sir.",
            "speaker": "s1",
            "label": "Happy",
            "session": "2",
            "start": "0.5",
            "sex": "F",
        },
        {"audio": "a/y.wav", "text": "", "speaker": "s2", "label": "bored", "session": "", "start": ""},
        {"audio": "", "text": "only text", "speaker": "s2", "label": "neutral", "session": "", "start": ""},
        {"audio": "a/z.wav", "text": "no label", "speaker": "s2", "label": "", "session": "", "start": ""},
        {"audio": "b/x.wav", "text": "same id", "speaker": "s2", "label": "neutral", "session": "", "start": ""},
    ]
    for delimiter in ",;\t":
        with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        from_csv = read_emotion_corpus("table", tmp_path / "t.csv")
        assert [u.utterance_id for u in from_csv.utterances] == ["a/x", "y", "line4", "b/x"]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    corpus = read_emotion_corpus("table", tmp_path / "t.jsonl")
    first, second, third, _ = corpus.utterances
    assert (first.audio, first.text, first.start) == (tmp_path / "a/x.wav", "Yes, sir.", 0.5)
    assert first.extras == {"label": "hap", "label_full": "Happy", "session": "2", "sex": "f"}
    assert second.extras["label"] is None
    assert third.extras["text_only"]
    assert [p.reason for p in corpus.problems] == ["no label"] and corpus.name == "t"
    assert corpus.classes("full") == ("Happy", "bored", "neutral")


def test_rows_of_a_table_have_ids_of_their_own(tmp_path: Path) -> None:
    """The shortest that no other row has; the same part of the same file is there once."""
    path = tmp_path / "t.csv"
    rows = ["a.wav,,", "s1/001.wav,,", "s2/001.wav,,", "/c/call.wav,0,1.5", "/c/call.wav,1.5,4", "/c/call.wav,1.5,4"]
    path.write_text("audio,start,end,speaker,label\n" + "".join(f"{row},s,neutral\n" for row in rows))
    corpus = read_table(path)
    assert [u.utterance_id for u in corpus.utterances] == ["a", "s1/001", "s2/001", "c/call:0-1.5", "c/call:1.5-4"]
    assert [(p.utterance_id, p.reason) for p in corpus.problems] == [("c/call:1.5-4", "duplicate id")]
    assert not any(u.text for u in corpus.utterances)
    path.write_text("audio,utterance_id,speaker,label\na.wav,mine,s,neutral\nb/a.wav,,s,neutral\n")
    assert [u.utterance_id for u in read_table(path).utterances] == ["mine", "a"]


def test_single_letters_are_not_guessed(tmp_path: Path) -> None:
    """In EmoDB, A is anxiety."""
    (tmp_path / "t.csv").write_text("audio,speaker,label\na.wav,s,A\nb.wav,s,Neutral\n")
    assert [u.extras["label"] for u in read_table(tmp_path / "t.csv").utterances] == [None, "neu"]


def test_a_table_at_fault_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("audio,text,label\na.wav,b,neutral\n")
    with pytest.raises(UserError, match=r"lacks the column\(s\) speaker; its columns: audio, text, label"):
        read_table(path)
    path.write_text("audio,text,speaker,label,end\na.wav,b,c,neutral,-3\n")
    with pytest.raises(UserError, match="line 2: 'end'"):
        read_table(path)
    path.write_text("audio,speaker,label,channel\na.wav,c,neutral,1.7\n")
    with pytest.raises(UserError, match=r"line 2: 'channel' must be a whole number .*, not 1\.7"):
        read_table(path)
    with pytest.raises(UserError, match="is a folder, not a table: a table is a CSV"):
        read_emotion_corpus("table", tmp_path)
    path.write_text("audio,text,speaker,label\n")
    with pytest.raises(UserError, match="contains no rows"):
        read_table(path)
    (tmp_path / "t.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: not a JSON object"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("kind", [kind for kind in CORPORA if kind != "table"])
def test_a_folder_that_is_no_such_corpus_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"contains no|is not IEMOCAP"):
        read_emotion_corpus(kind, tmp_path)
    with pytest.raises(UserError, match="no such"):
        read_emotion_corpus(kind, tmp_path / "nowhere")
    with pytest.raises(UserError, match="unknown corpus kind 'x'"):
        read_emotion_corpus("x", tmp_path)


@given(st.binary(max_size=300), st.sampled_from(["[1.0 - 2.0]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]", ""]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_can_stand_in_a_corpus_file(tmp_path_factory: pytest.TempPathFactory, data: bytes, line: str) -> None:
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_bytes(data + b"\n" + line.encode())
    assert isinstance(decode_text(data), str)
    found = list(read_evaluations(path))
    if line:
        assert found[-1] == ("Ses01F_impro01_F000", "neu")
    assert not any("XX" in name for name in read_transcripts(path))
    for name in ("t.csv", "t.jsonl"):
        path = path.rename(path.with_name(name))
        try:
            read_table(path)
        except UserError as error:
            assert "\n" not in str(error)


def test_tables_with_short_rows_and_endless_fields(tmp_path):
    header = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
    file = tmp_path / "train_sent_emo.csv"
    file.write_text(header + "hello,a,joy,0,0\nhello,a\n")
    corpus = read_emotion_corpus("meld", tmp_path)
    assert len(corpus.utterances) == 1
    assert [(p.utterance_id, p.reason) for p in corpus.problems] == [("train_line3", "incomplete row")]
    file.write_text(header + "h" * 140_000 + ",a,joy,0,0\n")
    with pytest.raises(UserError, match="field larger than field limit"):
        read_emotion_corpus("meld", tmp_path)
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Sex\n1001\n" + "1" * 140_000 + ",male\n")
    with pytest.raises(UserError, match="field larger than field limit"):
        read_emotion_corpus("crema-d", tmp_path)
