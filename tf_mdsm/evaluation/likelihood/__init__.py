"""Likelihood of images by annealed importance sampling: bounds of log Z, and bits per dimension."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "ais": ["AnnealedImportanceSampling"],
        "bounds": ["LogZBounds", "bound_log_z"],
        "estimate": ["AnnealingSettings", "LogZEstimate", "estimate_log_z"],
        "gaussian": ["GaussianReference", "isotropic_reference"],
        "path": ["AnnealingPath"],
        "summary": ["likelihood_report", "summarize"],
    },
)
