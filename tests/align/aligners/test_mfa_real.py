"""The adapter of the Montreal Forced Aligner: on files that the real program wrote, and the real program itself."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
from mfa_stand_in import Mfa, spoken

from align.aligned import write_aligned
from align.aligners.mfa import MfaAligner, MfaSettings
from align.aligners.mfa_program import MfaProgram, _cause, user_root
from align.base import Aligned, AlignmentResult, Failure, Reason, check_results
from align.comparison import compare
from align.formats import textgrid
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import read_corpus


@pytest.fixture
def mfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mfa:
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "users_root"))
    return Mfa(tmp_path)


def run_written(mfa: Mfa, utterances: Sequence[Utterance], written: Path, folder: str) -> dict[str, AlignmentResult]:
    """Align with a stand-in that leaves what the real program wrote for these files."""
    # The adapter gives its own names, so a file is known by its length and its first words.
    script = f"""\
        import shutil, sys
        from pathlib import Path
        if sys.argv[1] == "version":
            print("3.4.3"); sys.exit(0)
        import soundfile as sf
        corpus, out = Path(sys.argv[2]), Path(sys.argv[5])
        out.mkdir(parents=True)
        for path in corpus.rglob("*.wav"):
            lab = path.with_suffix(".lab").read_text().split()
            for real in Path({str(written)!r}).rglob("*.TextGrid"):
                text = real.read_text()
                if f"\\nxmax = {{round(sf.info(path).duration, 6)}} \\n" in text and f'"{{lab[0]}}"' in text:
                    (out / path.parent.name).mkdir(exist_ok=True)
                    shutil.copy(real, out / path.parent.name / f"{{path.stem}}.TextGrid")
        """
    mfa.program.write_text(f"#!{sys.executable}\n" + textwrap.dedent(script), encoding="utf-8")
    outcomes = list(check_results(utterances, mfa.aligner().align(utterances)))
    return {outcome.utterance_id.removeprefix(folder): outcome for outcome in outcomes}


@pytest.mark.corpus
def test_what_the_real_program_wrote_for_a_corpus_with_faults(mfa: Mfa, test_data: Path) -> None:
    samples = test_data / "mfa_samples"
    corpus = read_corpus(samples / "corpus_with_faults")
    problems = {problem.utterance_id.split("/")[1] for problem in corpus.problems}
    assert problems == {"notrans", "nowav", "empty", "latin1"}
    outcomes = run_written(mfa, corpus.utterances, samples / "out_for_corpus_with_faults", "")
    aligned = {name for name, outcome in outcomes.items() if isinstance(outcome, Aligned)}
    assert aligned == {"spk_a/spk_a_000", "spk_a/spk_a_003", "spk_a/spk_a_006", "spk_b/spk_b_001", "spk_b/spk_b_004"}
    reasons = {name: o.reason for name, o in outcomes.items() if isinstance(o, Failure)}
    assert reasons == {
        "spk_a/alloov": Reason.NO_ALIGNMENT,
        "spk_a/oov": Reason.NO_ALIGNMENT,
        "spk_b/punct": Reason.NO_ALIGNMENT,
        "spk_b/mismatch": Reason.AUDIO_TOO_SHORT,
        "spk_b/short": Reason.AUDIO_TOO_SHORT,
        "spk_b/tooshort": Reason.AUDIO_TOO_SHORT,
    }


@pytest.mark.corpus
def test_words_that_the_real_program_changed(mfa: Mfa, test_data: Path) -> None:
    samples = test_data / "mfa_samples" / "words_changed"
    corpus = read_corpus(samples / "corpus")
    outcomes = run_written(mfa, corpus.utterances, samples / "out", "s/")
    first = outcomes["spk_a_000"]
    words = "the quick brown fox jumps over the lazy dog's 3 house dog"
    assert spoken(first) == words.split()
    assert " ".join(spoken(outcomes["spk_a_003"])) == "a journey of a thousand miles begins with a single step"
    assert isinstance(first, Aligned)
    # The phones of "3" and of "(house)" are spn: the dictionary has neither.
    assert first.guessed == {"3": "spn", "house": "spn"}
    text = (samples / "out" / "s" / "spk_a_000.TextGrid").read_text()
    (track,) = textgrid.read(text)
    assert [(w.start, w.end) for w in first.words] == [(w.start, w.end) for w in track.words]


@pytest.mark.corpus
def test_the_line_that_says_why_from_the_real_screen(test_data: Path) -> None:
    screen = (test_data / "mfa_samples" / "screen_missing_model.txt").read_text(encoding="utf-8")
    assert (
        _cause(screen)
        == "Invalid value for 'ACOUSTIC_MODEL_PATH': FileArgumentNotFoundError: Could not find \"nope.zip\"."
    )


@pytest.fixture
def program() -> MfaProgram:
    """The program itself; its version is asked for, and refused if the adapter does not know it."""
    if shutil.which("mfa") is None:
        pytest.skip("the program mfa is not on PATH (docs/install-mfa.md): the adapter was tested with a stand-in only")
    return MfaProgram("mfa")


@pytest.mark.mfa
@pytest.mark.slow
@pytest.mark.corpus
def test_the_program_itself(program: MfaProgram, test_data: Path, librispeech: Path, tmp_path: Path) -> None:
    models = user_root() / "pretrained_models"
    for kind, suffix in (("dictionary", "dict"), ("acoustic", "zip")):
        if not (models / kind / f"english_us_arpa.{suffix}").is_file():
            pytest.skip(f"the program mfa has no model to align with: mfa model download {kind} english_us_arpa")
    corpus = read_corpus(librispeech / "train-clean-100" / "8226").utterances[:10]
    outcomes = list(check_results(corpus, MfaAligner(MfaSettings(program=str(program.path)), jobs=2).align(corpus)))
    assert [reason for outcome in outcomes if (reason := getattr(outcome, "reason", None))] == []
    write_aligned(tmp_path / "own", corpus, outcomes)
    earlier = read_alignments(corpus, test_data / "librispeech" / "mfa_textgrids", ImportSettings(), Tally())
    write_aligned(tmp_path / "earlier", corpus, list(earlier))
    comparison = compare(tmp_path / "own", tmp_path / "earlier")
    # Another version, or a speaker heard for longer, moves boundaries by a frame or two.
    assert comparison.median <= 0.02 and comparison.share_within(0.1) >= 0.95
    words = [word for outcome in outcomes if isinstance(outcome, Aligned) for word in outcome.words]
    assert all(word.score is not None and word.score < 0 for word in words)
