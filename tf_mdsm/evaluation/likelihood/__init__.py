"""Likelihood of images: a bound by the sampler, the density of its flow, bounds of log Z."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "ais": ["AnnealedImportanceSampling"],
        "bounds": ["LogZBounds", "bound_log_z"],
        "estimate": ["AnnealingSettings", "LogZEstimate", "estimate_log_z"],
        "chain_bound": ["ChainBound", "NoisyGuesses", "choose_levels"],
        "flow": ["FlowBound", "FlowDensity"],
        "gaussian": ["GaussianReference", "isotropic_reference"],
        "mixture": ["MixtureReference"],
        "path": ["AnnealingPath"],
        "pixel_decoder": ["PixelDecoder", "fit_decoder"],
        "start_density": ["StartDensity"],
        "summary": ["likelihood_report", "summarize"],
    },
)
