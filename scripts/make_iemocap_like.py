"""Make a SYNTHETIC tree in exactly IEMOCAP's formats, with their irregularities, for tests and benchmarks.

    python -m scripts.make_iemocap_like OUT [--scale 1.0] [--seed 0]

At scale 1 it has the 151 dialogues and 10,039 utterances of the release, and its counts by session and label. The 5,531
utterances of the four classes have the release's durations (mean 4.55 s, median 3.58 s, maximum 34.14 s), numbers of
words (median 8, maximum 98) and vocabulary (2,885 types); in total 7 hours and 0.8 GB. Utterances of other classes
last 0.6 s, because no recipe reads them. The audio is a buzz whose pitch, rate and loudness depend on speaker and
label; words are random, some by label. Use it for formats and speed only.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from gensim.test.utils import datapath
from scipy.stats import norm

from emotion.corpora.iemocap import EXPECTED, EXPECTED_SESSIONS, LABELS
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.seeds import generator

SAMPLING_RATE = 16000
SESSION_SIZES = {"1": 1819, "2": 1811, "3": 2136, "4": 2103, "5": 2170}
IMPROVISED = 2943
DIALOGUES = tuple(f"impro{i:02}" for i in range(1, 9)) + tuple(
    f"script{name}" for name in ("01_1", "01_2", "01_3", "02_1", "02_2", "03_1", "03_2")
)
VOCABULARY = 2885
OUTSIDE_SECONDS = 0.6
WITHOUT_ALIGNMENT = ("Ses03F_impro07_M030", "Ses03M_impro03_M001")
TAG_ONLY = ("[LAUGHTER]", "[BREATHING]", "[LAUGHTER] [BREATHING]", "[GARBAGE]")
# Pitch (Hz, of a low voice), syllables per second, loudness.
MANNERS = {"neu": (110, 4.0, 0.12), "hap": (150, 5.0, 0.3), "sad": (95, 2.8, 0.06), "ang": (170, 5.5, 0.6)}


@dataclass
class Turn:
    """One utterance of a dialogue.

    Parameters
    ----------
    speaker : str
        "F" or "M".
    label : str
        A code of IEMOCAP.
    text : str
    samples : ndarray [shape=(n_samples,)], float32
        At 16 kHz.
    words : list of (str, float, float)
        Words with start and end, in seconds from the start of the utterance.
    """

    speaker: str
    label: str
    text: str
    samples: np.ndarray
    words: Sequence[tuple[str, float, float]] = ()


def write_dialogue(session: Path, dialogue: str, turns: Sequence[Turn], encoding: str = "utf-8") -> list[str]:
    """Write one dialogue below ``Session{1..5}``: audio, forced alignment, evaluation, transcription.

    Returns
    -------
    list of str
        Utterance ids, in order.
    """
    sounds = session / "sentences" / "wav" / dialogue
    alignments = session / "sentences" / "ForcedAlignment" / dialogue
    evaluation = session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
    transcription = session / "dialog" / "transcriptions" / f"{dialogue}.txt"
    for folder in (sounds, alignments, evaluation.parent, transcription.parent):
        folder.mkdir(parents=True, exist_ok=True)
    blocks = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"]
    lines: list[str] = []
    ids: list[str] = []
    spoken: Counter[str] = Counter()
    start = 0.5
    for turn in turns:
        name = f"{dialogue}_{turn.speaker}{spoken[turn.speaker]:03}"
        spoken[turn.speaker] += 1
        ids.append(name)
        end = start + len(turn.samples) / SAMPLING_RATE
        sf.write(sounds / f"{name}.wav", turn.samples, SAMPLING_RATE, subtype="PCM_16")
        if name not in WITHOUT_ALIGNMENT:
            (alignments / f"{name}.wdseg").write_text(_wdseg(turn), encoding="ascii", errors="replace")
        blocks.append(
            f"[{start:.4f} - {end:.4f}]\t{name}\t{turn.label}\t[2.5000, 2.5000, 2.5000]\n"
            "C-E2:\tNeutral;\t()\nC-E3:\tNeutral; Frustration;\t(calm)\n"
            "A-E3:\tval 3; act 2; dom  2;\t()\nA-M1:\tval 2; act 3; dom  3;\t()\n"
        )
        lines.append(f"{name} [{start:08.4f}-{end:08.4f}]: {turn.text}\n")
        if len(lines) % 12 == 5:  # off-stage speech, and an annotator's line
            lines.append(f"{dialogue}_{turn.speaker}XX{spoken[turn.speaker] % 10} [{end:08.4f}-{end:08.4f}]: Yeah.\n")
            lines.append(f"{turn.speaker}: [crosstalk]\n")
        start = end + 0.3
    evaluation.write_text("\n".join(blocks) + "\n", encoding=encoding)
    transcription.write_bytes("".join(lines).encode(encoding))
    return ids


def _wdseg(turn: Turn) -> str:
    """A forced alignment in frames of 10 ms; the end frame is part of the word."""
    rows: list[tuple[int, int, str]] = []
    after = 0
    for i, (word, start, end) in enumerate(turn.words):
        first, last = round(start * 100), max(round(start * 100), round(end * 100) - 1)
        if first > after:
            rows.append((after, first - 1, "<sil>" if i else "<s>"))
        rows.append((first, last, word.upper() + ("(2)" if i % 9 == 4 else "")))
        after = last + 1
    total = round(len(turn.samples) / SAMPLING_RATE * 100)
    if not turn.words:
        rows.append((0, max(after, total - 2), "++NOISE++"))
        after = rows[-1][1] + 1
    rows.append((after, max(after, total - 1), "</s>"))
    body = "".join(f"\t{first:5}\t{last:5}\t{-1000 * (last - first + 1):10}\t{word}\n" for first, last, word in rows)
    return f"\t SFrm\t EFrm\t   SegAScr\tWord\n{body}Total score:\t{-1000 * after:10}\n"


def write_oddities(session: Path) -> None:
    """Write the other files of the release: leftovers of macOS, and subfolders of EmoEvaluation."""
    evaluations = session / "dialog" / "EmoEvaluation"
    names = [path.name for path in sorted(evaluations.glob("Ses*.txt"))]
    for kind in ("Attribute", "Categorical", "Self-evaluation"):
        (evaluations / kind).mkdir(exist_ok=True)
        for name in names[:2]:
            other = f"[0.5000 - 1.0000]\t{Path(name).stem}_F900\tang\t[1.0000, 1.0000, 1.0000]\n"
            (evaluations / kind / name).write_text(other, encoding="ascii")
    leftover = bytes.fromhex("00051607") + b"\x00\x02\x00\x00Mac OS X        \x81\x8d\xff"
    for folder in (evaluations, session / "dialog" / "transcriptions"):
        (folder / ".DS_Store").write_bytes(leftover)
        for name in names[:2]:
            (folder / f"._{name}").write_bytes(leftover)
    for sounds in sorted((session / "sentences" / "wav").iterdir())[:1]:
        (sounds / ".DS_Store").write_bytes(leftover)
        for path in sorted(sounds.glob("Ses*.wav"))[:2]:
            (sounds / f"._{path.name}").write_bytes(leftover)


def read_words() -> list[str]:
    """The most frequent words of the Lee corpus, from gensim."""
    counts = Counter(tokenize(Path(datapath("lee_background.cor")).read_text(encoding="utf-8")))
    return [word for word, _ in counts.most_common() if word.isascii() and word.isalpha()][:VOCABULARY]


def quantiles(rng: np.random.Generator, n: int) -> np.ndarray:
    """Evenly spaced quantiles of the standard normal distribution, in random order [shape=(n,)]."""
    return norm.ppf((rng.permutation(n) + 0.5) / n)


def voice(rng: np.random.Generator, speaker: str, session: str, label: str, seconds: float) -> np.ndarray:
    """A buzz with pitch, rate and loudness of a speaker and a label [shape=(n_samples,)], float32."""
    base, rate, loudness = MANNERS[label]
    pitch = base * (1.8 if speaker == "F" else 1.0) * (0.9 + 0.05 * int(session))
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    wander = np.cumsum(rng.normal(0, 0.3, len(time) // 1600 + 2))
    contour = np.interp(time * 10, np.arange(len(wander)), wander - wander.mean())
    phase = 2 * np.pi * np.cumsum(pitch * 2 ** (np.tanh(contour / 4) / 3)) / SAMPLING_RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 9))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * rate * time + rng.uniform(0, 6))
    sound = loudness * 0.5 * syllables * buzz + rng.normal(0, 0.01, len(time))
    return np.clip(sound, -1, 1).astype(np.float32)


def make_iemocap_like(out: Path, scale: float = 1.0, seed: int = 0) -> Path:
    """Write the tree below `out` and return ``out/IEMOCAP_full_release``.

    Parameters
    ----------
    out : Path
    scale : float
        Fraction of the release's utterances; each session has at least one of each of the four classes.
    seed : int
    """
    rng = generator(seed)
    root = out / "IEMOCAP_full_release"
    utterances = _labels(rng, scale)
    inside = [i for i, (_, label, _) in enumerate(utterances) if LABELS[label]]
    length, more = quantiles(rng, len(inside)), quantiles(rng, len(inside))
    # Log-normal, with the release's median and 95th percentile; words go with length.
    seconds = np.clip(3.58 * np.exp(0.686 * length), 0.585, 34.14)
    n_words = np.clip(np.round(8 * np.exp(0.862 * (0.92 * length + 0.39 * more))), 1, 98).astype(int)
    words = read_words()
    chances = 1 / (np.arange(len(words)) + 5.0)
    chances /= chances.sum()
    kept = {i: (float(seconds[k]), int(n_words[k])) for k, i in enumerate(inside)}
    deck = list(rng.permutation(words))  # each is used once, so that every type occurs in a full-size tree
    voices = {
        (session, speaker, label): voice(rng, speaker, session, label, 36.0 if scale > 0.1 else 12.0)
        for session in SESSION_SIZES
        for speaker in "FM"
        for label in MANNERS
    }
    favourites = dict(zip(MANNERS, np.array_split(rng.permutation(words[100:500]), len(MANNERS)), strict=True))
    dialogues: dict[tuple[str, str], list[Turn]] = {}
    for i, (session, label, style) in enumerate(utterances):
        speaker = "FM"[int(rng.integers(2))]
        name = _dialogue(rng, session, style, scale)
        if i in kept:
            duration, n = kept[i]
            drawn = [str(word) for word in rng.choice(words, n, p=chances)]
            own = favourites[str(LABELS[label])]
            drawn = [str(rng.choice(own)) if rng.random() < 0.15 else word for word in drawn]
            if deck and n > 3:
                drawn[int(rng.integers(n))] = str(deck.pop())
            source = voices[session, speaker, str(LABELS[label])]
        else:
            duration, drawn, source = OUTSIDE_SECONDS, ["no"], voices[session, speaker, "neu"]
        n_samples = min(round(duration * SAMPLING_RATE), len(source))
        offset = int(rng.integers(len(source) - n_samples + 1))
        samples = source[offset : offset + n_samples] * np.float32(rng.uniform(0.7, 1.0))
        turn = Turn(speaker, label, _sentence(rng, drawn), samples, _in_time(drawn, n_samples / SAMPLING_RATE))
        if i in kept and rng.random() < 0.004:
            turn = Turn(speaker, label, str(rng.choice(TAG_ONLY)), samples)
        dialogues.setdefault((session, name), []).append(turn)
    for k, ((session, name), turns) in enumerate(sorted(dialogues.items())):
        turns = [turns[i] for i in rng.permutation(len(turns))]
        cp1252 = k % 7 == 3
        if cp1252:
            for turn in turns[:2]:
                turn.text = f"It\u2019s the caf\u00e9. {turn.text}"
        write_dialogue(root / f"Session{session}", name, turns, "cp1252" if cp1252 else "utf-8")
    for session in SESSION_SIZES:
        write_oddities(root / f"Session{session}")
    return root


def _labels(rng: np.random.Generator, scale: float) -> list[tuple[str, str, str]]:
    """(session, label, style) of each utterance, with the release's counts."""
    excited = rng.permutation(EXPECTED["hap"] + EXPECTED["exc"]) < EXPECTED["exc"]
    others = [label for label, four in LABELS.items() if four is None for _ in range(EXPECTED[label])]
    others = [others[i] for i in rng.permutation(len(others))]
    improvised = rng.permutation(sum(sum(counts.values()) for counts in EXPECTED_SESSIONS.values())) < IMPROVISED
    happy, place = 0, 0
    utterances: list[tuple[str, str, str]] = []
    for session, counts in EXPECTED_SESSIONS.items():
        for label, count in counts.items():
            for i in range(count):
                code = ("exc" if excited[happy] else "hap") if label == "hap" else label
                happy += label == "hap"
                if i < max(1, round(count * scale)):
                    utterances.append((session, code, "impro" if improvised[place] else "script"))
                place += 1
        for i in range(SESSION_SIZES[session] - sum(counts.values())):
            label = others.pop()
            if i < round((SESSION_SIZES[session] - sum(counts.values())) * scale):
                utterances.append((session, label, "impro" if rng.random() < 0.5 else "script"))
    return utterances


