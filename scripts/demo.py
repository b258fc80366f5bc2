"""The whole chain, with the programs that a person would call: from audio and transcripts to vectors, scores, a report.

    python -m scripts.demo                                    # speaks its own, SYNTHETIC, corpus first
    python -m scripts.demo --corpus LibriSpeech/dev-clean     # a corpus in LibriSpeech's layout, or any other

Each command is shown before it runs, so that it can be copied. A second call goes on where the first one stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts.chain import Chain
from speech2vec.corpus.readers import SYNTHETIC_FILE, is_synthetic
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json

WORDS = 10_000  # of synthetic speech: 1.1 hours
# Steps whose figures are shown again at the end.
ALIGNMENT_ERROR = "Measure the aligner's error against them"
SAME_DIFFERENT = "Do instances of one word lie together? Trained and untrained"
SIMILARITY = "Word similarity, beside its controls"
EMOTION = "Scores of a classifier"
MODELS = ("acoustic", "dual")


def embeddings(chain: Chain, corpus: Path, epochs: int, exact: Path | None) -> Path:
    """From a corpus to a run with vectors, scores and a report; the run's folder."""
    out = chain.folder
    aligned, store, run = out / "aligned", out / "store", out / "run"
    vectors, baseline = run / "vectors.txt", out / "word2vec.txt"
    chain.run("Align audio and transcripts", "speech2vec-align run", corpus, "-o", aligned, "--resume")
    if exact is None:
        chain.run("Check the alignment", "speech2vec-align check", aligned)
    else:
        known = out / "exact"
        title = "Import the word times that the synthesiser reported"
        chain.run(title, "speech2vec-align import", corpus, "--alignments", exact, "-o", known, "--force")
        chain.run(ALIGNMENT_ERROR, "speech2vec-align check", aligned, "--against", known)
    chain.run("MFCC of every word", "speech2vec features", aligned, "-o", store, "--resume")
    settings = f"--vector-size 50 --epochs {epochs} --set optimiser.batch_size=256 --evaluate-every 0"
    chain.run("Train Speech2Vec", "speech2vec train", store, "-o", run, settings, "--resume")
    chain.run("A vector for each word", "speech2vec export", run, "-o", vectors, "--force")
    output = (run, "-o", run / "same-different.json", "--force")
    chain.run(SAME_DIFFERENT, "speech2vec same-different", *output, optional=True)
    title = "Word2Vec on the transcripts, to compare with"
    chain.run(title, "speech2vec baseline", store, "--kind word2vec --min-count 1 -o", baseline, "--force")
    outputs = ("--run", run, "-o", run / "evaluation", "--force")
    chain.run(SIMILARITY, "speech2vec evaluate", vectors, baseline, *outputs)
    outputs = ("--run", run, "-o", run / "homophones.json", "--force")
    title = "Words that sound the same"
    chain.run(title, "speech2vec homophones", vectors, *outputs, "--min-count 2", optional=True)
    chain.run("Nearest neighbours", "speech2vec neighbours", vectors, "people time -n 5", optional=True)
    chain.run("The report", "speech2vec report", run, "-o", out / "report.html", "--force")
    return run


def emotion(chain: Chain, vectors: Path) -> None:
    """An emotion classifier on a synthetic tree: audio only, and audio with the words' vectors."""
    out = chain.folder / "emotion"
    tree, prepared = out / "SYNTHETIC-tree", out / "prepared"
    if not (tree / SYNTHETIC_FILE).exists():
        title = "SYNTHETIC emotional speech in IEMOCAP's layout"
        chain.run(title, "python -m scripts.make_synthetic_emotion -o", tree, "--force")
    title = "Acoustic features and labels (the counts differ from IEMOCAP's: this is not IEMOCAP)"
    chain.run(title, "speech2vec-emotion prepare iemocap", tree, "-o", prepared, "--name SYNTHETIC --force")
    for model in MODELS:
        run = out / model
        more = ("--embeddings", vectors) if model == "dual" else ()
        title = f"Train the {model} classifier; session 5's speakers are tested"
        settings = f"--model {model} --protocol session5-dev --seeds 1 --quiet --force"
        chain.run(title, "speech2vec-emotion train", prepared, "-o", run, settings, *more)
        chain.run(f"{EMOTION}: {model}", "speech2vec-emotion evaluate", run)


