"""Zstandard for many threads: a context that two threads share crashes the process."""

import threading
from collections.abc import Sequence


class PerThread(threading.local):
    """Compressors, one a level, and a decompressor, for each thread; all know the same `words`."""

    def __init__(self, levels: Sequence[int], words: bytes = b"") -> None:
        import zstandard

        def known(level: int) -> zstandard.ZstdCompressionDict | None:
            if not words:
                return None
            made = zstandard.ZstdCompressionDict(words, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            made.precompute_compress(level=level)
            return made

        self.compress = [
            zstandard.ZstdCompressor(level=level, dict_data=known(level), write_dict_id=False).compress
            for level in levels
        ]
        """In the order of `levels`."""
        self.expand = zstandard.ZstdDecompressor(dict_data=known(levels[0])).decompress
        self.size = zstandard.frame_content_size
        self.error = zstandard.ZstdError
