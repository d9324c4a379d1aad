"""Runs all clients against `kv`, and closes with a line in the words of `cargo test`."""

import pathlib
import sys
import unittest

tests = unittest.defaultTestLoader.discover(str(pathlib.Path(__file__).parent))
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
failed = len(result.failures) + len(result.errors)
skipped = len(result.skipped)
passed = max(0, result.testsRun - failed - skipped)
print(f"test result: {passed} passed; {failed} failed; {skipped} ignored")
sys.exit(failed > 0)
