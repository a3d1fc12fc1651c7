"""Every setting of a run, with its meaning, its unit and its default, one function a group.

The comment above a setting is its documentation. `ranges` and `rules` say which values are allowed.
"""

from ml_collections import ConfigDict

__all__ = ["default_config"]


def default_config() -> ConfigDict:
    """Returns all settings at their defaults, as a locked ConfigDict.

    The paper's settings for CIFAR-10 (MDSM, section 4) are the defaults of data, noise levels,
    network, optimizer, length of training and annealed Langevin dynamics. The default sampler and
    its starting points are not the paper's: Heun's method from a Gaussian. Settings on which the
    paper says nothing have our own defaults.
    """
    config = ConfigDict()

    # Seed of the run. Initial weights, order of the images, random patches, flips and turns, and
    # training noise follow from it.
    config.seed = 0
    # Checkpoint that every mode except training reads. "newest" is the last one. "best" is the one
    # whose samples were nearest to the reference images; it needs training.evaluate_every.
    # "guide" is the one that training.guide_step keeps.
    config.checkpoint = "newest"
    # Autoguidance: weight w of the energy E_w = w E - (w - 1) E_guide, which every mode except
    # training uses in place of E, or samples alone in some steps (sampling.guide_sigma_max).
    # E_guide is the checkpoint "guide". Evaluations of E_w take twice the time. 1: no guide.
    config.guidance = 1.0

    config.data = _data()
    config.noise = _noise()
    config.network = _network()
    config.optimizer = _optimizer()
    config.training = _training()
    config.sampling = _sampling()
    config.restoration = _restoration()
    config.evaluation = _evaluation()
    config.likelihood = _likelihood()
    config.export = _export()
    return config.lock()


def _data() -> ConfigDict:
    """Training and validation images: where they come from and how they are resized."""
    data = ConfigDict()

    # Source of the images: "tfds" (TensorFlow Datasets), "digits" (bundled with scikit-learn),
    # "photographs" (eleven that scikit-image bundles; two others are validation images), "idx" (a
    # folder of files in MNIST's format), "npz" (an .npz file with an array `images`, or an
    # .npy file), "folder" (a folder of image files) or "synthetic" (computed).
    data.source = "tfds"
    # Name of the data set: for "tfds" its name there ("cifar10", "celeb_a", …), for "synthetic"
    # either "mixture" or "blobs". The other sources ignore it.
    data.name = "cifar10"
    # Folder ("idx", "folder") or file ("npz") that holds the images.
    data.path = ""
    # Folder in which TensorFlow Datasets keeps prepared data. Empty: its own default.
    data.data_dir = ""
    # Folder in which resized images, or the whole images of `patches`, are stored, so that each
    # batch is read from disk. It serves data sets that are larger than memory. Images that have
    # changed are read again. Empty: all images are held in memory.
    data.cache = ""
    # Split of the training images ("tfds", "idx"). A data set of "tfds" that has one split can be
    # divided by slices: "train[:90%]" here and "train[90%:]" in held_out_split.
    data.split = "train"
    # Split of the validation images ("tfds", "idx"). They are never trained on.
    data.held_out_split = "test"
    # Fraction of the images that are set aside as validation images, for sources without splits.
    data.held_out_fraction = 0.1
    # Source "folder": skip files that cannot be read as an image, with a message that names each
    # of them. Otherwise the first such file ends the run.
    data.skip_damaged = False
    # Height and width of the images, in pixels. Smaller images are padded with zeros. Larger images
    # are cropped to their central square and resized.
    data.image_size = 32
    # Sources "folder", "npz" and "photographs": train on random patches of image_size x image_size
    # pixels, at the scale of the images, which may have any sizes, instead of on whole images that
    # are brought to that size. Every patch of every training image is equally likely, so that large
    # images are seen as often as they have patches. Images that are smaller than a patch are left
    # out, with a message that names them. held_out_fraction is a fraction of the images, at least
    # one; validation images are patches of these that do not overlap, at most 4,096. What needs
    # training images as a fixed set (statistics, evaluation) uses at most 16,384 random patches.
    # The network, a U-Net without attention, then takes images of any size.
    data.patches = False
    # Side of the central square that is cut out before resizing, in pixels. 0, and for images that
    # are smaller: the largest square.
    data.crop = 0
    # Color channels: 1 for gray, 3 for color, and 2 for points in the plane. Images of the other
    # kind are converted.
    data.channels = 3
    # Whether a run may continue, be evaluated or restore although the images are not those that it
    # was trained on. It holds for one call: config.json always says false. If that call trains on
    # other images, they become those of the run with its first checkpoint.
    data.allow_other_images = False
    # Flip each training image left to right with probability 1/2.
    data.flip = False
    # Turn each training image by 0, 1, 2 or 3 quarter turns, each with probability 1/4: for images
    # in which no direction is upright.
    data.turn = False
    return data


