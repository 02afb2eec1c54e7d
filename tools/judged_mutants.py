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
)  # fmt: skip
