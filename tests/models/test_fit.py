"""Real fits of a small network on forty images."""

import random
import threading
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.models import build
from cnnlab.models import checkpoint as checkpoints
from cnnlab.models import fit as fits
from cnnlab.records import HISTORY, Run
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
    def go(trial=SMALL, seed=1, dataset=tiny, split=split, **more):
        return fits.run(Run(trial, seed, dataset.digest, split.digest), dataset, split, **more)

    return go


@pytest.fixture(scope="module")
def done(fit):
    return fit()


def val_scores_of(record, epoch=None):
    """The validation scores in the history of an epoch, from 1, or those of the weights that were kept."""
    names = ("val_loss", "val_f1", "val_accuracy")
    return [record.history[name][epoch - 1] if epoch else record.scores[name] for name in names]


def test_a_run_leaves_scores_history_and_probabilities(done, tiny, split):
    record, arrays = done
    assert record.epochs == 4
    assert set(record.history) == set(HISTORY)
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
    assert val_scores_of(record, record.best_epoch) == val_scores_of(record)
    # Weights that stay as they are give the same loss in every epoch, though the last batch has other images.
    still, _ = fit(SMALL.change(optimizer="sgd", learning_rate=1e-30, dropout=(), epochs=3, batch_size=16))
    assert still.history["loss"] == pytest.approx([still.history["loss"][0]] * 3, rel=1e-5)
    correct = [accuracy * 20 for accuracy in still.history["accuracy"]]
    assert correct == pytest.approx([correct[0]] * 3)


def test_each_epoch_is_told_with_its_metrics_as_it_ends_and_that_changes_nothing(done, fit, monkeypatch):
    monkeypatch.setattr(fits, "_idle", {})
    for starts in ([(0, {})], []):  # a model is traced once
        told = []
        record, _ = fit(on_epoch=lambda *epoch, told=told: told.append(epoch))
        assert record.history == done[0].history
        epochs = [(n + 1, {name: values[n] for name, values in record.history.items()}) for n in range(4)]
        assert told == starts + epochs
        assert {type(value) for _, metrics in epochs for value in metrics.values()} == {float}


def test_an_error_of_the_caller_ends_a_fit_after_the_epoch_and_its_checkpoint(done, fit, tmp_path, monkeypatch):
    monkeypatch.setattr(fits, "CHECKPOINT_SECONDS", 0)

    def stop(epoch, _):
        if epoch == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        fit(SMALL, checkpoints=str(tmp_path), on_epoch=stop)
    told = []
    record, _ = fit(SMALL, checkpoints=str(tmp_path), on_epoch=lambda epoch, _: told.append(epoch))
    assert told == [0, 3, 4]
    assert record.history == done[0].history


def test_training_images_come_in_another_order_in_every_epoch(fit, monkeypatch):
    """Keras, seeded once and asked for all epochs, shows them in one and the same order."""
    import keras

    seen = []

    def watched(model, settings, steps, compile_model=fits.compile_model):
        compile_model(model, settings, steps)
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


RECIPE = SMALL.change(
    optimizer="sgd", learning_rate=0.1, schedule="one-cycle", momentum=0.9, weight_decay=5e-3, label_smoothing=0.1,
    averaging=0.5, head="average", augmentation="flip-crop", batch_norm=True, batch_norm_momentum=0.5,
)  # fmt: skip
"""Today's ingredients, all at once: 4 epochs of 3 steps."""


@pytest.fixture(scope="module")
def recipe(fit):
    fits._idle.clear()
    return fit(RECIPE)


def check_same(found, expected):
    """Two fits are the same, bit for bit."""
    assert found[0].history == expected[0].history
    assert found[0].scores == expected[0].scores
    for name, values in expected[1].items():
        np.testing.assert_array_equal(found[1][name], values)


@pytest.mark.parametrize(
    ("before", "shared"),
    [
        ({"learning_rate": 0.5}, False),
        ({"epochs": 3}, False),
        ({"label_smoothing": 0.4}, True),
        ({"patience": 1, "restore_best_weights": False}, True),
    ],
    ids=["another rate", "fewer epochs", "smoother labels", "the last weights"],
)
def test_a_fit_with_todays_ingredients_has_the_same_bits_after_another_run_as_alone(
    recipe, fit, monkeypatch, before, shared
):
    monkeypatch.setattr(fits, "_idle", {})
    fit(RECIPE.change(**before), seed=9)
    traced = next(iter(fits._idle.values()))
    check_same(fit(RECIPE), recipe)
    assert (next(iter(fits._idle.values())) is traced) == shared


@pytest.mark.slow
@pytest.mark.parametrize(("finished", "kept"), [(1, "best"), (3, "best"), (4, "last")])
def test_a_fit_with_todays_ingredients_resumes_as_if_it_had_not_been_interrupted(
    recipe, fit, tmp_path, monkeypatch, finished, kept
):
    """It may resume in a model that was traced for another run, or after its last epoch."""
    trial = RECIPE.change(restore_best_weights=kept == "best")
    monkeypatch.setattr(fits, "CHECKPOINT_SECONDS", 0)
    whole = recipe if kept == "best" else fit(trial)

    def stop(epoch, _):
        if epoch == finished:
            raise CancelledError

    with pytest.raises(CancelledError):
        fit(trial, checkpoints=str(tmp_path), on_epoch=stop)
    if finished == 3:
        fit(trial, seed=9)
    told = []
    resumed = fit(trial, checkpoints=str(tmp_path), on_epoch=lambda epoch, _: told.append(epoch))
    assert [epoch for epoch in told if epoch] == list(range(finished + 1, 5))
    check_same(resumed, whole)


