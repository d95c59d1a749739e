"""One game on several processes, the ranks: what each of them sees, and what they tell one another.

Every rank holds both networks, sees its own share of each batch, and moves by the gradient of the whole one: after each
backward all gradients are averaged at once (``Ranks.average``). No module is wrapped, so a penalty's second
differentiation, lazy terms and several backwards are what they are in one process.

Needs torch alone; above errors, below everything that plays.
"""

from gantrain.distributed.batch_norm import synchronised
from gantrain.distributed.ranks import ALONE, Alone, Ranks

__all__ = ["ALONE", "Alone", "Ranks", "synchronised"]
