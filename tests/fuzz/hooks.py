"""Loaded by schemathesis.toml."""

import checks  # noqa: F401
import seed  # noqa: F401
