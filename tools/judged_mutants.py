"""What a person said of mutants that survived: (file, the line as changed, verdict, why).

The verdict is `same` where no behaviour that a caller can see changes, `gap` where a test is missing; the reason then
names the test that was written for it. Once that was seen to fail on the change, the results say so, and the gap goes.
"""

JUDGED: tuple[tuple[str, str, str, str], ...] = (
    ("medfeat/extraction/network/frozen.py", "digest = hashlib.blake2b(digest_size=17)", "same",
     "the digest is compared with another of the same process and kept nowhere"),
    ("medfeat/workflows/auditing/audit_images.py",
     "at = dict(zip(self._rows[mine].tolist(), mine.tolist(), strict=False))", "same",
     "both sides are as long as `mine`"),
    ("medfeat/evaluation/compare/paired.py", "seed: int = 1,", "same",
     "every caller gave the seed; the default is gone"),
    ("medfeat/extraction/measure/sample.py", "if held > BATCH_BYTES:", "same",
     "images to measure speed with: one batch more where batches fill the bound exactly; no vector depends on it"),
    ("medfeat/heads/auto.py", "MOST_PAIRS = 10000000000001.0", "same",
     "a whole number n * n * d lies above both limits, or above neither, but for 10,000,000,000,001 = n * n * d alone"),
    ("medfeat/extraction/loop/read_ahead.py", "self._bytes = 1", "same",
     "the bound on what waits is 192 MB, and would be one byte less"),
    ("medfeat/datasets/decoding/intensity.py", "if contract.low is not None or contract.high is not None:", "same",
     "a window has both ends, or neither and is the file's own: no contract is made with one"),
    ("medfeat/backbones/weights/weights_file.py", "pass", "same",
     "whoever read a file had just found it to be one; the look is now where a path is none, and the message says so"),
    ("medfeat/backbones/library.py", "offline: bool = True", "same", "every caller says it; the default is gone"),
    ("cache/medfeat_cache/reader.py", "_BATCH_BYTES = 257 << 20", "same",
     "how much of wide rows is held at once; the rows are the same, and 1 MiB more is within what any page promises"),
    ("medfeat/tasks/few_shot.py", "@dataclass(frozen=False)", "same", "no code assigns to a draw or hashes one"),
    ("medfeat/evaluation/judging/tuned.py", "@dataclass(frozen=False)", "same",
     "no code assigns to what is known of a training or hashes it"),
    ("medfeat/workflows/auditing/audit_images.py",
     "for a, b in zip(first.tolist(), second.tolist(), strict=False)]  # fmt: skip", "same",
     "both are the same slice of the two columns of the pairs"),
    ("medfeat/extraction/ask/colours.py", "_READ_BATCH = 65", "same",
     "how many images are decoded at once to see whether a set holds grey and colour ones: it does or it does not"),
)  # fmt: skip
