"""Real fits of a small network on forty images."""

import random
import threading
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.models import build
from cnnlab.models import checkpoint as checkpoints
from cnnlab.models import fit as fits
from cnnlab.records import Run
from cnnlab.study import Architecture, Training, Trial

SMALL = Trial(
    Architecture(filters=(4, 8), padding="same", dense_units=8, dropout=(0.1, 0.1, 0.1)),
    Training(epochs=4, batch_size=8),
)


@pytest.fixture(scope="module")
def split(tiny):
    return data.split(tiny, "stratified", 20, 8, 10)


@pytest.fixture(scope="module")
def fit(tiny, split):
    def go(trial=SMALL, seed=1, dataset=tiny, split=split):
        return fits.run(Run(trial, seed, dataset.digest, split.digest), dataset, split)

    return go


@pytest.fixture(scope="module")
def done(fit):
    return fit()


def test_a_run_leaves_scores_history_and_probabilities(done, tiny, split):
    record, arrays = done
    assert record.epochs == 4
    assert set(record.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert record.split == {"digest": split.digest, "train": 20, "val": 6, "test": 10, "pool": 30}
    assert arrays["val_probs"].shape == (6, 2)
    np.testing.assert_allclose(arrays["test_probs"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(arrays["test_labels"], tiny.test_labels[split.test])
    assert record.scores["test_accuracy"] == (arrays["test_probs"].argmax(1) == arrays["test_labels"]).mean()


def test_the_same_run_twice_gives_bit_identical_weights(done, fit):
    record, arrays = fit()
    assert record.scores == done[0].scores
    for name, values in done[1].items():
        np.testing.assert_array_equal(arrays[name], values)


@pytest.mark.parametrize("predicted_at_once", [4, 256])
def test_the_history_has_means_over_all_images_not_those_of_the_last_batch(fit, monkeypatch, predicted_at_once):
    monkeypatch.setattr(fits, "PREDICT_BATCH", predicted_at_once)
    record, _ = fit()
    best = record.best_epoch - 1
    assert record.history["val_accuracy"][best] == pytest.approx(record.scores["val_accuracy"])
    assert record.history["val_loss"][best] == pytest.approx(record.scores["val_loss"], rel=1e-5)
    # Weights that stay as they are give the same loss in every epoch, though the last batch has other images.
    still, _ = fit(SMALL.change(optimizer="sgd", learning_rate=1e-30, dropout=(), epochs=3, batch_size=16))
    assert still.history["loss"] == pytest.approx([still.history["loss"][0]] * 3, rel=1e-5)
    correct = [accuracy * 20 for accuracy in still.history["accuracy"]]
    assert correct == pytest.approx([correct[0]] * 3)


def test_each_epoch_is_told_as_it_begins_and_that_changes_nothing(done, tiny, split):
    told = []
    record, _ = fits.run(Run(SMALL, 1, tiny.digest, split.digest), tiny, split, on_epoch=told.append)
    assert told == [1, 2, 3, 4]
    assert record.history == done[0].history


def test_training_images_come_in_another_order_in_every_epoch(fit, monkeypatch):
    """Keras, seeded once and asked for all epochs, shows them in one and the same order."""
    import keras

    seen = []

    def watched(model, settings, compile_model=fits.compile_model):
        compile_model(model, settings)
        model.run_eagerly = True
        step = model.train_step

        def train_step(data):
            seen.append(keras.ops.convert_to_numpy(data[0]))
            return step(data)

        model.train_step = train_step

    monkeypatch.setattr(fits, "compile_model", watched)
    monkeypatch.setattr(fits, "_idle", {})
    fit(SMALL.change(epochs=3))
    batches = len(seen) // 3
    epochs = [np.concatenate(seen[start : start + batches]) for start in range(0, len(seen), batches)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)


HARD = SMALL.change(batch_norm=True, augmentation="flip-shift", epochs=3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamax", "nadam"])
def test_a_model_that_was_traced_for_another_run_gives_bit_identical_weights(fit, tiny, monkeypatch, optimizer):
    """Another seed, rate, batch size and draw went before, with dropout, batch normalisation and augmentation."""
    trial = HARD.change(optimizer=optimizer)
    monkeypatch.setattr(fits, "_idle", {})
    other = data.split(tiny, "stratified", 20, 8, 10, draw=3)
    fit(trial.change(batch_size=7, learning_rate=0.5), seed=9, split=other)
    traced = next(iter(fits._idle.values()))
    record, arrays = fit(trial)
    assert next(iter(fits._idle.values())) is traced
    monkeypatch.setattr(fits, "_idle", {})
    alone, its_arrays = fit(trial)
    assert record.history == alone.history
    for name, values in its_arrays.items():
        np.testing.assert_array_equal(arrays[name], values)


def test_a_run_with_fewer_images_does_not_share_a_traced_model(fit, tiny, monkeypatch):
    monkeypatch.setattr(fits, "_idle", {})
    fit()
    traced = next(iter(fits._idle.values()))
    fit(split=data.split(tiny, "stratified", 10, 8, 10))
    assert next(iter(fits._idle.values())) is not traced


def test_a_run_that_failed_leaves_no_traced_model_behind(fit, monkeypatch):
    monkeypatch.setattr(fits, "_idle", {})

    def fail(*_):
        raise RuntimeError

    fit()
    with monkeypatch.context() as patch:
        patch.setattr(fits, "score", fail)
        with pytest.raises(RuntimeError):
            fit()
    assert fits._idle == {}


def test_16_bit_activations_are_another_trial_and_learn_too(fit, done):
    trial = HARD.change(
        precision="mixed_bfloat16", epochs=12, patience=None, learning_rate=0.01, batch_norm_momentum=0.5
    )
    record, arrays = fit(trial)
    assert record.scores["val_accuracy"] > 0.8
    assert {str(values.dtype) for name, values in arrays.items() if "labels" not in name} == {"float32"}
    assert record.digest != fit(trial.change(precision="float32"))[0].digest


@pytest.fixture
def interrupted(tiny, split, tmp_path, monkeypatch):
    """A run that was interrupted in its third epoch: the run's own arguments, and its checkpoint."""
    monkeypatch.setattr(fits, "CHECKPOINT_SECONDS", 0)
    work = Run(SMALL, 1, tiny.digest, split.digest), tiny, split, str(tmp_path)

    def note(self, *args, whole=checkpoints.FitState.add_epoch):
        if self.epochs == 2:
            raise KeyboardInterrupt
        whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.FitState, "add_epoch", note)
        with pytest.raises(KeyboardInterrupt):
            fits.run(*work)
    (checkpoint,) = tmp_path.iterdir()
    return work, checkpoint


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "epochs"),
    [
        (lambda path, _: None, 2),
        (lambda path, _: flip(path), 4),
        (lambda path, _: path.write_bytes(path.read_bytes()[:100]), 4),
        (lambda path, _: path.write_bytes(b""), 4),
        (lambda path, _: path.unlink(), 4),
        (lambda _, patch: patch.setattr(checkpoints, "__version__", "0.0.0"), 4),
    ],
    ids=["whole", "flipped", "cut short", "empty", "gone", "of another version"],
)
def test_a_fit_goes_on_from_a_whole_checkpoint_and_begins_anew_without(interrupted, done, monkeypatch, spoil, epochs):
    work, checkpoint = interrupted
    spoil(checkpoint, monkeypatch)
    made = []

    def note(self, *args, whole=checkpoints.FitState.add_epoch):
        made.append(1)
        whole(self, *args)

    monkeypatch.setattr(checkpoints.FitState, "add_epoch", note)
    record, arrays = fits.run(*work)
    assert len(made) == epochs
    assert record.history == done[0].history
    for name, values in done[1].items():
        np.testing.assert_array_equal(arrays[name], values)


def test_a_worker_without_the_folder_for_checkpoints_goes_on_without(tiny, split, tmp_path, done, monkeypatch):
    monkeypatch.setattr(fits, "CHECKPOINT_SECONDS", 0)
    record, _ = fits.run(Run(SMALL, 1, tiny.digest, split.digest), tiny, split, str(tmp_path / "elsewhere"))
    assert record.history == done[0].history
    assert not list(tmp_path.iterdir())


def test_other_threads_that_draw_random_numbers_change_nothing(done, fit):
    """Workers have such threads: they once changed every initial weight."""
    stop = threading.Event()

    def disturb():
        while not stop.wait(0.0001):
            random.random()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        again = fit()[0]
    finally:
        stop.set()
        thread.join()
    assert again.history == done[0].history


def test_trials_with_equal_layers_start_from_equal_weights(tiny):
    def first(**changes):
        trial = SMALL.change(**changes)
        model = build(trial.architecture, tiny.image_shape, 2, trial.input.augmentation, seed=5)
        return model.get_weights()[0]

    np.testing.assert_array_equal(first(), first(dropout=(), augmentation="flip-shift"))


def test_another_seed_gives_another_fit(done, fit):
    assert fit(seed=2)[0].history != done[0].history


def test_the_test_images_reach_nothing_but_the_test_scores(done, fit, tiny):
    other = replace(tiny, test_images=255 - tiny.test_images, test_labels=1 - tiny.test_labels)
    record, arrays = fit(dataset=other)
    assert record.history == done[0].history
    for name in arrays:
        if not name.startswith("test"):
            np.testing.assert_array_equal(arrays[name], done[1][name])


def test_the_best_epochs_weights_are_scored_unless_the_last_are_asked_for(fit):
    trial = SMALL.change(epochs=8, learning_rate=2.0, optimizer="sgd", patience=8)
    best, last = fit(trial)[0], fit(trial.change(restore_best_weights=False))[0]
    assert best.history == last.history
    assert best.best_epoch < 8, "the fit must get worse for this test to show anything"
    assert best.scores["val_loss"] == pytest.approx(min(best.history["val_loss"]), rel=1e-4)
    assert last.scores["val_loss"] == pytest.approx(last.history["val_loss"][-1], rel=1e-4)


def test_a_fit_ends_when_patience_runs_out(fit):
    trial = SMALL.change(epochs=60, learning_rate=2.0, optimizer="sgd", patience=2)
    record = fit(trial)[0]
    assert record.epochs == record.best_epoch + 2


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_squared_logarithmic_error", "hinge", "kl_divergence"])
def test_a_loss_that_needs_one_hot_labels_learns_with_them(fit, loss):
    record = fit(SMALL.change(loss=loss, epochs=12, learning_rate=0.01, patience=None))[0]
    assert record.scores["val_accuracy"] > 0.8
    assert record.scores["val_loss"] == pytest.approx(min(record.history["val_loss"]), rel=1e-3, abs=1e-5)


def test_integer_labels_for_every_loss_can_be_repeated_and_score_as_keras_scores_them(fit):
    record = fit(SMALL.change(loss="mean_squared_error", one_hot=False))[0]
    assert record.scores["val_loss"] == pytest.approx(min(record.history["val_loss"]), rel=1e-3)


def test_a_run_that_diverges_is_a_result(fit):
    record, _ = fit(SMALL.change(optimizer="sgd", learning_rate=1e30, loss="mean_squared_error"))
    assert 0 <= record.scores["test_f1"] <= 1
