"""The checks: one module a topic. Importing one registers its checks."""

from importlib import import_module

import pytest

NAMES = ("system", "assistants", "threads", "state", "runs", "streams", "transport", "webhooks", "crons", "store")


def load() -> None:
    """Register all checks. Their assertions say what was wrong, as those of tests do."""
    pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in NAMES))
    for name in NAMES:
        import_module(f"{__name__}.{name}")
