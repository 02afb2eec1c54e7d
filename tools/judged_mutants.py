"""What a person said of mutants that survived: (file, the line as changed, verdict, why).

The verdict is `same` where no behaviour that a caller can see changes, `gap` where a test was missing; the reason then
names the test that was written for it, and seen to fail on the change.
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
    ("medfeat/report/page/results.py",
     'lead = f"{runs:,} runs on {len(questions)} '
     "{'datasets and tasks' if len(questions) == 1 else 'dataset'}\"", "gap",
     "test_report.py::test_numbers_are_those_of_the_runs_and_every_run_has_a_group looks at the lead"),
    ("medfeat/tasks/samples.py", "def gather(store: Readable, task: Task, *, bags: bool = True) -> Samples:", "gap",
     "test_bags.py::test_samples_are_one_vector_each_unless_bags_are_asked_for"),
    ("medfeat/report/stores.py", 'header.created_utc[:17].replace("T", " "),', "gap",
     "test_tables.py::test_a_store_was_made_at_a_minute"),
    ("medfeat/workflows/auditing/audit_report.py", "removed: int = 1", "gap",
     "test_audit.py::test_images_that_are_gone_leave_exact_duplicates_and_a_word looks at what was removed"),
    ("medfeat/workflows/auditing/audit_report.py", "pass", "gap",
     "test_audit.py::test_planted_label_errors_are_found looks at the notes"),
    ("medfeat/report/robustness.py", "pass", "gap",
     "test_robustness.py::test_copies_are_embedded_once_and_every_head_finds_them looks at the scale of the panels"),
    ("medfeat/evaluation/runs/leftovers.py", "pass", "gap",
     "test_vouched_runs.py::test_hidden_files_of_killed_commands_go_after_an_hour_wherever_notes_are"),
    ("medfeat/workflows/auditing/audit_report.py",
     'notes = [f"{more} more in label_errors.csv and --json"] if more >= 0 else []', "gap",
     "test_audit.py::test_doubted_labels_that_are_not_shown_are_counted"),
    ("cache/medfeat_cache/coverage.py",
     "width = values.dtype.itemsize // (1 if values.dtype.kind == 'U' else 4)", "gap",
     "test_no_files.py::test_ids_are_measured_by_their_letters_whatever_their_width"),
)  # fmt: skip
