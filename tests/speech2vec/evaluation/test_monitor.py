"""What a run leaves for TensorBoard, read back from its files as TensorBoard reads them."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import WORDS, made_up_store
from google.protobuf import text_format
from matplotlib.image import imread
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

from speech2vec.evaluation.benchmarks import Benchmark
from speech2vec.evaluation.monitor import Monitor
from speech2vec.evaluation.similarity import cosines, folded_index, spearman
from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.training.presets import DataSettings, OptimiserSettings, TrainSettings
from speech2vec.training.run import Run, checkpoint_file
from speech2vec.training.trainer import TrainOptions, train
from speech2vec.vectors.word_vectors import WordVectors


@pytest.fixture(scope="module")
def rated() -> Benchmark:
    draw = np.random.default_rng(0)
    pairs = [(a, b) for place, a in enumerate(WORDS) for b in WORDS[place + 1 :]]
    return Benchmark("rated", pairs, draw.uniform(size=len(pairs)))


@pytest.fixture(scope="module")
def run(rated: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monitored")
    settings = TrainSettings(
        model=ModelSettings(vector_size=8),
        data=DataSettings(held_out=0.4),
        optimiser=OptimiserSettings(epochs=3, batch_size=100),
    )
    unknown = Benchmark("unknown", [("no", "such")] * 20, np.arange(20.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speech2vec.evaluation.monitor.read_benchmarks", lambda: [rated, unknown])
        monitor = Monitor(2)
    store = made_up_store(folder / "store")
    long_enough = dataclasses.replace(store, end=store.start + 0.6)  # for same-different
    train(
        long_enough,
        folder / "run",
        settings,
        torch.device("cpu"),
        TrainOptions(log_every=4, quiet=True),
        on_epoch_end=monitor,
    )
    return folder / "run"


@pytest.fixture(scope="module")
def events(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def test_curves_of_the_steps(events: EventAccumulator) -> None:
    steps = [scalar.step for scalar in events.Scalars("step/loss")]
    per_epoch = [scalar.step for scalar in events.Scalars("train_loss")]
    assert len(per_epoch) == 3 and set(per_epoch) <= set(steps) and np.diff([0, *steps]).max() == 4
    for name in ("loss", "pairs_per_second", "gradient_norm", "learning_rate"):
        scalars = events.Scalars(f"step/{name}")
        assert [scalar.step for scalar in scalars] == steps
        assert all(np.isfinite(scalar.value) and scalar.value > 0 for scalar in scalars)
    assert events.Scalars("step/loss")[-1].value < events.Scalars("step/loss")[0].value


def test_measures_every_few_epochs_and_at_the_end(events: EventAccumulator) -> None:
    ends = [scalar.step for scalar in events.Scalars("dev_loss")]
    measured = [ends[0], ends[2], ends[3]]  # before training, after the second, after the last
    for name in ("same_different_ap", "same_different_ap_cross_speaker", "similarity_rated"):
        assert [scalar.step for scalar in events.Scalars(name)] == measured
    assert "similarity_unknown" not in events.Tags()["scalars"]


def test_the_similarity_is_that_of_the_words_vectors(run: Path, events: EventAccumulator, rated: Benchmark) -> None:
    vectors = np.loadtxt(run / "projector" / "vectors.tsv", dtype=np.float32)
    words = [line.split("\t")[0] for line in (run / "projector" / "words.tsv").read_text().splitlines()[1:]]
    shown = WordVectors(words, vectors)
    rho = spearman(cosines(shown, rated, folded_index(shown)), rated.ratings)
    assert events.Scalars("similarity_rated")[-1].value == pytest.approx(rho, abs=1e-4)


def test_a_decoded_beside_a_true_segment(events: EventAccumulator) -> None:
    images = events.Images("held-out/decoded")
    assert len(images) == 3
    picture = imread(io.BytesIO(images[-1].encoded_image_string))
    assert picture.shape[0] > 300 and picture[..., :3].std() > 0.05


def test_the_embedding_projector_shows_the_last_vectors(run: Path) -> None:
    config = text_format.Parse((run / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    vectors = np.loadtxt(run / embedding.tensor_path, delimiter="\t")
    header, *rows = (run / embedding.metadata_path).read_text().splitlines()
    assert header == "word\tcount" and len(rows) == len(vectors) == len(WORDS)
    loaded = Run.load(run, checkpoint="last")
    assert checkpoint_file(run).exists()
    for row, vector in zip(rows, vectors, strict=True):
        word, count = row.split("\t")
        instances = np.flatnonzero(loaded.store.word_id == loaded.store.types.index(word))
        assert len(instances) == int(count)
        of_instances = encode_instances(loaded.model, loaded.store, instances)
        assert (of_instances.min(0) - 1e-5 <= vector).all() and (vector <= of_instances.max(0) + 1e-5).all()


def test_tensorboard_itself_shows_the_projector(run: Path) -> None:
    multiplexer = EventMultiplexer()
    multiplexer.AddRun(str(run), ".")
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(run))
    plugin = ProjectorPlugin(TBContext(data_provider=provider, logdir=str(run)))
    plugin._determine_is_active()  # what it does in a thread of its own
    assert plugin.is_active()
    (embedding,) = plugin._configs["."].embeddings
    assert list(embedding.tensor_shape) == [len(WORDS), 8]
