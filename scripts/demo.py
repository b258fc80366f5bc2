"""The whole chain, as commands: from audio and transcripts to vectors, scores, a report and an emotion classifier.

    python -m scripts.demo                                    # synthesises a corpus first (SYNTHETIC)
    python -m scripts.demo --corpus LibriSpeech/dev-clean     # in LibriSpeech's layout, or any other

Each command is printed before it runs, and can be copied. A second call continues where the first one stopped. The last
screen has the figures of all of it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from scripts.chain import Chain
from speech2vec.corpus.readers import SYNTHETIC_FILE, is_synthetic
from speech2vec.runtime import console
from speech2vec.runtime.display import Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json

WORDS, EMOTIONAL_SENTENCES = 10_000, 200  # of synthetic speech: 1.3 hours
PUBLISHED = "published"
METHODS = ("acoustic", "meaning")  # beside the published one; each needs seconds
FUSED = "voice+embedding"
CLASSIFIERS = {
    "voice": "sound",
    "embedding": "words",
    FUSED: "sound and words, fused",
    "dual": "sound and words, the paper's network",
}
LABELS = ("neu", "hap", "sad", "ang")
FAVOURITES = ("people", "government", "happy")  # words whose neighbours are shown, where they were said often enough
WIDTH = 80  # columns of the last screen
SAME_DIFFERENT, SIMILARITY, PREDICTION = "same-different.json", "evaluation.json", "predictions.json"


@dataclass(frozen=True)
class Folders:
    """Where the demo's results lie.

    Parameters
    ----------
    out : Path
    """

    out: Path

    def run(self, method: str) -> Path:
        return self.out / ("run" if method == PUBLISHED else f"run-{method}")

    def vectors(self, method: str) -> Path:
        return self.run(method) / "vectors.txt"

    @property
    def emotion(self) -> Path:
        return self.out / "emotion"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    @property
    def emotion_report(self) -> Path:
        return self.out / "emotion.html"


def embeddings(chain: Chain, corpus: Path, epochs: int, exact: Path | None) -> None:
    """Make a run of each method, with vectors, scores and a report, from a corpus."""
    folders = Folders(chain.folder)
    aligned, store = folders.out / "aligned", folders.out / "store"
    chain.run("Align audio and transcripts", "speech2vec-align run", corpus, "-o", aligned, "--resume")
    if exact is None:
        chain.run("Check the alignment", "speech2vec-align check", aligned)
    else:
        known = folders.out / "exact"
        title = "Import the word times reported by the synthesiser"
        chain.run(title, "speech2vec-align import", corpus, "--alignments", exact, "-o", known, "--force")
        chain.run("Measure the alignment error", "speech2vec-align check", aligned, "--against", known)
    chain.run("Compute MFCC of every word", "speech2vec features", aligned, "-o", store, "--resume")
    settings = f"--vector-size 50 --epochs {epochs} --set optimiser.batch_size=256 --evaluate-every 0"
    title = "Train Speech2Vec as published"
    chain.run(title, "speech2vec train", store, "-o", folders.run(PUBLISHED), settings, "--resume")
    for method in METHODS:
        title = f"Train the method '{method}'"
        chain.run(title, f"speech2vec train --preset {method}", store, "-o", folders.run(method), "--resume")
    for method in (PUBLISHED, *METHODS):
        run, vectors = folders.run(method), folders.vectors(method)
        chain.run(f"Export a vector for each word: {method}", "speech2vec export", run, "-o", vectors, "--force")
        warped = "" if method == METHODS[0] else "--dtw 0"
        output = (run, "-o", run / SAME_DIFFERENT, "--force", warped)
        chain.run(f"Can it tell words apart? {method}", "speech2vec same-different", *output, optional=True)
        outputs = ("--run", run, "-o", run / "evaluation", "--force")
        chain.run(f"Word similarity: {method}", "speech2vec evaluate", vectors, *outputs)
    runs = [folders.run(method) for method in (METHODS[0], PUBLISHED, *METHODS[1:])]
    title = f"Write a page about '{METHODS[0]}' with the others beside it"
    chain.run(title, "speech2vec report", *runs, "-o", folders.report, "--force")


def emotion(chain: Chain) -> None:
    """Train emotion classifiers on a synthetic tree, and classify recordings that they were not trained on."""
    folders = Folders(chain.folder)
    tree, prepared = folders.emotion / "SYNTHETIC-tree", folders.emotion / "prepared"
    if not (tree / SYNTHETIC_FILE).exists():
        title = "Synthesise SYNTHETIC emotional speech in IEMOCAP's layout"
        chain.run(title, "python -m scripts.make_synthetic_emotion -o", tree, "--force")
    chain.run("Compute acoustic features", "speech2vec-emotion prepare iemocap", tree, "-o", prepared, "--force")
    for model in CLASSIFIERS:
        more = () if model == "voice" else ("--embeddings", folders.vectors(METHODS[0]))
        title = f"Train the classifier '{model}'; test on the speakers of session 5"
        settings = f"--model {model} --protocol session5-dev --seeds 1 --quiet --force"
        chain.run(title, "speech2vec-emotion train", prepared, "-o", folders.emotion / model, settings, *more)
    runs = [folders.emotion / model for model in dict.fromkeys((FUSED, *CLASSIFIERS))]
    title = f"Write a page about '{FUSED}' with the others beside it"
    chain.run(title, "speech2vec-emotion report", *runs, "-o", folders.emotion_report, "--force")
    unheard = folders.emotion / "unheard"
    copy_recordings(tree, unheard)
    title = "Classify four recordings of speakers that it was not trained on"
    output = ("-o", folders.emotion / PREDICTION, "--format json --force")
    chain.run(title, "speech2vec-emotion predict", folders.emotion / FUSED, unheard, *output)


def copy_recordings(tree: Path, folder: Path) -> None:
    """Copy the first recording of each class of session 5, named by it, with its transcript."""
    folder.mkdir(exist_ok=True)
    session = tree / "Session5"
    for dialogue in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
        transcripts = (session / "dialog" / "transcriptions" / dialogue.name).read_text(encoding="utf-8")
        texts = dict(line.split(": ", 1) for line in transcripts.splitlines() if line.startswith("Ses"))
        said = {key.split()[0]: text for key, text in texts.items()}
        for line in dialogue.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if len(cells) < 3 or cells[2] not in LABELS or (folder / f"{cells[2]}.wav").exists():
                continue
            source = session / "sentences" / "wav" / dialogue.stem / f"{cells[1]}.wav"
            shutil.copyfile(source, folder / f"{cells[2]}.wav")
            (folder / f"{cells[2]}.txt").write_text(said[cells[1]] + "\n", encoding="utf-8")


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """A value with its interval; "-" if there is none."""
    if value is None:
        return "-"
    shown = f"{value:.{digits}f}".replace("0.", ".", 1)
    if low is None or high is None:
        return shown
    return f"{shown} [{low:.{digits}f}, {high:.{digits}f}]".replace("0.", ".")


def vectors_table(folders: Folders) -> Table | None:
    """What vectors know of sound and of meaning, by each method and its controls; None if nothing was measured."""
    sound, meaning = _same_word(folders), _similarity(folders)
    rows = [[title, sound.get(title, "-"), meaning.get(title, "-")] for title in dict.fromkeys((*sound, *meaning))]
    title = "What do vectors of spoken words know? (speakers differ; 95 % intervals)"
    return Table([["", "same word? (AP)", "meaning (rho)"], *rows], title, indent="  ") if rows else None


def _same_word(folders: Folders) -> dict[str, str]:
    """Average precision across speakers; empty if there was too little speech."""
    files = {method: folders.run(method) / SAME_DIFFERENT for method in (PUBLISHED, *METHODS)}
    if not all(file.exists() for file in files.values()):
        return {}
    parts = {method: read_json(file)["parts"] for method, file in files.items()}
    results = {method: parts[method][0]["results"]["trained"] for method in parts}
    first, sample = parts[PUBLISHED][0]["results"], parts[METHODS[0]][-1]["results"]
    results["  published, untrained"] = first["untrained"]
    results["  frames, no training"] = first["resampled"]
    if warped := [name for name in sample if name.startswith("DTW")]:
        results[f"  a sample: {METHODS[0]}"] = sample["trained"]
        results["  a sample: time warping"] = sample[warped[0]]
    keys = [f"{key}_cross_speaker" for key in ("ap", "low", "high")]
    return {title: interval(*(one[key] for key in keys)) for title, one in results.items()}


def _similarity(folders: Folders) -> dict[str, str]:
    """Rank correlation with people's ratings of pairs of words, of each method and the controls of the first."""
    titles = {"untrained": "  published, untrained", "text": "  the transcripts as text", "random": "  random"}
    found: dict[str, str] = {}
    for method in (PUBLISHED, *METHODS):
        evaluation = read_json(folders.run(method) / "evaluation" / SIMILARITY)
        kinds = {model["name"]: model["kind"] for model in evaluation["models"]}
        for name, result in evaluation["levels"][0]["results"].items() if evaluation["levels"] else ():
            title = method if name == folders.vectors(method).stem else titles.get(kinds[name])
            if title and (title == method or method == PUBLISHED) and result["mean"]["rho"] is not None:
                found[title] = interval(*(result["mean"][key] for key in ("rho", "low", "high")))
    return found


