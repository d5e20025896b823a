#!/usr/bin/env python3
"""packaging/gpu-check on a machine without a card: its options, how it reads what tests print, its limits and its report."""
import importlib.machinery
import importlib.util
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "packaging/gpu-check"
loader = importlib.machinery.SourceFileLoader("gpu_check", str(SCRIPT))
sys.dont_write_bytecode = True
gpu_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
loader.exec_module(gpu_check)

RULE = "-" * 79
PRINTED = f"""1.204 s: a fresh method starts on a device as on the CPU

{"~" * 79}
card_tests is a Catch v2.13.10 host application.
Run with -? for options

{RULE}
what a method says and learns on a device is what it says and learns on the
CPU
{RULE}
methods_test.cpp:24
{"." * 79}

methods_test.cpp:28: FAILED:
  REQUIRE( moved == attached )

3.500 s: what a method says and learns on a device is what it says and learns on the CPU
0.300 s: labels are scored on a device as on the CPU
"""
SUMMARY = f"""{"=" * 79}
test cases: 3 | 2 passed | 1 failed
assertions: 9 | 8 passed | 1 failed
"""
SPEED = {"what": "training", "method": "lora", "against": "best", "dtype": "bfloat16", "unit": "tokens per wall second", "permille": 300000, "best": 200000,
         "ratio": {"min": 1.4, "median": 1.5, "max": 1.6}, "peak_bytes": {"permille": 4e9, "best": 8e9}, "machine_flops": 8e14,
         "share_of_matrix_rate": {"permille": 0.45, "best": 0.3}}


def called(*words):
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)


class Options(unittest.TestCase):
    def test_an_option_that_is_none_is_wrong_usage(self):
        self.assertEqual(called("--card").returncode, 2)
        self.assertEqual(called("measure").returncode, 2)

    def test_a_folder_without_a_pack_and_a_build_without_programs_are_told(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertIn("packaging/gpu-check pack", called("run", empty).stderr)
            packed = called("pack", f"{empty}/pack", "--build", empty, "--without-peer")
            self.assertEqual(packed.returncode, 1)
            self.assertIn("cmake --build build/release --target card_tests", packed.stderr)
            self.assertFalse(Path(empty, "pack").exists())


class Reading(unittest.TestCase):
    def test_passed_and_failed_tests_are_told_apart(self):
        failed = "what a method says and learns on a device is what it says and learns on the CPU"
        for text in (PRINTED, PRINTED + SUMMARY):
            passed, wrong, said = gpu_check.read_tests(text)
            self.assertEqual(passed, ["a fresh method starts on a device as on the CPU", "labels are scored on a device as on the CPU"])
            self.assertEqual(wrong, [failed])
            self.assertIn("REQUIRE( moved == attached )", said)

    def test_a_test_that_ended_the_program_has_failed(self):
        text = PRINTED[:PRINTED.index("3.500 s")].replace("FAILED:", "FAILED:\ndue to a fatal error condition:\n  SIGSEGV")
        passed, failed, _ = gpu_check.read_tests(text)
        self.assertEqual((len(passed), len(failed)), (1, 1))


class Limits(unittest.TestCase):
    def test_a_part_that_takes_too_long_is_cut_with_what_it_started(self):
        with tempfile.TemporaryDirectory() as folder:
            log, check, start = Path(folder, "log"), gpu_check.Check(60), time.monotonic()
            self.assertIsNone(check.run(["sh", "-c", "echo begun; (sleep 20; touch late) & sleep 20"], 1, log, {"PATH": "/usr/bin:/bin"}))
            self.assertLess(time.monotonic() - start, 10)
            self.assertEqual(log.read_text(), "begun\n")
            self.assertEqual(check.run(["sh", "-c", "exit 3"], 5, log, {"PATH": "/usr/bin:/bin"}), 3)
            self.assertIsNone(gpu_check.Check(0).run(["true"], 5, log, {}))

    def test_a_part_that_fails_leaves_the_next_ones_to_be_done(self):
        def trouble():
            raise gpu_check.Trouble("no such device")
        check = gpu_check.Check(60)
        self.assertFalse(check.part("first", trouble))
        self.assertFalse(check.part("second", lambda: {"outcome": "cut", "says": "late"}))
        self.assertTrue(check.part("third", lambda: {"says": "well"}))
        self.assertEqual([part["outcome"] for part in check.parts], ["failed", "cut", "done"])


class Starters(unittest.TestCase):
    def test_the_packed_c_library_is_for_machines_with_an_older_one(self):
        for own, packed, used in (("2.35", "2.36", True), ("2.36", "2.36", False), ("2.39", "2.36", False), ("2.9", "2.36", True)):
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                (work / "permille/programs").mkdir(parents=True)
                (work / "permille/programs/card_tests").touch()
                self.assertEqual(gpu_check.write_starters(work, "/site/torch/__init__.py", packed, own), used)
                text = (work / "bin/card_tests").read_text()
                self.assertIn("/site/torch/lib", text)
                self.assertEqual("exec '" + str(work / "permille/libc/ld-linux-x86-64.so.2") in text, used)


class Report(unittest.TestCase):
    machine = {"device": "a card", "PyTorch": "2.11"}

    def test_all_well(self):
        text, well = gpu_check.write_report(self.machine, [
            {"name": "tests", "outcome": "done", "says": "1 passed, 0 failed", "seconds": 3, "passed": ["beams"], "failed": []},
            {"name": "training", "outcome": "done", "says": "1.50 times as fast", "seconds": 40, "speed": SPEED}])
        self.assertTrue(well)
        self.assertIn("nothing failed", text)
        self.assertIn("| training, lora, bfloat16 | 300,000 tokens per wall second | 200,000 tokens per wall second | 1.50 (1.40-1.60) | 4.00 and 8.00 GB | "
                      "45 % and 30 % |", text)
        self.assertIn("800 TFLOP/s", text)

    def test_what_failed_and_what_was_cut_is_said(self):
        for outcome in ("failed", "cut"):
            text, well = gpu_check.write_report(self.machine, [
                {"name": "tests", "outcome": outcome, "says": "0 passed, 1 failed", "seconds": 3, "passed": [], "failed": ["beams"], "said": "a | b"}])
            self.assertFalse(well)
            self.assertIn(f"tests: {outcome}", text)
            self.assertIn("- beams", text)


if __name__ == "__main__":
    unittest.main()
