"""The Python interface: what a notebook calls, and what the commands of ``speech2vec-emotion`` call.

Results print as the commands print them, show as tables in a notebook, and have a method ``to_dict``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from emotion.classifiers.registry import check_settings, load_classifier, search_working_folder
from emotion.corpora.registry import read_emotion_corpus
from emotion.data.dataset import PREPARED_CONTENTS, Prepared
from emotion.data.prepare import Preparation, PrepareSettings, prepare_corpus, prepare_settings
from emotion.data.splits import SplitProtocol
from emotion.evaluation.evaluate import EVALUATION_CONTENTS, Evaluation, evaluate_on, evaluate_run, write_evaluation
from emotion.evaluation.table_rows import check_systems, table_rows, train_systems
from emotion.evaluation.tables import TABLES_CONTENTS, Tables, make_tables, write_tables
from emotion.metrics import N_DRAWS
from emotion.models.word_vectors import is_segments, source_path
from emotion.prediction.classifier import Classifier
from emotion.reporting.page import report
from emotion.settings import EmotionSettings, classifier_settings
from emotion.training.folds import train_folds, write_control, write_predictions
from emotion.training.plan import Plan, check_plan, continue_run, gather_run, warn_of_features
from emotion.training.run import RUN_CONTENTS, RUN_FILE, Run
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.runtime.output import check_output, claim_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import Tracker, log
from speech2vec.training.run import LAST

__all__ = ["Classifier", "evaluate", "load", "prepare", "report", "tables", "train"]


def prepare(
    kind: str,
    root: str | Path,
    output: str | Path,
    *,
    name: str | None = None,
    preset: str = "default",
    settings: PrepareSettings | Mapping[str, Any] | None = None,
    jobs: int = 0,
    quiet: bool = False,
    force: bool = False,
) -> Preparation:
    """Read an emotion corpus, compute its features and check its counts.

    Parameters
    ----------
    kind : {"iemocap", "ravdess", "emodb", "crema-d", "nemo", "meld", "table"}
    root : path
        The corpus folder; for ``table`` the file (CSV, TSV or JSONL).
    output : path
        Folder of the prepared corpus.
    name : str or None
        Name of the corpus in tables and reports; None takes `kind`, or the name of the table's file.
    preset : {"default", "paper"}
    settings : PrepareSettings, or mapping of dotted keys to values, or None
        Changes of the preset; an instance replaces it.
    jobs : int
        Number of processes; 0 is one for each core.
    quiet : bool
        Show no progress.
    force : bool
        Replace an existing output, once the new one is complete.

    Raises
    ------
    UserError
        The corpus, a setting or the output is unusable.

    Examples
    --------
    >>> emotion.prepare("ravdess", "RAVDESS", "prepared/ravdess")  # doctest: +SKIP
    """
    root, output = Path(root), Path(output)
    if not isinstance(settings, PrepareSettings):
        settings = prepare_settings(preset, changes=settings)
    corpus = read_emotion_corpus(kind, root)
    check_output(output, force=force, inputs=[root], folder=PREPARED_CONTENTS)
    return prepare_corpus(corpus, output, settings, name=name, jobs=count_jobs(jobs), quiet=quiet)


def train(
    prepared: str | Path,
    output: str | Path,
    *,
    model: str = "voice",
    embeddings: str | None = None,
    aligned: str | Path | None = None,
    checkpoint: str | None = None,
    protocol: SplitProtocol | str = SplitProtocol.speaker_folds,
    folds: int = 6,
    preset: str = "default",
    seeds: int = 5,
    seed: int = 0,
    settings: EmotionSettings | Mapping[str, Any] | None = None,
    jobs: int = 0,
    device: str | torch.device = "auto",
    quiet: bool = False,
    force: bool = False,
    resume: bool = False,
) -> Classifier:
    """Train a classifier for each fold and seed of a protocol, and test it on unseen speakers.

    Parameters
    ----------
    prepared : path
        A prepared corpus.
    output : path
        The run folder.
    model : str
        A classifier: "voice", "svm", "egemaps", "compare" and "pretrained" (linear machines), "acoustic", "embedding",
        "dual" and "mcnn_lstm" (networks), "evector", "hmm", "dnn_elm", "spectrogram_cnn"; several as "svm+embedding"
        (fused); or a class of your own as "package.module:Class".
    embeddings : str or None
        A word2vec file, ``random:D``, or ``segments:RUN`` (with `aligned`); required by embedding and dual.
    aligned : path or None
        Word alignment from ``speech2vec-align`` for ``segments:RUN``.
    checkpoint : {"last", "best"} or None
        The encoder of ``segments:RUN``; None is "last".
    protocol : SplitProtocol or str
    folds : int
        Number of folds of ``speaker-folds``.
    preset : {"default", "paper"}
    seeds, seed : int
        Train with `seeds` consecutive seeds starting at `seed`; only with the first where all give the same.
    settings : EmotionSettings, or mapping of dotted keys to values, or None
        Changes of the preset, such as ``{"training.epochs": 30}``; an instance replaces it.
    jobs : int
        Number of folds and seeds to train in parallel; 0 is one for each core.
    device : {"auto", "cpu", "cuda"} or torch.device
    quiet : bool
        Show no progress.
    force, resume : bool
        Replace an existing output, or continue it.

    Raises
    ------
    UserError
        The corpus, an option or the output is unusable, or a loss is not finite.

    Examples
    --------
    >>> classifier = emotion.train("prepared/ravdess", "runs/ravdess", seeds=1)  # doctest: +SKIP
    >>> print(emotion.evaluate(classifier))  # doctest: +SKIP
    """
    output = Path(output)
    aligned = None if aligned is None else Path(aligned)
    if not isinstance(settings, EmotionSettings):
        settings = classifier_settings(preset, changes=settings)
    corpus = Prepared.open(Path(prepared))
    if checkpoint is not None and not is_segments(embeddings):
        raise UserError("--checkpoint selects the encoder of --embeddings segments:RUN: give both or neither")
    search_working_folder()
    classifier = load_classifier(model)
    check_settings(classifier, settings)
    asked = range(seed, seed + seeds)
    plan = Plan(
        model=model,
        protocol=SplitProtocol(protocol),
        embeddings=embeddings,
        seeds=_one_seed(model, output, asked, resume) if classifier.deterministic else asked,
        n_folds=folds,
        aligned=aligned,
        checkpoint=checkpoint or LAST,
    )
    splits = check_plan(corpus, plan)
    chosen = choose_device(device)
    warn_of_features(corpus, preset, settings, classifier)
    with only_writer(output):
        inputs = [corpus.folder, aligned, source_path(embeddings)]
        check_output(output, force=force, resume=resume, inputs=inputs, folder=RUN_CONTENTS)
        if resume and (output / RUN_FILE).exists():
            run = continue_run(corpus, output, plan, settings)
        else:
            create = gather_run(corpus, plan, settings, splits, jobs=count_jobs(jobs))
            claim_output(output, force=force, resume=resume, folder=RUN_CONTENTS)
            run = create(output)
        train_folds(run, corpus, jobs=count_jobs(jobs), device=chosen, quiet=quiet)
        write_predictions(run, corpus)
        write_control(run, corpus)
    return Classifier(run, chosen)


def _one_seed(model: str, output: Path, asked: range, resume: bool) -> list[int]:
    """The seed of a classifier for which all give the same; all of them if a run to resume was started so."""
    if resume and (output / RUN_FILE).exists() and Run.open(output).info["seeds"] == list(asked):
        return list(asked)
    if len(asked) > 1:
        log.info("%s gives the same with every seed: one is trained", model)
    return list(asked[:1])


def load(run: str | Path, *, device: str | torch.device = "auto") -> Classifier:
    """Load a trained run.

    Parameters
    ----------
    run : path
        A run folder of `train`.
    device : {"auto", "cpu", "cuda"} or torch.device

    Raises
    ------
    UserError
        The folder is not a run, or there is no such device.
    """
    return Classifier(Run.open(Path(run)), choose_device(device))


def evaluate(
    run: Classifier | str | Path,
    output: str | Path | None = None,
    *,
    on: str | Path | None = None,
    draws: int = N_DRAWS,
    seed: int = 0,
    force: bool = False,
) -> Evaluation:
    """Score a run's test predictions: WA, UA, macro F1, recall per class and confusion matrix, with intervals.

    Parameters
    ----------
    run : Classifier or path
    output : path or None
        Folder for report.txt, scores.json and confusion.png; None writes nothing.
    on : path or None
        A prepared corpus other than the training corpus: scores of all folds and seeds together on its utterances. Its
        labels are matched by name. None scores the run's own test predictions.
    draws, seed : int
        Number of bootstrap draws and their seed.
    force : bool
        Replace an existing output.

    Raises
    ------
    UserError
        Training is incomplete, the output exists, or the corpus does not fit the run.

    Examples
    --------
    >>> evaluation = emotion.evaluate("runs/ravdess")  # doctest: +SKIP
    >>> evaluation.parts["all"].scores["UA"].mean  # doctest: +SKIP
    """
    opened = run.run if isinstance(run, Classifier) else Run.open(Path(run))
    if output is not None:
        check_output(Path(output), force=force, inputs=[opened.folder], folder=EVALUATION_CONTENTS)
    if on is None:
        evaluation = evaluate_run(opened, draws, seed)
    else:
        classifier = run if isinstance(run, Classifier) else load(opened.folder)
        evaluation = evaluate_on(opened, classifier.members, Prepared.open(Path(on)), draws, seed)
    if output is not None:
        write_evaluation(evaluation, Path(output))
    return evaluation


def tables(
    prepared: str | Path,
    output: str | Path,
    *,
    speech: Mapping[int, str] | None = None,
    word: Mapping[int, str] | None = None,
    extra: Mapping[int, str] | None = None,
    models: Sequence[str] = (),
    protocol: SplitProtocol | str = SplitProtocol.session5,
    folds: int = 6,
    preset: str = "paper",
    seeds: int = 5,
    seed: int = 0,
    settings: EmotionSettings | Mapping[str, Any] | None = None,
    jobs: int = 0,
    device: str | torch.device = "auto",
    quiet: bool = False,
    force: bool = False,
    resume: bool = False,
) -> Tables:
    """Train all systems of Tables 1 to 3 of Krishna & Reddy (2019) and every other classifier, and compare them.

    Parameters
    ----------
    prepared : path
        A prepared corpus.
    output : path
        Folder for tables.txt, tables.csv, differences.csv and runs/.
    speech, word, extra : mapping of int to str
        Vectors files by vector size: of Speech2Vec, of Word2Vec, and others to compare with.
    models : sequence of str
        Further classifiers, as for `train`.
    protocol, folds, preset, seeds, seed, settings, jobs, device, quiet, force, resume
        As for `train`.

    Raises
    ------
    UserError
        The corpus, vectors, an option or the output is unusable.

    Examples
    --------
    >>> emotion.tables("prepared/iemocap", "tables", speech={50: "s2v.txt"}, word={50: "w2v.txt"})  # doctest: +SKIP
    """
    output, protocol = Path(output), SplitProtocol(protocol)
    speech, word, extra = (given or {} for given in (speech, word, extra))
    if not isinstance(settings, EmotionSettings):
        settings = classifier_settings(preset, changes=settings)
    corpus = Prepared.open(Path(prepared))
    chosen = choose_device(device)
    search_working_folder()
    with_words = any(text.strip() for text in corpus.text)
    if not with_words:
        log.warning("%s has no transcripts: systems that need words are left out", corpus.folder)
    rows = table_rows(speech, word, extra, models, with_words=with_words)
    seed_list = list(range(seed, seed + seeds))
    check_systems(rows, corpus, protocol=protocol, settings=settings, seeds=seed_list, n_folds=folds)
    warn_of_features(corpus, preset, settings)
    n_systems = len({row.system for row in rows if row.system})
    with only_writer(output):
        inputs: list[str | Path] = [
            corpus.folder,
            *(file for files in (speech, word, extra) for file in files.values()),
        ]
        claim_output(output, force=force, resume=resume, inputs=inputs, folder=TABLES_CONTENTS)
        with Tracker("tables", n_systems, "systems", quiet) as tracker:
            runs = train_systems(
                rows,
                corpus,
                output,
                protocol=protocol,
                settings=settings,
                seeds=seed_list,
                n_folds=folds,
                jobs=count_jobs(jobs),
                device=chosen,
                on_system=lambda title: tracker.advance(note=title),
            )
        made = make_tables(rows, runs, corpus, protocol.value, seeds)
        write_tables(made, output)
    return made