def emotion_table(folders: Folders) -> Table:
    """UA of each classifier and of the control on the speakers that they were not trained on, and chance."""
    from emotion.api import evaluate  # imports torch, which takes seconds

    rows = [["", "UA %"]]
    found = {title: evaluate(folders.emotion / model) for model, title in CLASSIFIERS.items()}
    scores = {title: evaluation.parts["all"] for title, evaluation in found.items()}
    if control := next(iter(found.values())).control:
        scores["sound, linear SVM (control)"] = control.scores
    for title, part in scores.items():
        ua = part.scores["UA"]
        low, high = ua.by_utterance.low, ua.by_utterance.high
        rows.append([title, f"{100 * ua.mean:.0f} [{100 * low:.0f}, {100 * high:.0f}]"])
    rows.append(["chance", "25"])
    return Table(rows, "Which of four emotions? (speakers not trained on; recall, mean over classes)", indent="  ")


def prediction_table(folders: Folders) -> Table:
    """What the classifier of sound and words says of four recordings."""
    rows = [["true", "said", "p", "words"]]
    for row in read_json(folders.emotion / PREDICTION):
        true = Path(row["audio"]).stem
        text = Path(row["audio"]).with_suffix(".txt").read_text(encoding="utf-8").strip()
        probability = f"{row['probabilities'][row['label']]:.2f}"
        rows.append([true, row["label"], probability, shorten(text, WIDTH - 24, placeholder=" ...")])
    title = f"Four recordings that it has not heard ({(folders.emotion / 'unheard').name}/)"
    return Table(rows, title, indent="  ", align="left")


