"""EnergyModel as a Keras model: each habit of Keras' users, tried as they would."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.distributed.batch_shares import share_of_batch
from tf_mdsm.energy_model import BandMean, EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.convolutions import JoinedConv2D, MeanPooledConv2D
from tf_mdsm.networks.heads import (
    DistanceHead,
    LinearHead,
    ProductHead,
    QuadraticHead,
    TwoGuessesHead,
)
from tf_mdsm.networks.layers import NoiseScaling, SiLU
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.sampling import sample
from tf_mdsm.training.optimizers import Adam, WarmUp

SHAPE = (8, 8, 1)
NUM_IMAGES, BATCH = 20, 8  # The last batch is short.


def toy_network():
    """The cheapest network to trace: energies [B, 1] of images [B, 8, 8, 1]."""
    layers = keras.layers
    x = images = keras.Input(SHAPE)
    for seed, layer in enumerate((layers.Dense(4, "silu"), layers.Dense(1, use_bias=False))):
        layer.kernel_initializer = keras.initializers.GlorotUniform(seed)
        x = layer(layers.Flatten()(x))
    return keras.Model(images, x, name="toy")


def new_model(optimizer=None, network=None, ema_momentum=0.0, **options):
    model = EnergyModel(
        network or toy_network(), NoiseLevels(0.1, 1.0, 8), ema_momentum=ema_momentum
    )
    model.compile(optimizer or keras.optimizers.SGD(1e-5), **options)
    return model


def new_stateful_model():
    """With averages, and an optimizer that remembers."""
    return new_model(Adam(1e-3), ema_momentum=0.9)


def images(count=NUM_IMAGES, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *SHAPE)).astype(np.float32)


def fit(model, x=None, batch_size=BATCH, **options):
    """As `model.fit`, without output, in the order of the images."""
    x = images() if x is None else x
    return model.fit(x, batch_size=batch_size, verbose=0, shuffle=False, **options).history


def dataset(count=NUM_IMAGES):
    return tf.data.Dataset.from_tensor_slices(images(count)).batch(BATCH)


class Batches(keras.utils.PyDataset):
    """The images in batches, the last one short."""

    def __len__(self):
        return -(-NUM_IMAGES // BATCH)

    def __getitem__(self, index):
        return images()[BATCH * index : BATCH * (index + 1)]


def require_same_state(model, other):
    """All variables are equal: weights, averages, optimizer."""
    for name in ("weights", "optimizer"):
        ours, theirs = (
            (m.weights if name == "weights" else m.optimizer.variables) for m in (model, other)
        )
        assert len(ours) == len(theirs) > 0
        for ours_one, theirs_one in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(ours_one, theirs_one, err_msg=ours_one.path)


# Configurations


OBJECTS = {
    "NoiseLevels": lambda: NoiseLevels(0.1, 2.0, 16, "geometric", weighting="edm"),
    "SiLU": SiLU,
    "NoiseScaling": NoiseScaling,
    "MeanPooledConv2D": lambda: MeanPooledConv2D(4, 3, padding="same"),
    "JoinedConv2D": lambda: JoinedConv2D(4, 3, padding="same"),
    "LinearHead": lambda: LinearHead([3]),
    "QuadraticHead": lambda: QuadraticHead([1, 2, 3, 4, 5]),
    "DistanceHead": lambda: DistanceHead(0.2),
    "ProductHead": lambda: ProductHead(0.2),
    "TwoGuessesHead": lambda: TwoGuessesHead(0.2),
    "Adam": lambda: Adam(1e-2, 0.5, 0.75, 1e-6),
    "Adam with WarmUp": lambda: Adam(
        WarmUp(keras.optimizers.schedules.CosineDecay(0.5, 10, alpha=0.25), 4)
    ),
    "WarmUp": lambda: WarmUp(0.5, 4),
    "BandMean": lambda: BandMean(8, name="loss_per_band"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_come_back_from_their_configuration(name):
    """Through JSON and by their registered names, as in a `.keras` file."""
    made = OBJECTS[name]()
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is type(made)
    assert described["registered_name"].startswith("tf_mdsm>")
    assert again.get_config() == made.get_config()
    assert type(made).from_config(made.get_config()).get_config() == made.get_config()


def test_get_config_and_from_config():
    model = EnergyModel(
        build_network("dense", SHAPE, 4, seed=1),
        NoiseLevels(0.1, 2.0, 16),
        ema_momentum=0.5,
        seed=7,
        compile_gradients=True,
        clip_norm=2.0,
        accumulation_steps=3,
        name="faces",
    )
    config = json.loads(json.dumps(model.get_config()))
    again = EnergyModel.from_config(config)
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())
    assert again.noise == model.noise
    assert (again.name, again.noise_seed, again.clip_norm) == ("faces", 7, 2.0)
    np.testing.assert_array_equal(again(images()), model(images()))
    from_json = keras.models.model_from_json(model.to_json())
    assert json.dumps(from_json.get_config()) == json.dumps(model.get_config())


# Saving and loading


@pytest.mark.parametrize("ema_momentum", [0.0, 0.9])
def test_save_and_load_model(tmp_path, ema_momentum):
    """Training goes on as if it had never stopped, bit for bit."""
    schedule = WarmUp(keras.optimizers.schedules.CosineDecay(1e-2, 20), 4)
    stopped = new_model(Adam(schedule), ema_momentum=ema_momentum, steps_per_execution=2)
    fit(stopped)
    stopped.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert type(loaded) is EnergyModel
    assert loaded.steps_per_execution == 2
    require_same_state(loaded, stopped)
    fit(loaded)
    whole = new_model(Adam(schedule), ema_momentum=ema_momentum, steps_per_execution=2)
    fit(whole, epochs=2)
    require_same_state(loaded, whole)
    np.testing.assert_array_equal(loaded.energy(images()), whole.energy(images()))


def test_load_model_without_compiling(tmp_path):
    model = new_model()
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras", compile=False)
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded.energy(images()), model.energy(images()))


def test_save_weights_and_load_weights(tmp_path):
    model, other = new_stateful_model(), new_stateful_model()
    fit(model)
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    require_same_state(other, model)


def test_weights_of_another_model_are_refused_in_one_sentence(tmp_path):
    narrow, wide = (new_model(network=build_network("dense", SHAPE, width)) for width in (4, 8))
    narrow.save(tmp_path / "x.keras")
    with pytest.raises(InvalidArgument, match="`filepath` must hold weights of this model") as info:
        wide.load_weights(tmp_path / "x.keras")
    assert "\n" not in str(info.value)


def test_get_weights_and_set_weights():
    model, other = new_stateful_model(), new_stateful_model()
    fit(model)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other.energy(images()), model.energy(images()))


def test_clone_model():
    model = new_model()
    fit(model)
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(clone(images()), new_model()(images()))
    assert clone.compiled
    assert clone.noise == model.noise


# Callbacks


def test_model_checkpoint_of_the_whole_model(tmp_path):
    model = new_stateful_model()
    callback = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss")
    fit(model, epochs=2, callbacks=[callback])
    require_same_state(keras.models.load_model(tmp_path / "2.keras"), model)
    assert (tmp_path / "1.keras").exists()


def test_model_checkpoint_of_the_weights(tmp_path):
    model, other = new_model(), new_model()
    path = tmp_path / "best.weights.h5"
    callback = keras.callbacks.ModelCheckpoint(
        path, monitor="val_loss", save_best_only=True, save_weights_only=True
    )
    fit(model, validation_data=images(6, seed=1), callbacks=[callback])
    other.load_weights(path)
    require_same_state(other, model)


class Interruption(Exception):
    """Ends `fit` in its second epoch."""


def test_backup_and_restore(tmp_path):
    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    def interrupt(epoch, logs):
        if epoch == 1:
            raise Interruption

    interruption = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    whole, restarted = new_stateful_model(), new_stateful_model()
    fit(whole, epochs=3)
    with pytest.raises(Interruption):
        fit(new_stateful_model(), epochs=3, callbacks=[backup(), interruption])
    history = fit(restarted, epochs=3, callbacks=[backup()])
    assert len(history["loss"]) == 2
    require_same_state(restarted, whole)


def test_early_stopping_restores_the_best_weights():
    # The loss only rises, so the weights of the first epoch are the best.
    model, first = (new_model(keras.optimizers.SGD(-1e-4), ema_momentum=0.5) for _ in range(2))
    fit(first)
    callback = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    history = fit(model, epochs=9, callbacks=[callback])
    assert len(history["loss"]) == 3
    for best, weight in zip(first.weights, model.weights, strict=True):
        np.testing.assert_array_equal(best, weight)


def test_tensorboard(tmp_path):
    callback = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq="batch")
    fit(new_model(), validation_data=images(6), callbacks=[callback])
    tags = {
        value.tag
        for path in tmp_path.rglob("events*")
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for value in tf.compat.v1.Event.FromString(record).summary.value
    }
    assert {"epoch_loss", "epoch_gradient_norm", "batch_loss"} <= tags


@pytest.mark.parametrize("monitor", ["loss", "gradient_norm", "val_loss"])
def test_reduce_lr_on_plateau(monitor):
    model = new_model()
    callback = keras.callbacks.ReduceLROnPlateau(
        monitor, factor=0.5, patience=1, min_delta=1e9, mode="min"
    )
    fit(model, epochs=2, validation_data=images(6), callbacks=[callback])
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(5e-6)


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    fit(
        new_model(),
        validation_data=images(6),
        epochs=2,
        callbacks=[keras.callbacks.CSVLogger(path)],
    )
    header, *rows = path.read_text().splitlines()
    assert header == "epoch,gradient_norm,loss,val_loss"
    assert len(rows) == 2


def test_terminate_on_nan():
    model = new_model(keras.optimizers.SGD(1e30))
    history = fit(model, epochs=9, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert not np.isfinite(history["loss"][-1])
    assert len(history["loss"]) < 9


# Data


def generator():
    while True:
        for batch in np.split(images(16), 2):
            yield (batch,)


SOURCES = {
    "NumPy": (images, {"batch_size": BATCH}),
    "tensor": (lambda: tf.constant(images()), {"batch_size": BATCH}),
    "float64": (lambda: images().astype(np.float64), {"batch_size": BATCH}),
    "float16": (lambda: images().astype(np.float16), {"batch_size": BATCH}),
    "bfloat16 tensor": (lambda: tf.cast(images(), tf.bfloat16), {"batch_size": BATCH}),
    "uint8": (lambda: (255 * images()).astype(np.uint8), {"batch_size": BATCH}),
    "tf.data": (dataset, {}),
    "tf.data of uint8": (lambda: dataset().map(lambda x: tf.cast(255 * x, tf.uint8)), {}),
    "infinite tf.data": (lambda: dataset(16).repeat(), {"steps_per_epoch": 3}),
    "PyDataset": (Batches, {}),
    "generator": (generator, {"steps_per_epoch": 3}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_fit_on(name):
    source, options = SOURCES[name]
    model = new_model()
    history = model.fit(source(), epochs=2, verbose=0, **options).history
    assert set(history) == {"loss", "gradient_norm"}
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations.numpy()) == 6


def test_sources_of_the_same_images_train_the_same_weights():
    models = [new_model() for _ in range(4)]
    fit(models[0])
    fit(models[1], tf.constant(images()))
    models[2].fit(dataset(), verbose=0)
    models[3].fit(Batches(), verbose=0, shuffle=False)
    for model in models[1:]:
        require_same_state(model, models[0])


def test_validation_data_and_validation_split():
    x = images()
    split, given = new_model(), new_model()
    split = fit(split, x, validation_split=0.4)
    given = fit(given, x[:12], validation_data=x[12:])
    assert split == given
    assert set(split) == {"loss", "gradient_norm", "val_loss"}


def test_validation_data_of_each_kind():
    x = images()
    batches = tf.data.Dataset.from_tensor_slices(x).batch(BATCH)
    assert fit(new_model(), x, validation_data=batches) == fit(
        new_model(), x, validation_data=(x, None)
    )


def test_short_last_batch_with_accumulated_gradients():
    """7 images in 3 parts: the loss and the update are those of the 7 images at once."""
    models = [
        EnergyModel(
            build_network("dense", SHAPE, 4, seed=1), NoiseLevels(0.1, 1.0, 8), accumulation_steps=n
        )
        for n in (1, 3)
    ]
    history = []
    for model in models:
        model.compile(keras.optimizers.SGD(1e-4))
        history.append(fit(model, images(16), batch_size=9))
    assert history[0]["loss"] == pytest.approx(history[1]["loss"], rel=1e-5)
    for whole, parts in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_initial_epoch():
    history = new_model().fit(images(), epochs=3, initial_epoch=2, verbose=0)
    assert history.epoch == [2]


def test_steps_per_execution():
    one, several = new_model(), new_model(steps_per_execution=4)
    assert fit(one, epochs=2)["loss"] == pytest.approx(fit(several, epochs=2)["loss"], rel=1e-5)
    assert int(several.optimizer.iterations.numpy()) == 6


LABELS = np.zeros(NUM_IMAGES, np.int64)


@pytest.mark.parametrize(
    "call",
    {
        "tf.data": lambda m: m.fit(
            tf.data.Dataset.from_tensor_slices((images(), LABELS)).batch(BATCH), verbose=0
        ),
        "y": lambda m: m.fit(images(), LABELS, verbose=0),
        "validation": lambda m: m.fit(images(), validation_data=(images(), LABELS), verbose=0),
        "evaluate": lambda m: m.evaluate(images(), LABELS, verbose=0),
        "train_on_batch": lambda m: m.train_on_batch(images(), LABELS),
        "test_on_batch": lambda m: m.test_on_batch(images(), LABELS),
    }.items(),
    ids=lambda item: item[0],
)
def test_labels_are_refused(call):
    with pytest.raises(InvalidArgument, match=r"dataset\.map\(lambda image, label: image\)"):
        call[1](new_model())


@pytest.mark.parametrize(
    "options", [{"class_weight": {0: 1.0}}, {"sample_weight": np.ones(NUM_IMAGES)}]
)
def test_weights_of_images_are_refused(options):
    (name,) = options
    with pytest.raises(InvalidArgument, match=f"`{name}` must"):
        new_model().fit(images(), verbose=0, **options)


@pytest.mark.parametrize(
    "options",
    [{"loss": "mse"}, {"metrics": ["mae"]}, {"weighted_metrics": ["mae"]}, {"loss_weights": [1.0]}],
)
def test_another_loss_is_refused(options):
    (name,) = options
    with pytest.raises(InvalidArgument, match=f"`{name}` must"):
        new_model(**options)


# Uses of a model


def test_evaluate_and_test_on_batch():
    model, x = new_model(), images()
    loss = model.evaluate(x, batch_size=BATCH, verbose=0)
    assert model.evaluate(x, batch_size=BATCH, verbose=0, return_dict=True) == {"loss": loss}
    assert model.evaluate(dataset(), verbose=0) == loss
    expected = model.validation_losses(x, 0).numpy().mean()
    assert model.test_on_batch(x) == pytest.approx(expected, rel=1e-6)
    assert model.evaluate(x, batch_size=NUM_IMAGES, verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("wrong", [255 * images(), np.nan * images(), np.ones((4, 9, 9, 1))])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_evaluate_refuses_what_fit_refuses(wrong, as_dataset):
    source = tf.data.Dataset.from_tensor_slices(wrong).batch(BATCH) if as_dataset else wrong
    for call in ("fit", "evaluate"):
        with pytest.raises(InvalidArgument, match="must"):
            getattr(new_model(), call)(source, verbose=0)


@pytest.mark.parametrize("none", [images()[:0], tf.constant(images()[:0])], ids=["NumPy", "tensor"])
@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_no_image_is_refused(call, none):
    with pytest.raises(InvalidArgument, match="`x` must hold at least one image"):
        getattr(new_model(), call)(none, verbose=0)


def test_noise_levels_of_tensors_come_back_from_a_file(tmp_path):
    model = EnergyModel(toy_network(), NoiseLevels(0.25, tf.constant(3.0), 16))
    model.save(tmp_path / "x.keras")
    assert keras.models.load_model(tmp_path / "x.keras").noise == NoiseLevels(0.25, 3.0, 16)


def test_train_on_batch():
    model, other = new_model(), new_model()
    loss, norm = model.train_on_batch(images(BATCH))
    history = fit(other, images(BATCH))
    assert (loss, norm) == (history["loss"][0], history["gradient_norm"][0])
    assert set(model.train_on_batch(images(BATCH), return_dict=True)) == {"loss", "gradient_norm"}


def test_predict_and_call():
    model, x = new_model(), images()
    energies = model.energy(x).numpy()
    assert energies.shape == (NUM_IMAGES,)
    np.testing.assert_array_equal(model(x), energies)
    for predicted in (
        model.predict(x, batch_size=BATCH, verbose=0),
        model.predict(dataset(), verbose=0),
        model.predict_on_batch(x),
    ):
        np.testing.assert_allclose(predicted, energies, rtol=1e-6)


def test_predict_before_compile():
    model = EnergyModel(build_network("dense", SHAPE, 4))
    assert model.predict(images(), verbose=0).shape == (NUM_IMAGES,)


def test_summary_and_metrics(capsys):
    model = new_model()
    lines = []
    model.summary(print_fn=lines.append)
    assert "toy (Functional)" in "".join(lines)
    assert [metric.name for metric in model.metrics] == ["loss", "gradient_norm", "loss_per_band"]
    assert model.metrics_names == ["loss", "gradient_norm", "loss_per_band"]
    fit(model)
    model.reset_metrics()
    assert float(model.loss_tracker.result()) == 0


def test_sample():
    """Also after `fit`, which changes the weights that a compiled sampler reads."""
    model, method = new_model(keras.optimizers.SGD(1e-3)), Heun([1.0, 0.3])
    before = model.sample(range(3), method)
    assert before.shape == (3, *SHAPE)
    np.testing.assert_array_equal(model.sample([1], method)[0], before[1])
    fit(model)
    after = model.sample(range(3), method, batch_size=2)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(sample(model, method, seeds=range(3)), after, rtol=1e-4, atol=1e-5)


def test_export(tmp_path):
    """A SavedModel of the energy, with a free batch."""
    model = new_model()
    model.export(tmp_path / "energy", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "energy")
    np.testing.assert_allclose(loaded.serve(images()), model.energy(images()), rtol=1e-6)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "energy"))
        signature = graph.signature_def["serving_default"]
        (fed,), (fetched,) = signature.inputs.values(), signature.outputs.values()
        answer = session.run(fetched.name, {fed.name: images(3)})
    np.testing.assert_allclose(answer, model.energy(images(3)), rtol=1e-6)


# Optimizers and policies


OPTIMIZERS = {
    "a name": lambda: "rmsprop",
    "SGD with momentum": lambda: keras.optimizers.SGD(1e-7, momentum=0.9),
    "SGD clipped": lambda: keras.optimizers.SGD(1e-3, clipnorm=1.0),
    "AdamW with a schedule": lambda: keras.optimizers.AdamW(
        keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9), global_clipnorm=1.0
    ),
    "Lion": lambda: keras.optimizers.Lion(1e-4, clipvalue=1.0),
    "Adam with EMA": lambda: keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.5),
    "Muon": lambda: keras.optimizers.Muon(1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_of_keras(name, tmp_path):
    """They train, and come back from a file."""
    model, x = new_model(OPTIMIZERS[name](), ema_momentum=0.0), images()
    before = model.evaluate(x, verbose=0)
    fit(model, epochs=4)
    assert model.evaluate(x, verbose=0) < before
    model.save(tmp_path / "x.keras")
    require_same_state(keras.models.load_model(tmp_path / "x.keras"), model)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        keras.optimizers.SGD(loss_scale_factor=2.0),
        keras.optimizers.SGD(gradient_accumulation_steps=2),
    ],
    ids=["LossScaleOptimizer", "loss_scale_factor", "gradient_accumulation_steps"],
)
def test_optimizers_that_change_the_loss_or_the_step_are_refused(optimizer):
    with pytest.raises(InvalidArgument, match="`optimizer` must"):
        new_model(optimizer)


@pytest.mark.parametrize("change", ["another optimizer", "a factor"])
def test_an_optimizer_that_is_changed_afterwards_is_refused(change):
    """It would divide gradients that nobody has multiplied."""
    model = new_model(keras.optimizers.SGD(1e-3))
    if change == "a factor":
        model.optimizer.loss_scale_factor = 2.0
    else:
        model.optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3))
        model.optimizer.build(model.network.trainable_variables)
    with pytest.raises(InvalidArgument, match="`optimizer` must not scale the loss"):
        fit(model)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_step_moves_the_weights_by_the_rate_times_the_gradient(policy):
    """No policy changes the scale of gradients or of steps."""
    x, rate = images(BATCH), 1e-3
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = new_model(keras.optimizers.SGD(rate), build_network("dense", SHAPE, 4, seed=1))
        weights = model.network.trainable_weights
        old = [weight.numpy() for weight in weights]
        share = share_of_batch(tf.constant(x))
        levels, noisy = model._add_noise(tf.constant(x), share, 0, "training_noise")
        _, gradients = model._losses_and_gradients(
            tf.constant(x), noisy, model._sigma(levels), tf.constant(0, tf.int64)
        )
        model.train_on_batch(x)
    finally:
        keras.config.set_dtype_policy(before)
    for new, weight, gradient in zip(weights, old, gradients, strict=True):
        np.testing.assert_allclose(new.numpy() - weight, -rate * gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_a_global_policy_does_not_change_a_built_network(policy):
    """Its precision is `build_network`'s argument."""
    expected = new_model(network=build_network("dense", SHAPE, 4, seed=1)).train_on_batch(images())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = new_model(network=build_network("dense", SHAPE, 4, seed=1))
        logs = model.train_on_batch(images())
        energies = model(images())
    finally:
        keras.config.set_dtype_policy(before)
    assert logs == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(energies, model.energy(images()), rtol=1e-6)
    assert energies.dtype == tf.float32


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float64"])
def test_precisions_of_a_network(precision, tmp_path):
    model = new_model(network=build_network("dense", SHAPE, 4, seed=1, precision=precision))
    reference = new_model(network=build_network("dense", SHAPE, 4, seed=1))
    expected = reference.test_on_batch(images())
    assert model.train_on_batch(images())[0] == pytest.approx(expected, rel=0.2)
    model.save(tmp_path / "x.keras")
    require_same_state(keras.models.load_model(tmp_path / "x.keras"), model)


