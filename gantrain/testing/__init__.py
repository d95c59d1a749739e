"""Proofs for a class of your own: the checks that gantrain's own objectives and regularizers pass.

>>> from gantrain.testing import check_objective
>>> check_objective(MyLoss())

Each check runs a list of named proofs and raises ``ProofError`` at the first that fails. It takes about a second, needs
neither data nor a configuration, and leaves the object and the random number generators as they were.

Above losses and regularizers, which it proves; only tests import this package, nothing in gantrain does.
"""

from gantrain.testing.objective import check_objective
from gantrain.testing.proof import ProofError
from gantrain.testing.regularizer import check_regularizer

__all__ = ["ProofError", "check_objective", "check_regularizer"]