def _dialogue(rng: np.random.Generator, session: str, style: str, scale: float) -> str:
    names = [name for name in DIALOGUES if name.startswith(style)]
    if session == "5" and style == "impro":
        names.append("impro05a")
    if scale < 0.2:  # few dialogues, so that each still has several turns
        names = names[:2]
    choices = [f"Ses0{session}{marker}_{name}" for name in names for marker in ("F" if name[-1] == "a" else "FM")]
    return str(rng.choice(choices))


def _sentence(rng: np.random.Generator, words: Sequence[str]) -> str:
    text = " ".join(words).capitalize() + str(rng.choice([".", "?", "!", "..."]))
    return f"[LAUGHTER] {text}" if rng.random() < 0.02 else text


def _in_time(words: Sequence[str], seconds: float) -> list[tuple[str, float, float]]:
    """Word times in proportion to the numbers of letters, with 50 ms of silence at both ends."""
    letters = np.cumsum([0] + [len(word) + 1 for word in words])
    times = 0.05 + (seconds - 0.1) * letters / letters[-1]
    return [(word, float(a), float(b)) for word, a, b in zip(words, times[:-1], times[1:], strict=True)]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the release's utterances")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists() and any(arguments.out.iterdir()):
        parser.exit(2, f"error: {arguments.out} is not empty\n")
    print(f"SYNTHETIC tree in IEMOCAP's layout: {make_iemocap_like(arguments.out, arguments.scale, arguments.seed)}")


if __name__ == "__main__":
    main()