def _noise() -> ConfigDict:
    """Noise levels and their weights in the loss, l(sigma) ||x - x_noisy + sigma0^2 dE/dx||^2."""
    noise = ConfigDict()

    # Smallest noise level: a standard deviation in pixel units, where pixels lie in [0, 1].
    noise.sigma_min = 0.05
    # Largest noise level, in the same unit.
    noise.sigma_max = 1.2
    # Number of noise levels. It need not be the batch size.
    noise.num_levels = 128
    # Distribution of the levels between sigma_min and sigma_max: "linear" (equal differences),
    # "geometric" (equal ratios) or "log_normal" (equal probabilities under a log-normal
    # distribution with `median` and `log_std`).
    noise.spacing = "linear"
    # Spacing "log_normal": median of the distribution, in pixel units.
    noise.median = 0.5
    # Spacing "log_normal": standard deviation of log(sigma).
    noise.log_std = 1.2
    # The constant sigma0 of the loss, in pixel units. It is the same for all noise levels.
    noise.sigma0 = 0.1
    # Weight l(sigma) of a noise level in the loss: "inverse_square" (1/sigma^2, the paper's),
    # "constant" (1), "edm" (1/sigma^2 + 1/sigma_data^2, which gives large levels more weight) or
    # "score". The last one puts sigma^2 in place of sigma0^2 in the loss and weighs by 1/sigma^2.
    # This is regression of the score itself. Its optimum is exactly the energy of a density, the
    # mixture of the noisy data's densities in proportion to sigma^2.
    noise.weighting = "inverse_square"
    # Weighting "edm": standard deviation of the pixels of the data set.
    noise.sigma_data = 0.25
    return noise


def _network() -> ConfigDict:
    """The energy network."""
    network = ConfigDict()

    # "res6", "res12", "res18" and "res34" are the paper's ResNets. "unet" is an energy that is
    # based on a U-Net f(x), which estimates the clean image. "dense" is a small fully connected
    # network for points in the plane.
    network.name = "res18"
    # Channels of the first convolution. Every stage of a ResNet doubles them; a U-Net doubles them
    # at its second and third resolution. For "dense" it is the width of the layers.
    network.channels = 128
    # How the scalar energy is computed. ResNets and "dense" compute it from their last features:
    # "quadratic" or "linear". A U-Net computes it from the image x and its estimates f(x) and g(x)
    # of the clean image, divided by 2 sigma0^2: "distance" is |x - f|^2, "product" is x . (x - f),
    # "two_guesses" is (x - f) . (x - g).
    network.head = "quadratic"
    network.unet = _unet()
    return network


def _unet() -> ConfigDict:
    """The structure of the network "unet"; other networks ignore it."""
    unet = ConfigDict()

    # Side of the square patches that the U-Net treats as one pixel with more channels. 1: pixels.
    unet.patch_size = 1
    # Number of resolutions. Each has half the height and width of the previous one.
    unet.num_resolutions = 4
    # Residual blocks at each resolution, on the way down and again on the way up.
    unet.num_blocks = 1
    # Self-attention follows each block at resolutions of at most this side, counted in patches.
    # 0: no attention.
    unet.attention_size = 0
    # Normalize the input by sqrt(v + 1/4), where v is the noise variance estimated from the image.
    # Images of all noise levels then have similar scale.
    unet.scale_input = False
    return unet


