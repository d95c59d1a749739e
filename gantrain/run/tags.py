"""What each scalar and each picture is, in a sentence that TensorBoard shows beside it (as Markdown)."""

from __future__ import annotations

NEAREST = "training/nearest_"
"""Beginning of the tags of the pictures by which copies are found; sorted by TensorBoard, they come after samples."""
BEST = "best"
"""Group of the best values so far; TensorBoard, which sorts, shows it first, also in the HParams tab."""

PLAYERS = {"d": "the discriminator", "g": "the generator"}
PICTURES = {
    "samples/ema": "Samples of the **averaged generator**, from the same latents at every step. "
    "Of points: generated ones in blue, above real ones in grey. Of signals: a line for each channel, from -1 to 1.",
    "samples/raw": "Samples of the **generator as it is**, not averaged, from the same latents at every step. "
    "Of points: generated ones in blue, above real ones in grey. Of signals: a line for each channel, from -1 to 1.",
    "samples/real": "**Real** samples, for comparison.",
    "theory": "D beside the optimal D, and the estimates beside the true values.",
}
OF_A_PLAYER = {
    "loss": "The loss that {player} minimises: the sum of its terms.",
    "adversarial": "The term of {player}'s loss that the objective gives; the others are regularizers.",
    "score_real": "D's mean score of the real batch, in the turn of {player}.",
    "score_fake": "D's mean score of the generated batch, in the turn of {player}.",
    "gradient_norm": "The norm of {player}'s gradient, before it is clipped.",
    "learning_rate": "The learning rate of {player}.",
    "skipped_steps": "Updates of {player} that float16 has skipped so far, because a gradient was not finite.",
}
SPEED = {
    "speed/steps_per_s": "Steps a second since the last line, without evaluation, pictures and checkpoints.",
    "speed/images_per_s": "Real samples a second that D was shown, without evaluation, pictures and checkpoints.",
}


def described(tag: str) -> str:
    """Return what stands under a tag of gantrain's, in one or two sentences."""
    group, _, name = tag.partition("/")
    if known := (PICTURES | SPEED).get(tag):
        return known
    if group in PLAYERS:
        return of_a_player(name, PLAYERS[group])
    if tag.startswith(NEAREST):
        return (
            "The generated images that come nearest to the training set by pixels: **above**, a generated image; "
            f"**below**, the training image nearest to it. The protocol is `{tag.removeprefix(NEAREST)}`."
        )
    if group == BEST:
        metric, features, digest = name.rsplit("_", 2)
        return (
            f"The best `{metric}` so far, of the values under `eval_{features}_{digest}/{metric}`: "
            "the one that chooses the best checkpoint."
        )
    if group == "schedule":
        return f"The setting `{name}`, which `schedule` moves, in the step to come."
    if group == "estimate":
        return f"What the objective estimates, `{name}`, from one batch; its true value is `truth/{name}`."
    if group == "truth":
        return f"The true value of `{name}`, computed from both densities."
    if group.startswith("eval_"):
        return f"The metric `{name}` by the protocol `{group}`, which `evaluation.json` holds in full."
    return f"`{tag}`"


def of_a_player(name: str, player: str) -> str:
    """Return what a value of a player is: one that every loss has, or one that this loss brings."""
    if known := OF_A_PLAYER.get(name):
        return known.format(player=player)
    return f"`{name}`: a term of {player}'s loss by that regularizer, or what its objective estimates, with its unit."
