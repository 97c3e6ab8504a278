"""Files that hold secrets: read only where nobody but their owner may read them."""

from __future__ import annotations

import stat
from pathlib import Path

from envs.types import BadInput


def text_of(path: Path, mend: str) -> str:
    """Raises BadInput for a file that is missing (`mend` says what to do) or that others may read."""
    try:
        mode, text = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); {mend}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: no text; {mend}") from None
    if mode & 0o077:
        raise BadInput(f"{path}: others may read it (mode {mode:03o}); run `chmod 600 {path}`")
    return text