def _optimizer() -> ConfigDict:
    """Adam, its learning rate, gradient clipping and weight averaging."""
    optimizer = ConfigDict()

    # Learning rate of Adam at the first update, apart from the warm-up.
    optimizer.learning_rate = 5e-5
    # Learning rate at the last update under the schedule "cosine". "constant" ignores it.
    optimizer.final_learning_rate = 1e-6
    # "cosine" lowers the learning rate from learning_rate to final_learning_rate over the whole
    # run. "constant" keeps learning_rate.
    optimizer.schedule = "cosine"
    # Updates over which the learning rate rises linearly to what the schedule gives. 0: no warm-up.
    optimizer.warmup_steps = 0
    # Largest global norm of the gradient: a larger gradient is scaled down to it. The unit is that
    # of TensorBoard's `gradient_norm`, which is logged before clipping. 0: no clipping.
    optimizer.clip_norm = 0.0
    # Adam's decay rate of the mean gradient.
    optimizer.beta_1 = 0.9
    # Adam's decay rate of the mean squared gradient.
    optimizer.beta_2 = 0.95
    # Adam's epsilon. It is added to the root of the mean squared gradient, in units of the gradient
    # of the loss divided by sigma0^4, which is what the optimizer minimizes.
    optimizer.epsilon = 1e-8
    # Momentum of the exponential moving average (EMA) of the weights. Every mode except training
    # uses the averaged weights where there are any. 0: no average.
    optimizer.ema_momentum = 0.0
    return optimizer


def _training() -> ConfigDict:
    """The training loop. A step is one update of the weights."""
    training = ConfigDict()

    # Batch size: images of one update, over all replicas together.
    training.batch_size = 128
    # Gradient accumulation: each replica divides its images of an update into this many parts and
    # processes one after the other. Gradients stay the same; activations need the memory of one
    # part.
    training.accumulation_steps = 1
    # Updates of the whole run.
    training.num_steps = 300_000
    # First updates of these, in which a U-Net's guess of the clean image is trained as a plain
    # denoiser. Such an update takes about half the time. The energy is trained from these
    # weights. 0: none. Heads with one guess only ("distance", "product").
    training.denoiser_steps = 0
    # Maximum number of updates in one compiled call. Results do not depend on it.
    training.steps_per_call = 10
    # Updates between checkpoints. 0: only the last update is saved, as always.
    training.checkpoint_every = 5_000
    # Number of newest checkpoints that are kept.
    training.keep_checkpoints = 3
    # Update after which the weights are kept as the guide of `guidance`, in addition to the newest
    # checkpoints. 0, or more than num_steps: no guide. It guides later checkpoints only.
    training.guide_step = 0
    # Updates between scalars in TensorBoard, which are means over this interval. 0: never.
    training.log_every = 100
    # Updates between validations, which write the loss of validation images, energies and a strip
    # of denoised images to TensorBoard. 0: never.
    training.validate_every = 2_500
    # Maximum number of validation images that a validation uses.
    training.validation_images = 512
    # Updates between previews: grids of samples in TensorBoard and in samples/, without the guide.
    # 0: never.
    training.sample_every = 25_000
    # Samples in a preview.
    training.preview_images = 16
    # Updates between evaluations, which write the Fréchet distance of a few samples to the
    # reference images of `evaluation` to TensorBoard. The samples are drawn without the guide. The
    # checkpoint with the smallest distance is kept in addition to the newest ones. 0: never.
    training.evaluate_every = 0
    # Samples that each of these evaluations draws.
    training.evaluation_samples = 256
    # "float32", or "mixed_bfloat16": convolutions in bfloat16; weights, head and loss in float32.
    training.precision = "float32"
    # Devices: "mirrored" (all GPUs of this machine, or its CPU), "one_device" (the first of them),
    # "multi_worker_mirrored" (those of all machines of a cluster) or "tpu".
    training.strategy = "mirrored"
    # Strategy "multi_worker_mirrored": where the addresses of the workers come from. "tf_config" is
    # the environment variable TF_CONFIG, set by launch/workers.sh and by Kubernetes' training
    # operator. The others are "slurm" and "kubernetes".
    training.cluster = "tf_config"
    # Strategy "tpu": name of the TPU. Empty: the one that the environment names.
    training.tpu = ""
    # How often a run whose loss becomes NaN or infinite may return to its last checkpoint and
    # continue with a smaller learning rate. 0: such a run ends.
    training.max_rollbacks = 0
    # Factor by which each such return multiplies the learning rate.
    training.rollback_rate = 0.5
    # Compile gradients with XLA: "on", "off" or "auto" (on GPUs only, where it is faster; but not
    # on NVIDIA GPUs of compute capability 12, Blackwell, where XLA ends the process).
    training.jit_compile = "auto"
    # NVIDIA GPUs, all modes: round the inputs of float32 convolutions to 10 bits (TensorFloat-32).
    # docs/results/accelerators.md has the time that it saves and the error that it makes.
    training.tensor_float_32 = False
    # GPUs, all modes: take memory as it is needed, so that several processes share a GPU. False:
    # nearly all of it at the start, as TensorFlow does by itself; it is then fragmented less.
    training.memory_growth = True
    return training


