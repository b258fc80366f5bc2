"""All members of a run as one network, from unscaled features and words to probabilities; its TorchScript file."""

# No `from __future__ import annotations` here: TorchScript needs the types themselves, not their names.
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emotion.settings import ModelSettings
from emotion.training.run import RUN_FILE, VOCABULARY_FILE, FoldModel, Run
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path


class _Scaled(nn.Module):
    """One member behind its own feature scaling, stacking and cutting."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, member: FoldModel, n_features: int, settings: ModelSettings) -> None:
        super().__init__()
        self.model = member.model
        scaler = member.scaler
        mean, deviation = torch.zeros(n_features), torch.ones(n_features)
        if scaler is not None:
            mean, deviation = torch.from_numpy(scaler.mean), torch.from_numpy(scaler.deviation)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.stack = settings.stack
        self.max_windows = settings.max_windows
        self.fill = settings.padding == "zeros"

    def forward(self, features: Tensor, words: Tensor, n_words: Tensor) -> Tensor:
        scaled = stack_steps((features - self.mean) / self.deviation, self.stack)
        steps, n_steps = fit_steps(scaled, self.max_windows, self.fill)
        return self.model(steps[None], n_steps[None], words[None], n_words[None]).softmax(dim=1)[0]


class Ensemble(nn.Module):
    """The mean of all members' probabilities, for one utterance at a time.

    Parameters
    ----------
    run : Run
    members : sequence of Member

    Raises
    ------
    UserError
        There are no members.
    """

    def __init__(self, run: Run, members: Sequence[FoldModel]) -> None:
        super().__init__()
        if not members:
            raise UserError(f"{run.folder} has no trained members")
        settings = run.settings.model
        self.members = nn.ModuleList(_Scaled(member, run.info["n_features"], settings) for member in members)
        self.max_words = settings.max_words
        self.fill = settings.padding == "zeros"
        self.eval()

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """Class probabilities.

        Parameters
        ----------
        features : Tensor [shape=(n_windows, n_features)]
            As extracted, not scaled; a model without audio ignores them.
        words : Tensor [shape=(n_words,)], int64, or [shape=(n_words, vector_size)]
            A model without text ignores them.

        Returns
        -------
        Tensor [shape=(n_classes,)]
        """
        words, n_words = fit_steps(words, self.max_words, self.fill)
        return torch.stack([member(features, words, n_words) for member in self.members]).mean(dim=0)


def stack_steps(features: Tensor, n: int) -> Tensor:
    """As `emotion.data.batches.stack_windows`, in operations that TorchScript has."""
    short = (n - features.shape[0] % n) % n
    if short > 0 and features.shape[0] > 0:
        features = torch.cat((features, features[-1:].repeat(short, 1)))
    return features.reshape(-1, n * features.shape[1])


def fit_steps(sequence: Tensor, limit: int, fill: bool) -> tuple[Tensor, Tensor]:
    """Cut to `limit` steps; zeros follow where the settings ask for them, or where there is no step at all."""
    sequence = sequence[:limit]
    length = sequence.shape[0]
    steps = limit if fill else max(1, length)
    if steps > length:
        shape = [steps - length] + list(sequence.shape[1:])  # noqa: RUF005 (TorchScript has no starred lists)
        zeros = torch.zeros(shape, dtype=sequence.dtype, device=sequence.device)
        sequence = torch.cat((sequence, zeros))
    return sequence, torch.tensor(steps if fill else length)


def load_ensemble(run: Run, device: torch.device | str = "cpu") -> Ensemble:
    """All members of a run, on a device; what they are given has to be there too.

    Raises
    ------
    UserError
        There are none, or one is missing or damaged.
    """
    return Ensemble(run, list(run.load_members())).to(device)


def export_torchscript(run: Run, path: Path) -> float:
    """Write a run as one TorchScript file, and compare it with the run on random inputs of several lengths.

    Returns
    -------
    float
        The largest difference of a probability.

    Raises
    ------
    UserError
        The written file's outputs differ by more than 1e-5.
    """
    ensemble = load_ensemble(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(ensemble)
        with atomic_path(path) as temporary:
            # Labels, features' settings and words travel in the file, as JSON that torch.jit.load hands back.
            names = [RUN_FILE, VOCABULARY_FILE] if run.vocabulary is not None else [RUN_FILE]
            extra = {name: (run.folder / name).read_text(encoding="utf-8") for name in names}
            scripted.save(str(temporary), _extra_files=extra)
        loaded = torch.jit.load(str(path))
    largest = 0.0
    random = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for n_windows, n_words in ((1, 0), (7, 1), (45, 12), (301, 140)):
            features = torch.randn(n_windows, run.info["n_features"], generator=random)
            words = random_words(run, n_words, random)
            largest = max(largest, float((loaded(features, words) - ensemble(features, words)).abs().max()))
    if largest > 1e-5:
        raise UserError(f"{path}: outputs differ from the run's by {largest:.1e}")
    return largest


def random_words(run: Run, n_words: int, random: torch.Generator) -> Tensor:
    """Words as a run's model takes them: rows of its vocabulary, or vectors."""
    if run.vocabulary is not None:
        return torch.randint(1, len(run.vocabulary.words) + 2, (n_words,), generator=random)
    return torch.randn(n_words, max(1, run.info["vector_size"]), generator=random)