# Networks of the user's own


def small_layers():
    layers = keras.layers
    return [
        layers.Conv2D(4, 3, activation="silu"),
        layers.Flatten(),
        layers.Dense(1, use_bias=False),
    ]


@keras.saving.register_keras_serializable("test_keras_habits")
class OwnNetwork(keras.Model):
    """A subclassed model: images [B, 8, 8, 1] to energies [B]."""

    def __init__(self, width, **options):
        super().__init__(**options)
        self.width = width
        self.dense = keras.layers.Dense(width, activation="silu")
        self.last = keras.layers.Dense(1, use_bias=False)

    def call(self, x):
        return self.last(self.dense(keras.ops.reshape(x, (-1, 64))))[:, 0]

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def functional(last=lambda y: y):
    inputs = keras.Input(SHAPE)
    y = inputs
    for layer in small_layers():
        y = layer(y)
    return keras.Model(inputs, last(y))


def subclassed():
    network = OwnNetwork(4)
    network(images())
    return network


NETWORKS = {
    "functional [B, 1]": functional,
    "functional [B]": lambda: functional(keras.layers.Reshape(())),
    "Sequential": lambda: keras.Sequential([keras.Input(SHAPE), *small_layers()]),
    "subclassed": subclassed,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_users_own(name, tmp_path):
    model = new_model(network=NETWORKS[name]())
    fit(model)
    x = images()
    assert model.image_shape == SHAPE
    assert model.energy(x).shape == model.predict(x, verbose=0).shape == (NUM_IMAGES,)
    energy, score = model.energy_and_score(x)
    # The score is the gradient: by central differences along one direction.
    direction = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    step = 1e-2
    difference = (model.energy(x + step * direction) - model.energy(x - step * direction)) / (
        2 * step
    )
    slope = -np.sum(score * direction, (1, 2, 3))
    np.testing.assert_allclose(difference, slope, rtol=0.02, atol=2e-3)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(loaded.energy(x), energy)
    fit(loaded)
    fit(model)
    require_same_state(loaded, model)


def test_networks_that_compute_no_energies_are_refused():
    features = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3)])
    with pytest.raises(InvalidArgument, match=r"energies \[B\] or \[B, 1\].*\(None, 6, 6, 4\)"):
        EnergyModel(features)
    vectors = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(InvalidArgument, match=r"images \[B, H, W, C\].*\(None, 3\)"):
        EnergyModel(vectors)


