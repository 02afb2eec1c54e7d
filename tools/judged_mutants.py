"""What a person said of mutants that survived: (file, the line as changed, verdict, why).

The verdict is `same` where no behaviour that a caller can see changes, `gap` where a test was missing; the reason then
names the test that sees it now.
"""

JUDGED: tuple[tuple[str, str, str, str], ...] = ()
