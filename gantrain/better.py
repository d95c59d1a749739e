"""Which measured values are good when they are high, and which when they are low."""

from __future__ import annotations

HIGHEST, LOWEST = "highest", "lowest"
BETTER = {
    "fid": LOWEST,
    "fid_infinity": LOWEST,
    "kid": LOWEST,
    "is": HIGHEST,
    "precision": HIGHEST,
    "recall": HIGHEST,
    "density": HIGHEST,
    "coverage": HIGHEST,
    "sliced_wasserstein": LOWEST,
    "memorised_pixels": LOWEST,
    "memorised_features": LOWEST,
    "modes": HIGHEST,
    "high_quality": HIGHEST,
    "mode_kl": LOWEST,
    "w2": LOWEST,
}
"""Which values are the good ones."""
SHOWN = (*BETTER, "ms_ssim")
"""What tables show: not spreads and floors, but what is good near the value of real images too."""
