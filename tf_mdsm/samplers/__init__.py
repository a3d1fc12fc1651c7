"""Samplers: from seeds to images, given functions that compute an energy and its score.

One sampler per file: `langevin`, `heun`, `ancestral`, `coarse_to_fine`, `metropolis` (MALA and
HMC). Each can be read with `base`, which holds the base classes. The arrays of a sampler come from
`schedules`, its starting images from `starts`; `conditioning` makes it keep known pixels;
`kernels` applies TensorFlow Probability's Markov kernels; `chain` compiles a sampler and records
its intermediate states. No sampler knows a configuration or a model.
"""
