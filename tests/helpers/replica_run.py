"""Trains on N logical devices and writes the weights; a program for `test_replicas`.

    python -m tests.helpers.replica_run N VARIANT FILE

VARIANT is "loop" (this project's training loop), "sgd" (the same with plain gradient descent, since
Adam would hide a wrong scale of the gradients), "fit" (Keras's loop), "uneven" (Keras's loop over
37 images in batches of 16: of the last 5, the replicas have different numbers, and some none) or
"own" (the same with a network of one's own).
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.helpers.small_runs import small_config
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.runs.build_data import build_images
from tf_mdsm.runs.build_model import build_model, build_optimizer, build_strategy
from tf_mdsm.training.compiled_loop import compile_steps

replicas, variant, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * replicas,
)
# No clipping in variant "sgd": it would hide the scale of the gradients.
clip_norm = 0.0 if variant == "sgd" else 1.0
config = small_config(
    training__num_steps=20,
    data__flip=True,
    optimizer__clip_norm=clip_norm,
    optimizer__warmup_steps=5,
)
reductions = []
all_reduce = tf.distribute.ReplicaContext.all_reduce


def counted_all_reduce(context, *arguments, **options):
    reductions.append(context.replica_id_in_sync_group)
    return all_reduce(context, *arguments, **options)


tf.distribute.ReplicaContext.all_reduce = counted_all_reduce


def own_model() -> EnergyModel:
    """A network that ends in a plain dense layer, with averages."""
    layers = [keras.layers.Dense(8, "silu"), keras.layers.Dense(1, bias_initializer="ones")]
    for seed, layer in enumerate(layers):
        layer.kernel_initializer = keras.initializers.GlorotUniform(seed)
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *layers])
    return EnergyModel(network, ema_momentum=0.9)


images, _ = build_images(config)
strategy = build_strategy(config)
with strategy.scope():
    model = own_model() if variant == "own" else build_model(config)
    is_sgd = variant == "sgd"
    model.compile(keras.optimizers.SGD(1e-4) if is_sgd else build_optimizer(config))
assert strategy.num_replicas_in_sync == replicas
start = [v.numpy() for v in model.network.trainable_variables] if is_sgd else None
losses_of_evaluate = {}
is_uneven = variant in ("uneven", "own")
if is_uneven:
    clean = images[:37]
    losses_of_evaluate["validation_loss"] = model.evaluate(clean, batch_size=16, verbose=0)
    model.fit(clean, batch_size=16, epochs=4, shuffle=False, verbose=0)
    # The replicas tell each other how many images they have, in fit and in evaluate.
    reductions.clear()
elif variant == "fit":
    batches = training_batches(images, batch_size=16, seed=config.seed, flip=config.data.flip)
    model.fit(batches, steps_per_epoch=20, verbose=0)
else:
    batches = strategy.distribute_datasets_from_function(
        lambda _: training_batches(
            images,
            batch_size=16,
            seed=config.seed,
            flip=config.data.flip,
            num_replicas=replicas,
        )
    )
    compile_steps(model)(iter(batches), tf.constant(1 if is_sgd else 20))
# A step has one all-reduce, of gradients and metrics together.
expected_reductions = replicas if replicas > 1 and not is_uneven else 0
assert len(reductions) == expected_reductions, "a step has more than one all-reduce"
weights = {v.path: v.numpy() for v in model.network.trainable_variables}
averages = {
    f"average/{average.path}": average.numpy()
    for average, weight in zip(model.ema_network.variables, model.network.variables, strict=True)
    if weight.trainable
}
scalars = {"loss": model.loss_tracker.result(), "bands": model.band_tracker.result()}
scalars["gradient_norm"] = model.gradient_norm_tracker.result()
if is_sgd:  # The update alone: compared with the weights it is small.
    updates = {
        v.path: v.numpy() - old
        for v, old in zip(model.network.trainable_variables, start, strict=True)
    }
    weights, averages = {"update": np.concatenate([u.ravel() for u in updates.values()])}, {}
np.savez(path, **weights, **averages, **scalars, **losses_of_evaluate)