def _sampling() -> ConfigDict:
    """Samplers. Cost is counted in gradient evaluations (of dE/dx) per image."""
    sampling = ConfigDict()

    # "annealed_langevin" is the paper's sampler. These use the denoiser and need far fewer gradient
    # evaluations, "heun" 9 by default: "heun" and "multistep" (probability flow), "ancestral"
    # (ancestral Euler) and "coarse_to_fine" (stochastic ascent; each image takes as many steps as
    # it needs). Two accept or reject moves by a Metropolis test and so are exact at each
    # temperature: "mala" (Langevin) and "hmc" (Hamiltonian Monte Carlo). "heun" is the default
    # because it needs neither a mixture nor a guide. With both, samples of "multistep" are nearer
    # to the images at the same cost (docs/results/samplers.md).
    sampling.sampler = "heun"
    # Images that --mode=sample draws.
    sampling.num_samples = 64
    # Images that are sampled or restored at a time.
    sampling.batch_size = 64
    # Seed of the first image. Image n has seed `seed + n`.
    sampling.seed = 0
    # With data.patches: height and width of the sampled images, also of those that an export
    # samples. 0: data.image_size. Other sizes start at "isotropic", "smooth" or "images".
    sampling.image_size = 0
    # annealed_langevin: step size epsilon in x <- x - epsilon^2/2 dE/dx + epsilon sqrt(T) N(0, I).
    sampling.step_size = 0.02
    # annealed_langevin: temperature T of the first steps, at least 1.
    sampling.initial_temperature = 100.0
    # annealed_langevin: number of steps at the initial temperature.
    sampling.hot_steps = 500
    # annealed_langevin: number of steps in which T falls from the initial temperature to 1.
    sampling.cooling_steps = 2_000
    # annealed_langevin: number of steps in which T falls linearly from 1 to 0.
    sampling.final_steps = 200
    # annealed_langevin: how T falls from the initial temperature to 1, "exponential" or "linear".
    sampling.cooling = "exponential"
    # annealed_langevin: end with one denoising step x - sigma0^2 dE/dx. With noise.weighting=score
    # that step does not denoise, and is always left out. All other samplers end with it.
    sampling.denoise = True
    # Other samplers: noise level at which sampling starts. 0: noise.sigma_max.
    sampling.sigma_max = 0.0
    # Other samplers: noise level at which sampling ends. 0: noise.sigma_min, or a tenth of it for
    # "heun" and half of it for "multistep", which is better (docs/results/samplers.md).
    sampling.sigma_min = 0.0
    # Number N of noise levels from sigma_max to sigma_min. "heun" then needs 2 N - 1 gradient
    # evaluations, "multistep" and "ancestral" need N. mala, hmc: number of temperatures; level
    # sigma has the temperature (sigma / sigma0)^2.
    sampling.num_levels = 5
    # heun, multistep, ancestral, mala, hmc: how much denser the levels are near sigma_min. 1: equal
    # distances.
    sampling.rho = 7.0
    # heun: noise that is added between steps (S_churn of EDM). 0: none, so that an image is a
    # function of its start.
    sampling.churn = 0.0
    # With `guidance`: the guide acts only in the sampler's steps that begin at a noise level from
    # guide_sigma_min to guide_sigma_max; for all else the energy is E. Not for coarse_to_fine.
    # 0: no such range, the energy is E_w everywhere.
    sampling.guide_sigma_max = 0.0
    # With guide_sigma_max: the smallest such noise level.
    sampling.guide_sigma_min = 0.0
    # coarse_to_fine: size of the first step, a fraction of the way to the denoised image.
    sampling.h0 = 0.01
    # coarse_to_fine: a step of size h lowers the noise level by the factor 1 - beta h. The smaller
    # beta, the more noise is added and the more steps are needed. 1: no noise is added.
    sampling.beta = 0.5
    # coarse_to_fine: largest number of steps. Images that have not reached sigma_min end here too.
    sampling.max_steps = 200
    # mala, hmc: moves at each temperature.
    sampling.moves = 1
    # mala, hmc: step size as a fraction of the noise level.
    sampling.step_share = 0.3
    # hmc: leapfrog steps of each move.
    sampling.leapfrog_steps = 3
    # Starting points; "first level" is the initial temperature's for annealed_langevin.
    # "gaussian": a Gaussian with mean and covariance of the training images, plus noise of the
    # first level.
    # "mixture": a mixture of Gaussians of the training images plus that noise. Modes train and
    # import with this setting fit it, train also for a run that has reached its last step.
    # "isotropic": 0.5 + sigma N(0, I) with sigma the first level, or 1 for annealed_langevin, as in
    # the paper.
    # "images": the images of `start_images` plus noise of the first level; seed s starts at image
    # s mod N of N.
    # "smooth": the smoothest image that agrees with the known data, plus noise of the first level.
    # That is for an export's `inpaint`; where nothing is known, it is "isotropic" with that level.
    sampling.start = "gaussian"
    # Start "images": a file or a folder, as restoration.images.
    sampling.start_images = ""
    # Files in addition to the .npz with `images` and `energies`. "png": a folder of PNG files, as
    # clean-fid, pytorch-fid and torch-fidelity read it. "arr_0": an .npz with the images under that
    # name, as the evaluator of guided-diffusion reads it. "none": no other files.
    sampling.extra_files = "none"
    # Steps between the intermediate images that are shown. 0: a 27th of all steps.
    sampling.show_every = 0
    return sampling