def test_what_is_no_network_is_refused():
    with pytest.raises(InvalidArgument, match=r"`network` must be a Keras model.*Received: str"):
        EnergyModel("res12")


def test_networks_without_a_shape_are_refused():
    with pytest.raises(InvalidArgument, match=r"`network` must .*keras\.Input"):
        EnergyModel(OwnNetwork(4))


def test_networks_that_cannot_be_copied_are_refused_for_averages():
    class Secret(OwnNetwork):
        def get_config(self):
            raise NotImplementedError

    network = Secret(4)
    network(images())
    EnergyModel(network)
    with pytest.raises(InvalidArgument, match=r"`network` must .*get_config.*ema_momentum"):
        EnergyModel(network, ema_momentum=0.9)


def test_networks_in_float16_are_refused():
    layers = [keras.layers.Flatten(), keras.layers.Dense(1, dtype="mixed_float16")]
    with pytest.raises(InvalidArgument, match=r"`network` must .*bfloat16"):
        EnergyModel(keras.Sequential([keras.Input(SHAPE), *layers]))


def test_networks_with_a_loss_of_their_own_are_refused():
    layers = [keras.layers.Flatten(), keras.layers.Dense(1, kernel_regularizer="l2")]
    with pytest.raises(InvalidArgument, match=r"`network` must .*AdamW"):
        EnergyModel(keras.Sequential([keras.Input(SHAPE), *layers]))


# Modes of execution


# TensorFlow says so itself: what reads the images is compiled all the same.
@pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eagerly")
def test_eager_functions():
    expected = fit(new_model())["loss"]
    tf.config.run_functions_eagerly(True)
    try:
        eager = fit(new_model())["loss"]
    finally:
        tf.config.run_functions_eagerly(False)
    assert eager == pytest.approx(expected, rel=1e-5)
    assert fit(new_model(run_eagerly=True))["loss"] == pytest.approx(expected, rel=1e-5)


def test_set_random_seed():
    """A run repeats; its noise depends on the model's own seed alone."""
    histories = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        histories.append(new_model().fit(images(), batch_size=BATCH, verbose=0).history)
    assert histories[0] == histories[1]
