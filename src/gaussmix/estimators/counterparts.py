"""Classes of scikit-learn's for whose instances ours pass, without importing scikit-learn."""

import sys
from abc import ABCMeta
from typing import Any, ClassVar, NamedTuple


class Name(NamedTuple):
    """Where scikit-learn has a class."""

    module: str
    name: str


REPLACED: dict[Name, Any] = {}
"""The classes of scikit-learn's in whose places ours stand, while `patch_sklearn` is in force."""


class StandIn:
    """Base of the estimators whose instances pass for instances of a class of scikit-learn's.

    ``isinstance(model, sklearn.mixture.GaussianMixture)`` asks the model for its `__class__`, and
    then for the virtual subclasses of scikit-learn's class (`abc.ABCMeta.register`). So the class
    of the model is registered at the question itself. It holds whichever of the two libraries was
    imported first, and nothing is done for a program that does not ask.
    """

    _stands_for: ClassVar[Name]

    @property
    def __class__(self) -> Any:
        """The class, registered with scikit-learn's if that is imported."""
        own = type(self)
        register(own)
        return own

    @__class__.setter
    def __class__(self, value: Any) -> None:
        object.__dict__["__class__"].__set__(self, value)


def register(own: type[StandIn]) -> None:
    """Make a class a virtual subclass of the class of scikit-learn's that it stands for, if any."""
    module, name = own._stands_for
    theirs = REPLACED.get(own._stands_for) or getattr(sys.modules.get(module), name, None)
    if isinstance(theirs, ABCMeta):
        theirs.register(own)