def _restoration() -> ConfigDict:
    """Inverse problems: what `--mode=restore` solves, and how."""
    restoration = ConfigDict()

    # "inpaint_box" (a box in the center is missing), "inpaint_half" (the lower half is missing),
    # "inpaint_random" (random pixels are missing), "inpaint_mask" (the pixels of `mask` are
    # missing), "super_resolution_2" and "super_resolution_4" (means of 2x2 and 4x4 pixels are
    # known), "deblur" (low frequencies are known), "compressive_sensing" (random projections are
    # known), "denoise" (all pixels are known, with noise of a level that the model is not given),
    # "colorize" (the gray image is known), or "all": every task that fits the images.
    restoration.task = "inpaint_box"
    # Sampler of the solutions, in place of sampling.sampler. All settings of `sampling` that have
    # no counterpart here apply. Task "denoise" does not use it: photographs of any size take half
    # steps (`one_step`); all other images take coarse_to_fine, from the noisy image, with beta and
    # max_steps of `sampling`. The defaults of sampler, start, beta and max_steps came nearest to
    # the original images of all that were measured; for photographs, those of configs/photos.py.
    restoration.sampler = "coarse_to_fine"
    # Starting points, in place of sampling.start. Take "smooth" where noise of the first level does
    # not hide the contrast of the missing part: photographs, large holes.
    restoration.start = "isotropic"
    # First noise level, in place of sampling.sigma_max, in pixel units. 0: sampling.sigma_max.
    restoration.sigma_max = 0.0
    # coarse_to_fine: in place of sampling.h0. 0: sampling.h0. With 1 an image is D(x) plus new
    # noise after each step.
    restoration.h0 = 0.0
    # coarse_to_fine: in place of sampling.beta.
    restoration.beta = 0.1
    # coarse_to_fine: in place of sampling.max_steps.
    restoration.max_steps = 150
    # Images of the model's size: a file (a picture, .npy, or .npz with `images`) or a folder of
    # such files. Arrays are uint8, or floats in [0, 1]. Empty: the validation images. With
    # data.patches: photographs of any size, a picture or a folder of pictures.
    restoration.images = ""
    # Whether these files hold measurements (small images, gray images, …) instead of originals.
    restoration.measured = False
    # Task "inpaint_mask": a picture in which white pixels are known, or an array of 1 (known) and
    # 0 (missing).
    restoration.mask = ""
    # Maximum number of images that are restored; all of photographs.
    restoration.num_images = 8
    # Solutions of each image, from different seeds. Of a photograph the result is their mean.
    restoration.num_solutions = 3
    # Seed of the solutions, and of random pixels, projections and added noise.
    restoration.seed = 0
    # inpaint_box: side of the box, as a fraction of the image's side.
    restoration.hole = 0.5
    # inpaint_random, compressive_sensing: fraction of the pixels, or of the projections, that are
    # known.
    restoration.known_share = 0.25
    # deblur: highest known frequency, in cycles per pixel (at most 0.5 along a row).
    restoration.cutoff = 0.15
    # denoise: level of the noise that is added to the originals, in pixel units.
    restoration.noise = 0.3
    # denoise: a photograph of any size goes half of the way to D(x) again and again, until the
    # noise that is left is below twice noise.sigma_min: 2 to 9 gradient evaluations. true: the
    # result is D(x) of the noisy photograph, one evaluation, mostly farther from the original.
    restoration.one_step = False
    # Photographs: memory for the gradient of the energy in a tile of the photograph, in GiB.
    restoration.memory_gib = 2.0
    return restoration


