"""Training: loop, compiled steps, optimizers, checkpoints, rollback, TensorBoard."""
