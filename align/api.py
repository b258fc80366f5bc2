"""The functions of `align`. The commands of ``speech2vec-align`` call the same ones, and print what they return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from align.aligned import failures_of_corpus, merge_aligned, write_aligned
from align.base import Aligner, AlignmentResult, check_results, load_aligner
from align.checker import Checker, CheckReport, CheckSettings, IssueKind
from align.exporting import EXPORT_CONTENTS, ExportFormat, ExportReport, export_aligned
from align.importing import ImportSettings, Tally, read_alignments
from align.results import AlignmentReport
from align.runner import ALIGNED_CONTENTS, align_corpus, read_to_align, refuse_composite, shard_of
from speech2vec.corpus.manifest import read_report
from speech2vec.runtime.config import Settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_folder
from speech2vec.runtime.output import check_output
from speech2vec.runtime.processes import count_jobs, parse_shard
from speech2vec.runtime.progress import Tracker, log

S = TypeVar("S", bound=Settings)


def run(
    corpus: str | Path,
    output: str | Path,
    aligner: str = "pocketsphinx",
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    shard: str | None = None,
    jobs: int = 0,
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    quiet: bool = False,
) -> AlignmentReport:
    """Align a corpus: find the start and end of each word of each utterance.

    Parameters
    ----------
    corpus : str or Path
        A folder in LibriSpeech's layout, audio files with ``.txt`` or ``.lab`` beside them, or an utterances.jsonl.
    output : str or Path
        The ALIGNED folder to write.
    aligner : str
        pocketsphinx, mfa, ctc, or a class of your own as ``package.module:Class``.
    settings : Settings or mapping or None
        Settings of the aligner (its `settings_type`), ``{"train": True}`` for one; None takes the defaults.
    shard : str or None
        ``"K/N"`` aligns only shard K of N; `merge` joins them.
    jobs : int
        Number of processes; 0 is one for each core.
    device : str
        auto, cpu or cuda.
    force, resume, quiet : bool
        Replace what is in the output; continue an interrupted run; show no progress.

    Raises
    ------
    UserError
        If the corpus, the settings or the output is at fault.
    AlignmentError
        If the aligner cannot work at all.

    Notes
    -----
    The processes are spawned: in a script, call this below ``if __name__ == "__main__":``.

    Examples
    --------
    >>> import tempfile, numpy as np, soundfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "corpus").mkdir()
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> soundfile.write(folder / "corpus" / "a.wav", noise, 16000)
    >>> _ = (folder / "corpus" / "a.txt").write_text("Hello, world!")
    >>> report = run(folder / "corpus", folder / "aligned", jobs=1)
    >>> report.aligned, [failure.reason.value for failure in report.failed]
    (0, ['audio does not sound like speech'])
    """
    corpus, output = Path(corpus), Path(output)
    kind = load_aligner(aligner)
    chosen = _settings_of(kind.settings_type, settings)
    device = _device_for(kind, aligner, device)
    utterances = read_to_align(corpus)
    refuse_composite(utterances)
    if shard is not None:
        utterances = shard_of(utterances, *parse_shard(shard))
    check_output(output, force=force, resume=resume, inputs=[corpus], folder=ALIGNED_CONTENTS)
    for setting, path in kind.extra_outputs(chosen).items():
        check_output(path, force=force, resume=resume or None, inputs=[corpus], option=setting)
    report = align_corpus(
        utterances,
        output,
        aligner,
        chosen,
        jobs=count_jobs(jobs),
        device=device,
        shard=shard,
        quiet=quiet,
        force=force,
    )
    return AlignmentReport.from_json(output, report)


def _settings_of(kind: type[S], settings: Settings | Mapping[str, Any] | None) -> S:
    return settings if isinstance(settings, kind) else validate_settings(kind, dict(settings or {}))


def _device_for(kind: type[Aligner], name: str, device: str) -> str:
    if kind.takes_device:
        from speech2vec.runtime.devices import choose_device  # loads torch, which the other aligners do without

        return choose_device(device).type
    if device == "cuda":
        log.warning("device cuda is ignored: the aligner %s computes on the CPU", name)
    return "cpu"


def import_alignments(
    corpus: str | Path,
    alignments: str | Path,
    output: str | Path,
    *,
    settings: ImportSettings | Mapping[str, Any] | None = None,
    force: bool = False,
    quiet: bool = False,
) -> AlignmentReport:
    r"""Import alignments that another program made: TextGrid, CTM, CSV, ``.alignment.txt``, wdseg, Whisper's JSON.

    Parameters
    ----------
    corpus : str or Path
        As `run` takes it.
    alignments : str or Path
        A folder of alignments, or one file. See `align.importing` for how they are assigned to utterances.
    output : str or Path
        The ALIGNED folder to write.
    settings : ImportSettings or mapping or None
        None recognises the format of each file.
    force, quiet : bool
        Replace what is in the output once the new folder is complete; show no progress.

    Raises
    ------
    UserError
        If there are no utterances or no alignments, or the settings or the output are at fault.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.jsonl").write_text('{"utterance_id": "a", "audio": "a.wav", "text": "Hello!", "speaker": "s"}')
    >>> _ = (folder / "a.ctm").write_text("a 1 0.0 0.4 hello")
    >>> import_alignments(folder / "a.jsonl", folder / "a.ctm", folder / "aligned").words
    1
    """
    corpus, alignments, output = Path(corpus), Path(alignments), Path(output)
    chosen = _settings_of(ImportSettings, settings)
    found = read_to_align(corpus)
    check_output(output, force=force, inputs=[corpus, alignments], folder=ALIGNED_CONTENTS)
    tally = Tally()
    extra: dict[str, object] = {}

    def results() -> Iterator[AlignmentResult]:
        read = read_alignments(found.utterances, alignments, chosen, tally)
        with Tracker("importing", len(found.utterances), "utterances", quiet) as tracker:
            for result in check_results(found.utterances, read):
                yield result
                tracker.advance()
        extra["import"] = tally.to_json()

    # What is there is replaced once the new folder is complete: a mistyped path costs nothing.
    with atomic_folder(output) as folder:
        report = write_aligned(
            folder,
            found.utterances,
            results(),
            problems=failures_of_corpus(found.problems),
            settings={"aligner": "import", "alignments": alignments.name, **chosen.model_dump()},
            extra=extra,
        )
    return AlignmentReport.from_json(output, report, tally.notes())


def merge(shards: Sequence[str | Path], output: str | Path, *, force: bool = False) -> AlignmentReport:
    r"""Merge the shards of a run, or alignments of different parts of a corpus.

    Parameters
    ----------
    shards : sequence of str or Path
        ALIGNED folders, made with the same settings.
    output : str or Path
        The ALIGNED folder to write.
    force : bool
        Replace what is in the output once the new folder is complete.

    Raises
    ------
    UserError
        If a shard is missing or not finished, an utterance is in two shards, or their settings differ.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in "ab":
    ...     line = '{"utterance_id": "%s", "audio": "a.wav", "text": "Hello!", "speaker": "s"}' % name
    ...     _ = (folder / "a.jsonl").write_text(line), (folder / "a.ctm").write_text(f"{name} 1 0.0 0.4 hello")
    ...     _ = import_alignments(folder / "a.jsonl", folder / "a.ctm", folder / name)
    >>> merge([folder / "a", folder / "b"], folder / "aligned").aligned
    2
    """
    folders, output = [Path(shard) for shard in shards], Path(output)
    check_output(output, force=force, inputs=folders, folder=ALIGNED_CONTENTS)
    with atomic_folder(output) as folder:
        report = merge_aligned(folders, folder)
    return AlignmentReport.from_json(output, report)


def export(
    aligned: str | Path,
    output: str | Path,
    kind: ExportFormat | str = ExportFormat.textgrid,
    *,
    force: bool = False,
    quiet: bool = False,
) -> ExportReport:
    r"""Export an alignment to files that other programs read.

    Parameters
    ----------
    aligned : str or Path
        An ALIGNED folder.
    output : str or Path
        The folder to write.
    kind : ExportFormat or str
        textgrid (one file for each utterance), ctm, csv or alignment.txt.
    force, quiet : bool
        Replace what is in the output once the new folder is complete; show no progress.

    Raises
    ------
    UserError
        If `aligned` is not an ALIGNED folder, the format is unknown, or the output is at fault.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.jsonl").write_text('{"utterance_id": "a", "audio": "a.wav", "text": "Hello!", "speaker": "s"}')
    >>> _ = (folder / "a.ctm").write_text("a 1 0.0 0.4 hello")
    >>> _ = import_alignments(folder / "a.jsonl", folder / "a.ctm", folder / "aligned")
    >>> export(folder / "aligned", folder / "out", "csv").n_words
    1
    """
    aligned, output = Path(aligned), Path(output)
    if kind not in list(ExportFormat):
        raise UserError(f"there is no export format '{kind}': choose {', '.join(ExportFormat)}")
    total = int(read_report(aligned).get("aligned", 0))
    check_output(output, force=force, inputs=[aligned], folder=EXPORT_CONTENTS)
    report = ExportReport(output)
    with atomic_folder(output) as folder, Tracker("exporting", total, "utterances", quiet) as tracker:
        for _ in export_aligned(aligned, ExportFormat(kind), folder, report):
            tracker.advance()
    return report


def check(aligned: str | Path, *, settings: CheckSettings | Mapping[str, Any] | None = None) -> CheckReport:
    """Check an alignment: find what is missing, impossible or improbable.

    Parameters
    ----------
    aligned : str or Path
        An ALIGNED folder.
    settings : CheckSettings or mapping or None
        The thresholds; None takes the defaults.

    Raises
    ------
    UserError
        If `aligned` is not an ALIGNED folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> line = '{"utterance_id": "a", "audio": "a", "text": "Hi!", "speaker": "s", "end": 1}'
    >>> _ = (folder / "a.jsonl").write_text(line)
    >>> _ = (folder / "a.ctm").write_text("a 1 0.5 0.9 hi")
    >>> _ = import_alignments(folder / "a.jsonl", folder / "a.ctm", folder / "aligned")
    >>> [(issue.kind.value, issue.detail) for issue in check(folder / "aligned").issues]
    [('outside-utterance', 'the utterance lasts from 0.00 s to 1.00 s')]
    """
    return Checker(Path(aligned), _settings_of(CheckSettings, settings)).check()


def drop(
    aligned: str | Path,
    kinds: Iterable[IssueKind | str],
    output: str | Path,
    *,
    settings: CheckSettings | Mapping[str, Any] | None = None,
    force: bool = False,
) -> AlignmentReport:
    r"""Copy an alignment without the words and utterances that have an issue.

    Parameters
    ----------
    aligned : str or Path
        An ALIGNED folder.
    kinds : iterable of IssueKind or str
        The kinds of issues, ``low-score`` for one.
    output : str or Path
        The ALIGNED folder to write.
    settings : CheckSettings or mapping or None
        As `check` takes them.
    force : bool
        Replace what is in the output once the new folder is complete.

    Raises
    ------
    UserError
        If `aligned` is not an ALIGNED folder, a kind is unknown, or the output is at fault.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.jsonl").write_text('{"utterance_id": "a", "audio": "a", "text": "Hi, you!", "speaker": "s"}')
    >>> _ = (folder / "a.ctm").write_text("a 1 0.1 0.4 hi\na 1 0.5 0.0 you")
    >>> _ = import_alignments(folder / "a.jsonl", folder / "a.ctm", folder / "aligned")
    >>> drop(folder / "aligned", ["zero-length"], folder / "cleaned").words
    1
    """
    aligned, output = Path(aligned), Path(output)
    unwanted = []
    for kind in kinds:
        if kind not in list(IssueKind):
            raise UserError(f"there is no kind of issue '{kind}': choose from {', '.join(k.value for k in IssueKind)}")
        unwanted.append(IssueKind(kind))
    checker = Checker(aligned, _settings_of(CheckSettings, settings))
    check_output(output, force=force, inputs=[aligned], folder=ALIGNED_CONTENTS)
    with atomic_folder(output) as folder:
        report = checker.write_without(unwanted, folder)
    return AlignmentReport.from_json(output, report)