def _evaluation() -> ConfigDict:
    """What `--mode=evaluate` measures, and what samples are compared with."""
    evaluation = ConfigDict()

    # "all", or a comma-separated choice of "quality" (distances of samples to reference images),
    # "memorisation" (nearest training images), "energies", "outliers" and "denoising".
    evaluation.parts = "all"
    # Number of samples for it, by the sampler of `sampling`.
    evaluation.num_samples = 1_024
    # Maximum number of images of each kind (validation, training, samples, out-of-distribution)
    # that are examined one by one.
    evaluation.num_images = 512
    # Features in which sets of images are compared: "classifier" (a small one that is trained on
    # the run's labelled images), "deep_classifier" (one of residual blocks, which is more often
    # right and takes minutes of training), "inception" (the 2015 network of FID) or "none".
    evaluation.features = "classifier"
    # Features "inception": the file classify_image_graph_def.pb, or the .tgz that contains it.
    # Empty: it is downloaded once.
    evaluation.inception_path = ""
    # Reference images that samples are compared with: those of data.split ("train") or of
    # data.held_out_split ("held_out").
    evaluation.reference = "train"
    # An .npz with mean `mu` and covariance `sigma` of the same features, written by another tool,
    # in place of the statistics of the reference images. Empty: they are computed and kept in
    # evaluation/statistics_*.npz.
    evaluation.reference_statistics = ""
    # Seed of added noise and of noise images.
    evaluation.seed = 0
    evaluation.foreign = _foreign()
    return evaluation


def _foreign() -> ConfigDict:
    """Another data set, whose images are out-of-distribution images for outlier detection."""
    foreign = ConfigDict()

    # As data.source. Empty: no other data set.
    foreign.source = ""
    # As data.name.
    foreign.name = ""
    # As data.path.
    foreign.path = ""
    # Height and width at which its images are read, in pixels, before they are resized to
    # data.image_size. 0: data.image_size.
    foreign.image_size = 0
    return foreign


