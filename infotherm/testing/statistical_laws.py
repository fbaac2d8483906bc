"""Statistical laws: those that chance may break, with a stated probability. Importing this registers them all."""

from infotherm.testing import bias_laws, information_laws, interval_laws

__all__ = ["bias_laws", "information_laws", "interval_laws"]
