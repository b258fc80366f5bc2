"""The whole chain, as commands: from audio and transcripts to vectors, scores and a report.

    python -m scripts.demo                                    # synthesises a corpus first (SYNTHETIC)
    python -m scripts.demo --corpus LibriSpeech/dev-clean     # in LibriSpeech's layout, or any other

Each command is printed before it runs, and can be copied. A second call continues where the first one stopped.
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
# Titles of the steps whose figures are repeated at the end.
ALIGNMENT_ERROR = "Measure the alignment error"
SAME_DIFFERENT = "Same-different discrimination, trained and untrained"
SIMILARITY = "Word similarity, with its controls"
EMOTION = "Scores"
MODELS = ("acoustic", "dual")


def embeddings(chain: Chain, corpus: Path, epochs: int, exact: Path | None) -> Path:
    """Make a run with vectors, scores and a report from a corpus; return its folder."""
    out = chain.folder
    aligned, store, run = out / "aligned", out / "store", out / "run"
    vectors, baseline = run / "vectors.txt", out / "word2vec.txt"
    chain.run("Align audio and transcripts", "speech2vec-align run", corpus, "-o", aligned, "--resume")
    if exact is None:
        chain.run("Check the alignment", "speech2vec-align check", aligned)
    else:
        known = out / "exact"
        title = "Import the word times reported by the synthesiser"
        chain.run(title, "speech2vec-align import", corpus, "--alignments", exact, "-o", known, "--force")
        chain.run(ALIGNMENT_ERROR, "speech2vec-align check", aligned, "--against", known)
    chain.run("Compute MFCC of every word", "speech2vec features", aligned, "-o", store, "--resume")
    settings = f"--vector-size 50 --epochs {epochs} --set optimiser.batch_size=256 --evaluate-every 0"
    chain.run("Train Speech2Vec", "speech2vec train", store, "-o", run, settings, "--resume")
    chain.run("Export a vector for each word", "speech2vec export", run, "-o", vectors, "--force")
    output = (run, "-o", run / "same-different.json", "--force")
    chain.run(SAME_DIFFERENT, "speech2vec same-different", *output, optional=True)
    title = "Train Word2Vec on the transcripts, for comparison"
    chain.run(title, "speech2vec baseline", store, "--kind word2vec --min-count 1 -o", baseline, "--force")
    outputs = ("--run", run, "-o", run / "evaluation", "--force")
    chain.run(SIMILARITY, "speech2vec evaluate", vectors, baseline, *outputs)
    outputs = ("--run", run, "-o", run / "homophones.json", "--force")
    title = "Homophones"
    chain.run(title, "speech2vec homophones", vectors, *outputs, "--min-count 2", optional=True)
    chain.run("Nearest neighbours", "speech2vec neighbours", vectors, "people time -n 5", optional=True)
    chain.run("Write the report", "speech2vec report", run, "-o", out / "report.html", "--force")
    return run


def emotion(chain: Chain, vectors: Path) -> None:
    """Train emotion classifiers on a synthetic tree: on audio alone, and on audio with word vectors."""
    out = chain.folder / "emotion"
    tree, prepared = out / "SYNTHETIC-tree", out / "prepared"
    if not (tree / SYNTHETIC_FILE).exists():
        title = "Synthesise SYNTHETIC emotional speech in IEMOCAP's layout"
        chain.run(title, "python -m scripts.make_synthetic_emotion -o", tree, "--force")
    title = "Compute acoustic features (the warning about counts is expected: this is not IEMOCAP)"
    chain.run(title, "speech2vec-emotion prepare iemocap", tree, "-o", prepared, "--name SYNTHETIC --force")
    for model in MODELS:
        run = out / model
        more = ("--embeddings", vectors) if model == "dual" else ()
        title = f"Train the {model} classifier; test on the speakers of session 5"
        settings = f"--model {model} --protocol session5-dev --seeds 1 --quiet --force"
        chain.run(title, "speech2vec-emotion train", prepared, "-o", run, settings, *more)
        chain.run(f"{EMOTION}: {model}", "speech2vec-emotion evaluate", run)


def lines_with(text: str, *starts: str) -> list[str]:
    """The stripped lines that start with one of `starts`."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(starts)]


def figures(chain: Chain) -> list[str]:
    """Figures from the files that the programs wrote (the alignment error: from the output of `check`)."""
    from speech2vec.training.run import read_metrics  # imports torch, which takes seconds

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
    """The results, and what to do next."""
    rows = [f"{'SYNTHETIC speech: ' if synthetic else ''}{row}" for row in figures(chain)]
    for model in MODELS:
        for line in lines_with(chain.printed[f"{EMOTION}: {model}"], "UA")[:1]:
            rows.append(f"SYNTHETIC emotion, {model}: {' '.join(line.split())}; chance is 25 %")
    if synthetic:
        rows.append("Figures on SYNTHETIC speech show that the chain works; they are not results on speech.")
    rows.append("Words of the SYNTHETIC emotional speech do not depend on the class, so their vectors cannot help.")
    return [
        "",
        f"Report: {chain.folder / 'report.html'}",
        *(f"  {row}" for row in rows),
        "",
        "Next, use your own folder (LibriSpeech's layout, or audio with a .txt or .lab beside each file):",
        "  make demo CORPUS=path/to/folder",
        "and emotion classifiers on real speech: docs/quickstart-emotion.md",
    ]


def command(
    corpus: Annotated[Path | None, typer.Option(help="Your own corpus [a SYNTHETIC one, synthesised first].")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for all output.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pairs.")] = 10,
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