def _likelihood() -> ConfigDict:
    """Likelihood of images: what `--mode=likelihood` computes, and how exactly."""
    likelihood = ConfigDict()

    # "ais": annealed importance sampling bounds log Z of the density exp(-E / T). "bound": an upper
    # bound of bits per dimension by the ancestral sampler, with num_levels gradient evaluations an
    # image. "flow": the density that "heun" draws from in the limit of small steps. "all": these
    # three. They are of three different densities (docs/guide/likelihood.md).
    likelihood.method = "ais"
    # Images whose likelihood is computed besides that of training and validation images: a file or
    # a folder, as restoration.images. Empty: none.
    likelihood.images = ""
    # bound, flow: smallest noise level, in pixel units. Below it the image itself is encoded, given
    # its denoised version. 0: noise.sigma_min. The likelihood by which `--mode=evaluate` tells
    # outliers is a bound with this level too.
    likelihood.sigma_min = 0.0
    # bound: noise levels, at equally many gradient evaluations. The more, the tighter the bound.
    likelihood.num_levels = 100
    # flow: random vectors that estimate the Laplacian of the energy for each image. 0: the exact
    # Laplacian for images of at most 64 values, and one vector for larger ones.
    likelihood.num_probes = 0
    # flow: largest error of a step of the solver, in pixel units; 100 times as much in a log
    # density.
    likelihood.flow_tolerance = 1e-3
    # The settings below are those of "ais", but for batch_size, num_images and seed.
    # Distribution at which annealing starts. "gaussian": a Gaussian with mean and covariance of the
    # training images, plus noise of reference_sigma. "mixture": the mixture of Gaussians of
    # sampling.start=mixture, plus that noise. "isotropic": 0.5 + reference_sigma N(0, I).
    likelihood.reference = "gaussian"
    # Standard deviation in `reference`, in pixel units. 0: noise.sigma0 sqrt(temperature) for
    # "gaussian" and "mixture", 1 for "isotropic".
    likelihood.reference_sigma = 0.0
    # The density is normalized on the box [-domain_margin, 1 + domain_margin] of each pixel, as an
    # energy may fall without bound far from its images. The noise of the density, of level
    # noise.sigma0 sqrt(temperature), should have room in it: five times that level or more.
    likelihood.domain_margin = 1.0
    # Temperature T of the density exp(-E / T) / Z whose log Z is bounded.
    likelihood.temperature = 1.0
    # Markov chains from the reference to the energy (lower bound), and as many back (upper bound).
    likelihood.num_chains = 64
    # Markov chains, or images, that are computed at a time.
    likelihood.batch_size = 64
    # Intervals of inverse temperature between 0 and 1. The more, the narrower the bounds.
    likelihood.num_temperatures = 400
    # Hamiltonian moves in each interval.
    likelihood.moves = 1
    # Leapfrog steps of each move.
    likelihood.leapfrog_steps = 5
    # Fraction of moves that should be accepted. Before annealing, the step sizes are adapted to it
    # by chains of their own, which also find where intervals must be short. These chains carry no
    # weight, and nothing is adapted afterwards.
    likelihood.acceptance = 0.8
    # Markov chains of this adaptation.
    likelihood.pilot_chains = 32
    # Inverse temperatures at which step sizes are adapted.
    likelihood.pilot_temperatures = 24
    # Rounds of moves at each of these inverse temperatures.
    likelihood.pilot_rounds = 8
    # Rounds of moves at inverse temperature 1 by which chains become samples of the model before
    # they anneal back. The upper bound is valid as far as they have become such samples.
    likelihood.rest_rounds = 50
    # Maximum number of images of each kind (training, validation, given) whose likelihood is
    # reported.
    likelihood.num_images = 1_000
    # Seed of the first Markov chain, or of the noise on the first image. The n-th has `seed + n`.
    likelihood.seed = 0
    # Largest distance of the bounds, error margins included, at which a value is reported, in bits
    # per dimension.
    likelihood.tolerance = 0.1
    # Smallest effective number of chains, in each direction, at which a value is reported.
    likelihood.min_effective = 5.0
    return likelihood


def _export() -> ConfigDict:
    """What `--mode=export` writes."""
    export = ConfigDict()

    # "saved_model": a SavedModel for TensorFlow and TensorFlow Serving, in export/<version>.
    # "stablehlo": programs for XLA without TensorFlow, in export/stablehlo/<version>. "torch": a
    # state_dict for the authors' PyTorch networks, in export/torch/step_NNNNNNNN.pt.
    export.format = "saved_model"
    # Version number. 0: one more than the highest that exists in this format.
    export.version = 0
    # Maximum number of images in a request to the SavedModel. Larger requests are refused.
    export.max_batch_size = 64
    # Numbers of images, between commas, for which StableHLO programs are written. Other numbers of
    # images are computed in batches of these.
    export.batch_sizes = "1,16"
    return export