def test_a_schedule_ends_with_the_last_step_of_the_last_epoch(fit, monkeypatch):
    monkeypatch.setattr(fits, "_idle", {})
    fit(RECIPE)
    [model] = fits._idle.values()
    assert int(model.whole.optimizer.iterations) == 4 * 3
    assert float(model.whole.optimizer.learning_rate) == pytest.approx(0, abs=1e-8)
    model.whole.optimizer.iterations.assign(2)
    assert float(model.whole.optimizer.learning_rate) == pytest.approx(0.1), "a fifth of 12 steps"


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothed_labels_give_the_loss_that_keras_gives_with_label_smoothing(smoothing):
    import keras

    rng = np.random.default_rng(0)
    labels, probs = rng.integers(0, 5, 40), rng.dirichlet(np.ones(5), 40).astype(np.float32)
    settings = Training(label_smoothing=smoothing)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Activation("linear")])
    fits.compile_model(model, settings)
    found = model.test_on_batch(probs, fits.train_targets(labels, 5, settings), return_dict=True)
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(np.eye(5)[labels], probs)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert found["accuracy"] == pytest.approx((probs.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("settings", [Training(), Training(loss="hinge", label_smoothing=0.1)])
def test_labels_are_smoothed_for_the_cross_entropy_alone(settings):
    labels = np.array([0, 2, 1])
    np.testing.assert_array_equal(fits.train_targets(labels, 3, settings), fits.targets(labels, 3, settings))


def test_smoothed_labels_leave_the_validation_loss_that_of_the_labels(recipe):
    record, arrays = recipe
    of_labels = -np.log(arrays["val_probs"][np.arange(6), arrays["val_labels"]])
    assert record.scores["val_loss"] == pytest.approx(of_labels.mean(), rel=1e-5)
    assert val_scores_of(record) == val_scores_of(record, record.best_epoch)


def test_the_moving_averages_of_the_weights_are_scored_and_training_goes_on_with_the_weights(fit):
    """One step an epoch, so that fits of one to three epochs show the weights after each step."""
    trial = SMALL.change(batch_size=20, learning_rate=0.05, patience=None, restore_best_weights=False)
    steps = [fit(trial.change(epochs=epochs)) for epochs in (1, 2, 3)]
    record, arrays = fit(trial.change(epochs=3, averaging=0.75))
    for name in (name for name in arrays if name.startswith("weight")):
        first, second, third = (weights[name] for _, weights in steps)
        expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        np.testing.assert_allclose(arrays[name], expected, rtol=1e-4, atol=1e-6)
        assert (arrays[name] != third).any()
    assert record.history["loss"] == pytest.approx(steps[-1][0].history["loss"], rel=1e-5)
    assert record.history["val_loss"][1:] != pytest.approx(steps[-1][0].history["val_loss"][1:], rel=1e-3)
    assert val_scores_of(record) == val_scores_of(record, 3)


def test_todays_ingredients_learn(fit):
    assert fit(RECIPE.change(epochs=12, patience=None, augmentation="none"))[0].scores["val_accuracy"] > 0.8


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
    assert val_scores_of(best) == val_scores_of(best, best.best_epoch)
    assert val_scores_of(last) == val_scores_of(last, 8)


def test_a_fit_ends_when_patience_runs_out(fit):
    trial = SMALL.change(epochs=60, learning_rate=2.0, optimizer="sgd", patience=2)
    record = fit(trial)[0]
    assert record.epochs == record.best_epoch + 2


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_squared_logarithmic_error", "hinge", "kl_divergence"])
def test_a_loss_that_needs_one_hot_labels_learns_with_them(fit, loss):
    record = fit(SMALL.change(loss=loss, epochs=12, learning_rate=0.01, patience=None))[0]
    assert record.scores["val_accuracy"] > 0.8
    assert val_scores_of(record) == val_scores_of(record, record.best_epoch)


def test_integer_labels_for_every_loss_can_be_repeated_and_score_as_keras_scores_them(fit):
    record = fit(SMALL.change(loss="mean_squared_error", one_hot=False))[0]
    assert val_scores_of(record) == val_scores_of(record, record.best_epoch)


@pytest.mark.parametrize("changes", [{}, {"loss": "kl_divergence"}, {"loss": "hinge", "one_hot": False}])
def test_the_scores_are_those_of_keras_for_the_weights_of_the_run(fit, tiny, split, changes):
    trial = SMALL.change(**changes)
    record, arrays = fit(trial)
    model = build(trial.architecture, tiny.image_shape, 2)
    model.set_weights([values for name, values in sorted(arrays.items()) if name.startswith("weight")])
    fits.compile_model(model, trial.training)
    labels = fits.targets(arrays["val_labels"], 2, trial.training)
    scores = model.test_on_batch(tiny.train_images[split.val] / np.float32(255), labels, return_dict=True)
    assert record.scores["val_loss"] == pytest.approx(scores["loss"], rel=1e-5)
    assert record.scores["val_accuracy"] == pytest.approx(scores["accuracy"])


def test_a_run_that_diverges_is_a_result(fit):
    record, _ = fit(SMALL.change(optimizer="adam", learning_rate=3e38))
    assert 0 <= record.scores["test_f1"] <= 1
    assert np.isnan(record.history["val_loss"]).all()
    assert all(0 <= value <= 1 for value in record.history["val_f1"])