def lines_with(text: str, *starts: str) -> list[str]:
    """The lines that start (after blanks) with one of `starts`."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(starts)]


def figures(chain: Chain) -> list[str]:
    """The figures on speech, from what the programs wrote (the aligner's error: from what `check` printed)."""
    from speech2vec.training.run import read_metrics  # here: it imports torch, which takes seconds

    aligned, run = chain.folder / "aligned", chain.folder / "run"
    report = read_json(aligned / "report.json")
    rows = [f"{report['aligned']:,} of {report['asked']:,} utterances aligned, {report['words']:,} words"]
    rows += lines_with(chain.printed.get(ALIGNMENT_ERROR, ""), "boundary difference", "within")
    losses = [row for row in read_metrics(run) if "dev_loss" in row]
    first, last = losses[0], losses[-1]
    rows.append(
        f"held-out loss {first['dev_loss']:.4f} -> {last['dev_loss']:.4f} after epoch {last['epoch']} "
        f"(mean frame {last['dev_mean_frame']:.4f}; vectors shuffled between words {last['dev_shuffled']:.4f})"
    )
    if (run / "same-different.json").exists():
        precisions = []
        for name, result in read_json(run / "same-different.json")["parts"][0]["results"].items():
            if result["ap"] is not None:
                interval = "" if result["low"] is None else f" [{result['low']:.3f}, {result['high']:.3f}]"
                precisions.append(f"{name} {result['ap']:.3f}{interval}")
        rows.append(f"same-different average precision: {', '.join(precisions)}")
    for level in read_json(run / "evaluation" / "evaluation.json")["levels"]:
        scores = []
        for name, result in level["results"].items():
            mean = result["mean"]
            if mean["rho"] is not None:
                scores.append(f"{name} {mean['rho']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]")
                covered = f"{mean['n_covered']:,} of {mean['n_pairs']:,} pairs"
        if scores:
            rows.append(f"word similarity, min_count {level['min_count']}, {covered}: {', '.join(scores)}")
    if (run / "homophones.json").exists():
        rows.append(read_json(run / "homophones.json")["homophones"]["verdict"])
    return rows


def closing(chain: Chain, synthetic: bool) -> list[str]:
    """What has been made, what it says, and what to do next."""
    rows = [f"{'SYNTHETIC speech: ' if synthetic else ''}{row}" for row in figures(chain)]
    for model in MODELS:
        for line in lines_with(chain.printed[f"{EMOTION}: {model}"], "UA")[:1]:
            rows.append(f"SYNTHETIC emotion, {model}: {' '.join(line.split())}; chance is 25 %")
    if synthetic:
        rows.append("Figures on SYNTHETIC speech say that the chain works, and nothing about speech.")
    rows.append("The words of the SYNTHETIC emotional speech are drawn without regard to the class: they cannot help.")
    return [
        "",
        f"The report: {chain.folder / 'report.html'}",
        *(f"  {row}" for row in rows),
        "",
        "Next, a folder of your own (LibriSpeech's layout, or audio with a .txt or .lab beside each file):",
        "  make demo CORPUS=path/to/folder",
        "and an emotion classifier of real speech: docs/quickstart-emotion.md",
    ]


def command(
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus of your own; none is a SYNTHETIC one, spoken first.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Everything is written below this.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pairs.")] = 10,
) -> None:
    """Run the whole chain, from audio to a report, with the programs that a person would call."""
    if corpus is not None and not corpus.exists():
        raise UserError(f"--corpus {corpus}: there is no such folder")
    chain = Chain(output / (corpus.resolve().name if corpus else "synthetic"))
    exact = None
    if corpus is None:
        corpus = chain.folder / "corpus"
        print("SYNTHETIC speech: espeak-ng speaks the input of this demo; no figure below is a result on speech.")
        title = "Speak a SYNTHETIC corpus in LibriSpeech's layout"
        chain.run(title, f"python -m scripts.make_synthetic_corpus --max-words {WORDS} --resume -o", corpus)
        exact = corpus / "alignments"
    run = embeddings(chain, corpus, epochs, exact)
    emotion(chain, run / "vectors.txt")
    synthetic = is_synthetic(corpus)
    print("\n".join(closing(chain, synthetic)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    console.run_app(app)
