"""Every setting of a run, with its meaning and its default."""

from ml_collections import ConfigDict

__all__ = ["default_config"]


def default_config() -> ConfigDict:
    """All settings at their defaults: the paper's where it has one (MDSM, section 4)."""
    config = ConfigDict()

    # Initial weights, order of the images, noise and flips all follow from it.
    config.seed = 0

    # The checkpoint that every use after training reads: "newest", or "best", the one whose
    # samples were nearest to the reference images (training.evaluate_every).
    config.checkpoint = "newest"

    config.data = ConfigDict()
    # Where images come from: tfds (TensorFlow Datasets), digits (scikit-learn's), idx (a folder
    # of MNIST-style files), npz (an array `images`), folder (image files), synthetic.
    config.data.source = "tfds"
    # Data set of `tfds` ("cifar10", "celeb_a", …) or of `synthetic` ("mixture", "blobs").
    config.data.name = "cifar10"
    # The folder (`idx`, `folder`) or file (`npz`) that holds the images.
    config.data.path = ""
    # Where TFDS keeps prepared data; empty: its own default.
    config.data.data_dir = ""
    # A folder that keeps images once they have been brought to size, to be read from there batch
    # by batch: for data sets larger than memory. Empty: they are held in memory.
    config.data.cache = ""
    # The split to train on, and the one that is only looked at (`tfds`, `idx`). Slices as
    # train[:90%] and train[90%:] serve a TFDS data set that has one split.
    config.data.split = "train"
    config.data.held_out_split = "test"
    # Share of the images held out where the source has no splits of its own.
    config.data.held_out_fraction = 0.1
    # folder: leave out files that hold no image, naming each, in place of ending at the first.
    config.data.skip_damaged = False
    # Side of the square images, in pixels: smaller ones are zero-padded, larger ones cropped
    # to their central square and resized.
    config.data.image_size = 32
    # Side of the central square that is cut out before resizing; 0: the largest one.
    config.data.crop = 0
    # 1: grey, 3: colour; images of the other kind are converted.
    config.data.channels = 3
    # Flip every other image, at random, left to right.
    config.data.flip = False

    config.noise = ConfigDict()
    # Noise levels: standard deviations in pixel units, from sigma_min to sigma_max.
    config.noise.sigma_min = 0.05
    config.noise.sigma_max = 1.2
    config.noise.num_levels = 128
    # "linear" or "geometric" distances between neighbouring levels; "log_normal": levels of equal
    # probability under a log-normal law …
    config.noise.spacing = "linear"
    # … with this median and this standard deviation of the logarithm.
    config.noise.median = 0.5
    config.noise.log_std = 1.2
    # Width of the kernel in whose score the residual is written; fixed over all levels.
    config.noise.sigma0 = 0.1
    # l(sigma): "inverse_square" (paper), "constant", "edm" (1/sigma^2 + 1/sigma_data^2: large
    # levels count for more), or "score" (regression of the score itself, whose optimum is
    # exactly a density: the noisy data's, levels mixed by sigma^2).
    config.noise.weighting = "inverse_square"
    # edm: standard deviation of the images' pixels.
    config.noise.sigma_data = 0.25

    config.network = ConfigDict()
    # res6, res12, res18, res34: the paper's ResNets; unet: an energy made of a U-Net f(x) that
    # guesses the clean image; dense: a small net for points in the plane.
    config.network.name = "res18"
    # Channels of the first convolution; every stage doubles them (unet: the first two halvings).
    # Width of `dense`.
    config.network.channels = 128
    # How the scalar is made: of the last features, "quadratic" or "linear"; of an image x and the
    # U-Net's guess f(x), over 2 sigma0^2, "distance", |x - f|^2, "product", x . (x - f), or
    # "two_guesses", (x - f) . (x - g).
    config.network.head = "quadratic"
    # The U-Net's: squares of pixels that become one pixel with more channels before all else …
    config.network.unet = ConfigDict()
    config.network.unet.patch_size = 1
    # … resolutions, each of half the side; channels double twice, then stay …
    config.network.unet.num_resolutions = 4
    # … residual blocks at each of them, down and up …
    config.network.unet.num_blocks = 1
    # … and self-attention after each block where the side is at most so many pixels; 0: nowhere.
    config.network.unet.attention_size = 0
    # Divide images by what noise, as estimated in the image, and contrast together amount to.
    config.network.unet.scale_input = False

    config.optimizer = ConfigDict()
    # Learning rate of Adam at the first step …
    config.optimizer.learning_rate = 5e-5
    # … and at the last one, when the schedule is "cosine".
    config.optimizer.final_learning_rate = 1e-6
    # "cosine" from one to the other over the whole run, or "constant".
    config.optimizer.schedule = "cosine"
    # Updates over which the rate rises from 0 to what the schedule says; 0: none.
    config.optimizer.warmup_steps = 0
    # Gradients are shortened to this norm over all weights, in the unit of TensorBoard's
    # gradient_norm, which is shown unshortened; 0: never.
    config.optimizer.clip_norm = 0.0
    # Adam's decay rates of the mean gradient and of the mean squared gradient.
    config.optimizer.beta_1 = 0.9
    config.optimizer.beta_2 = 0.95
    # Adam's epsilon, against gradients of the loss in units of 1/sigma0^4.
    config.optimizer.epsilon = 1e-8
    # Momentum of the averaged weights that every use after training reads; 0: no averages.
    config.optimizer.ema_momentum = 0.0

    config.training = ConfigDict()
    # Images of one update, over all replicas together.
    config.training.batch_size = 128
    # Parts in which each replica takes its images of an update, one after the other: the same
    # gradients in the memory of one part.
    config.training.accumulation_steps = 1
    # Updates of the whole run.
    config.training.num_steps = 300_000
    # Updates that run on the device without a look from outside (at most).
    config.training.steps_per_call = 10
    # An interval in updates; 0 means never, except that the last step is always saved.
    config.training.checkpoint_every = 5_000
    # Checkpoints kept: the newest ones.
    config.training.keep_checkpoints = 3
    # Scalars to TensorBoard: means over the interval.
    config.training.log_every = 100
    # Held-out loss, energies and the denoising strip to TensorBoard.
    config.training.validate_every = 2_500
    # Held-out images used for it (at most).
    config.training.validation_images = 512
    # A grid of samples to TensorBoard and samples/.
    config.training.sample_every = 25_000
    # Images in that grid.
    config.training.preview_images = 16
    # The distance of a few samples to the reference images (`evaluation`) to TensorBoard;
    # the best checkpoint by it is kept besides the newest ones.
    config.training.evaluate_every = 0
    # Samples drawn for it.
    config.training.evaluation_samples = 256
    # float32, or convolutions in bfloat16 with weights, head and loss in float32.
    config.training.precision = "float32"
    # mirrored: all GPUs of this machine, or its CPU; one_device: the first of them;
    # multi_worker_mirrored: those of all machines of a cluster; tpu.
    config.training.strategy = "mirrored"
    # Who tells multi_worker_mirrored where the workers are: tf_config (launch/workers.sh and
    # Kubernetes' training operator set it), slurm, kubernetes.
    config.training.cluster = "tf_config"
    # Name of the TPU; empty: what the environment says.
    config.training.tpu = ""
    # How often a run whose loss is not finite goes back to its last checkpoint and on from there;
    # 0: it ends …
    config.training.max_rollbacks = 0
    # … and what the learning rate is multiplied with each time.
    config.training.rollback_rate = 0.5
    # XLA for the gradients; "auto": on GPUs only, where it pays.
    config.training.jit_compile = "auto"

    config.sampling = ConfigDict()
    # How images are drawn: "annealed_langevin" is the paper's chain. By the blind denoiser, in
    # tens of gradients: "heun" (probability flow), "ancestral" (ancestral Euler), and
    # "coarse_to_fine" (stochastic ascent, each image at its own pace). With Metropolis' test,
    # exact at each temperature: "mala" (Langevin) and "hmc" (Hamiltonian Monte Carlo).
    # The default is the best that was measured at few gradients (docs/samplers.md).
    config.sampling.sampler = "heun"
    # Images that --mode=sample draws.
    config.sampling.num_samples = 64
    # Images drawn at a time.
    config.sampling.batch_size = 64
    # Image n is drawn with seed `seed + n`.
    config.sampling.seed = 0
    # annealed_langevin: epsilon of the step x - epsilon^2/2 dE/dx + epsilon sqrt(T) N(0, I).
    config.sampling.step_size = 0.02
    # annealed_langevin: temperature of the first steps, its fall to 1, and the fall to 0.
    config.sampling.initial_temperature = 100.0
    config.sampling.hot_steps = 500
    config.sampling.cooling_steps = 2_000
    config.sampling.final_steps = 200
    # How the temperature falls from the initial one to 1: "exponential" or "linear".
    config.sampling.cooling = "exponential"
    # annealed_langevin: end with one denoising step x - sigma0^2 dE/dx, which the weighting
    # "score" does not make a denoiser. The other samplers always do.
    config.sampling.denoise = True
    # The others: noise levels at which chains begin and end; 0: noise.sigma_max, noise.sigma_min,
    # except that heun ends best at a tenth of noise.sigma_min (docs/samplers.md).
    config.sampling.sigma_max = 0.0
    config.sampling.sigma_min = 0.0
    # heun, ancestral: noise levels N from one to the other, for 2 N - 1 and N gradients, and
    # how they crowd near sigma_min (1: equal distances). mala, hmc: temperatures, one for each
    # level, (sigma / sigma0)^2.
    config.sampling.num_levels = 5
    config.sampling.rho = 7.0
    # heun: noise put back on the way (EDM's S_churn); 0: none, the start decides.
    config.sampling.churn = 0.0
    # coarse_to_fine: the first step size, and the share beta of a step by which the noise really
    # falls (1: no noise is added; the smaller, the more steps).
    config.sampling.h0 = 0.01
    config.sampling.beta = 0.5
    # coarse_to_fine: steps after which also those images end that are not yet at sigma_min.
    config.sampling.max_steps = 200
    # mala, hmc: moves at each temperature, and their step size as a share of the noise level.
    config.sampling.moves = 1
    config.sampling.step_share = 0.3
    # hmc: leapfrog steps of a move.
    config.sampling.leapfrog_steps = 3
    # Where chains begin: "gaussian" has mean and covariance of the training images, plus noise
    # of the first level (of the initial temperature); "isotropic" is 0.5 + sigma N(0, I) at the
    # first level, except that annealed_langevin has the paper's sigma = 1; "images" are those of
    # `start_images` under noise of the first level, seed s at image s mod N.
    config.sampling.start = "gaussian"
    # Images to start at: a .png of the model's size, or a .npy or .npz with an array `images`.
    config.sampling.start_images = ""
    # Besides the .npz with `images` and `energies`: "png", a folder of PNG files, as clean-fid,
    # pytorch-fid and torch-fidelity read it; "arr_0", an .npz with the images under that name,
    # as guided-diffusion's evaluator reads it; "none".
    config.sampling.extra_files = "none"
    # Steps between the states of the chain that are shown; 0: a 27th of the chain.
    config.sampling.show_every = 0

    config.restoration = ConfigDict()
    # What --mode=restore undoes: "inpaint_box" (a box in the middle is missing), "inpaint_half"
    # (the lower half), "inpaint_random" (random pixels), "inpaint_mask" (those of `mask`),
    # "super_resolution_2", "super_resolution_4" (means of 2x2, 4x4 pixels are known), "deblur"
    # (low frequencies), "compressive_sensing" (random projections), "denoise" (all pixels, under
    # noise of a level that is not told), "colorize" (the grey image); "all" that fit.
    config.restoration.task = "inpaint_box"
    # The sampler that is held to what is known, where it starts, and coarse_to_fine's beta and
    # max_steps; all else is config.sampling's. The defaults came nearest to the originals
    # (README.md). "denoise" is coarse_to_fine by config.sampling from the noisy image.
    config.restoration.sampler = "coarse_to_fine"
    config.restoration.start = "isotropic"
    config.restoration.beta = 0.1
    config.restoration.max_steps = 150
    # A file of images of the model's size (.png, .jpg, .npy, or .npz with `images`), or a folder of
    # such; empty: the held-out images.
    config.restoration.images = ""
    # The files hold what was measured (small images, grey ones, …) and not the originals.
    config.restoration.measured = False
    # A mask for "inpaint_mask": a picture (white: known), or an array of 1 and 0.
    config.restoration.mask = ""
    # Images restored (at most), and solutions of each, from different seeds.
    config.restoration.num_images = 8
    config.restoration.num_solutions = 3
    # Of the solutions' noise, and of random pixels, projections and added noise.
    config.restoration.seed = 0
    # inpaint_box: side of the box, as a share of the image's.
    config.restoration.hole = 0.5
    # inpaint_random, compressive_sensing: share of the pixels, of the coordinates, measured.
    config.restoration.known_share = 0.25
    # deblur: highest frequency that is known, in cycles a pixel (at most 0.5 along a row).
    config.restoration.cutoff = 0.15
    # denoise: level of the noise that is added to the originals.
    config.restoration.noise = 0.3

    config.evaluation = ConfigDict()
    # What --mode=evaluate looks at: "all", or some of quality (distances of samples to images),
    # memorisation (nearest training images), energies, outliers, denoising: "quality,outliers".
    config.evaluation.parts = "all"
    # Images that are drawn for it, by config.sampling.
    config.evaluation.num_samples = 1_024
    # Held-out images that are looked at one by one (at most).
    config.evaluation.num_images = 512
    # Features of images in which sets are compared: "classifier" (a small one, trained on the
    # run's labelled images), "inception" (the 2015 network of the FID), "none".
    config.evaluation.features = "classifier"
    # The Inception network's file, classify_image_graph_def.pb or the .tgz that holds it; empty:
    # downloaded once.
    config.evaluation.inception_path = ""
    # Images that samples are compared with: those of data.split ("train") or of
    # data.held_out_split ("held_out").
    config.evaluation.reference = "train"
    # An .npz with `mu` and `sigma` of the same features by another tool, in place of the
    # reference images' own; empty: computed, and kept in evaluation/statistics_….npz.
    config.evaluation.reference_statistics = ""
    # Of added noise, and of noise images.
    config.evaluation.seed = 0
    # Another data set that outliers are taken from, its fields as config.data's; empty: none.
    config.evaluation.foreign = ConfigDict()
    config.evaluation.foreign.source = ""
    config.evaluation.foreign.name = ""
    config.evaluation.foreign.path = ""
    # Side at which its images are read, before they are enlarged to the run's; 0: the run's.
    config.evaluation.foreign.image_size = 0

    config.likelihood = ConfigDict()
    # Where annealing begins: "gaussian" has mean and covariance of the training images plus noise
    # of `reference_sigma` (0: noise.sigma0 times the temperature's root); "isotropic" is
    # 0.5 + reference_sigma N(0, I) (0: 1).
    config.likelihood.reference = "gaussian"
    config.likelihood.reference_sigma = 0.0
    # T of the density exp(-E / T) / Z that is measured.
    config.likelihood.temperature = 1.0
    # Chains from the reference to the energy, and as many back; at a time.
    config.likelihood.num_chains = 64
    config.likelihood.batch_size = 64
    # Intervals of inverse temperature from 0 to 1: the more, the narrower the bracket.
    config.likelihood.num_temperatures = 400
    # Hamiltonian moves in each interval, and leapfrog steps of each.
    config.likelihood.moves = 1
    config.likelihood.leapfrog_steps = 5
    # Share of moves to be accepted. Chains of the pilot adapt step sizes to it at some inverse
    # temperatures, by rounds of moves, and find where intervals have to be short. They carry
    # no weight; what they found is then kept.
    config.likelihood.acceptance = 0.8
    config.likelihood.pilot_chains = 32
    config.likelihood.pilot_temperatures = 24
    config.likelihood.pilot_rounds = 8
    # Rounds of moves at the end of the chains up, before their like go down: the upper bound holds
    # as far as they have become samples of the model.
    config.likelihood.rest_rounds = 50
    # Images of the training and of the held-out part whose likelihood is told (at most).
    config.likelihood.num_images = 1_000
    # Chain n follows from seed `seed + n`.
    config.likelihood.seed = 0
    # A value is presented only if its bracket, with margins, is no wider than this, in bits/dim …
    config.likelihood.tolerance = 0.1
    # … and the weights of the chains up, and down, are worth so many equal ones.
    config.likelihood.min_effective = 5.0

    config.export = ConfigDict()
    # "saved_model" for TensorFlow and TensorFlow Serving; "torch": export/torch/step_NNNNNNNN.pt,
    # a state_dict for the authors' PyTorch networks.
    config.export.format = "saved_model"
    # Number of the version, export/<version>; 0: one more than the highest there.
    config.export.version = 0
    # Images of one request, at most; larger ones are refused.
    config.export.max_batch_size = 64

    return config.lock()
