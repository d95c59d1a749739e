"""For torch.hub: torch.hub.load("user/gantrain", "generator", folder="outputs/…/export")."""

dependencies = ["torch", "torchvision", "hydra", "omegaconf", "safetensors", "scipy", "sklearn"]


def generator(folder, device="cpu"):
    """Return the generator that gantrain-export wrote into a folder, or a repository of the Hugging Face hub has."""
    import gantrain

    return gantrain.load(folder, device)
