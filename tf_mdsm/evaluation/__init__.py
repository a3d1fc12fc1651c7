"""Evaluation: sample quality, memorization, out-of-distribution detection, denoising, likelihood.

Everything takes arrays and callables, and knows neither the configuration nor the model.
"""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "classifier": ["classifier_features", "train_classifier"],
        "denoising": ["add_noise", "denoising_rows"],
        "feature_statistics": [
            "FeatureStatistics",
            "fit_feature_statistics",
            "load_feature_statistics",
            "save_feature_statistics",
        ],
        "features": ["FeatureExtractor"],
        "image_quality": ["psnr", "ssim"],
        "inception": ["download_inception", "load_inception"],
        "memorization": ["nearest_neighbors"],
        "out_of_distribution": [
            "constant_images",
            "detection_metrics",
            "detection_scores",
            "shuffled_patches",
            "uniform_noise",
            "upside_down",
        ],
        "sample_quality": [
            "frechet_distance",
            "inception_score",
            "kernel_distance",
            "precision_and_recall",
        ],
    },
    modules=["likelihood"],
)