def neighbour_table(folders: Folders) -> Table | None:
    """The nearest words by sound and by meaning."""
    from speech2vec.vectors.word_vectors import read_vectors

    by_sound, by_meaning = (read_vectors(folders.vectors(method)) for method in METHODS)
    words = [word for word in FAVOURITES if word in by_sound.words and word in by_meaning.words]
    rows = [["", *(f"{name} ({method})" for name, method in zip(("by sound", "by company"), METHODS, strict=True))]]
    for word in words or by_sound.words[20:23]:
        near = (", ".join(other for other, _ in of.neighbours(word, 3)) for of in (by_sound, by_meaning))
        rows.append([word, *(shorten(text, (WIDTH - 16) // 2, placeholder=" ...") for text in near)])
    return Table(rows, "Nearest words", indent="  ", align="left")


def closing(chain: Chain, synthetic: bool) -> list[str]:
    """The last screen: what came out, and what to do next."""
    folders = Folders(chain.folder)
    report: dict[str, Any] = read_json(folders.out / "aligned" / "report.json")
    tables = (vectors_table, neighbour_table, emotion_table, prediction_table)
    shown = [table.text() for make in tables if (table := make(folders)) is not None]
    what = "SYNTHETIC speech: that the chain works is all these figures say."
    if not synthetic:
        what = "The emotional speech is SYNTHETIC; the rest is your corpus."
    return [
        "",
        "=" * (WIDTH - 1),
        f"{report['aligned']:,} of {report['asked']:,} utterances aligned, {report['words']:,} words",
        *(f"\n{text}" for text in shown),
        "",
        what,
        f"Look at {folders.report} and {folders.emotion_report.name} beside it. Next:",
        "  make demo CORPUS=FOLDER     # audio, a .txt or .lab beside each; or LibriSpeech",
        f"  speech2vec-emotion predict {folders.emotion / 'voice'} your.wav",
        "                              # after: . .venv/bin/activate",
    ]


def command(
    corpus: Annotated[Path | None, typer.Option(help="Your own corpus [a SYNTHETIC one, synthesised first].")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for all output.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes of the published method over the pairs.")] = 6,
) -> None:
    """Run the whole chain, from audio to a report, as commands that can be copied."""
    if corpus is not None and not corpus.exists():
        raise UserError(f"--corpus {corpus}: no such folder")
    chain = Chain(output / (corpus.resolve().name if corpus else "synthetic"))
    exact = None
    if corpus is None:
        corpus = chain.folder / "corpus"
        print("SYNTHETIC speech: espeak-ng speaks the input of this demo; the figures are not results on speech.")
        title = "Synthesise a SYNTHETIC corpus in LibriSpeech's layout"
        size = f"--max-words {WORDS} --emotional-sentences {EMOTIONAL_SENTENCES}"
        chain.run(title, f"python -m scripts.make_synthetic_corpus {size} --resume -o", corpus)
        exact = corpus / "alignments"
    embeddings(chain, corpus, epochs, exact)
    emotion(chain)
    print("\n".join(closing(chain, is_synthetic(corpus))))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    console.run_app(app)
