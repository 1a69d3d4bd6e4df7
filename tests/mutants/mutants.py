"""Tries every mutant that cargo-mutants knows of a package, in minutes instead of days.

    pip install -r tests/mutants/requirements.txt
    cargo install --locked cargo-mutants
    python3 tests/mutants/mutants.py PACKAGE WORK [FILE...]

cargo-mutants builds the tests once for each mutant. Here all of them stand in one build, each behind a
switch that an environment variable chooses, so that a mutant costs a run of those tests that reach it.
Which mutants there are, cargo-mutants says; those that can't be switched it tries itself in the end.

WORK is a folder for a copy of the last commit, and for `mutants.json`, which says of each mutant what
became of it: `caught` and by which test, `timeout`, `unviable`, or `survived`. Begun again with the same
WORK, the run goes on. Files are named from the root of the workspace.
"""

import concurrent.futures
import json
import math
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import threading
import time

from source import Source, named

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Tests at once.
JOBS = int(os.environ.get("MUTANTS_JOBS", "1"))
# A test that takes this many times the processor's time that it took, and some seconds more, hangs.
PATIENCE, GRACE = 5, 1
# Tests that take more of it, in seconds, come when all others have been tried with every mutant.
LONG = 0.25
SWITCH = """
/// Whether that mutant is chosen; without a choice, notes which were asked for.
#[doc(hidden)]
pub fn mutant(number: usize) -> bool {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static CHOSEN: LazyLock<usize> = LazyLock::new(|| {
        let chosen = std::env::var("MUTANT").ok();
        chosen.and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    });
    static REACHED: [AtomicBool; 8192] = [const { AtomicBool::new(false) }; 8192];
    let chosen = *CHOSEN;
    if chosen == usize::MAX && !REACHED[number].swap(true, Ordering::Relaxed) {
        if let Ok(path) = std::env::var("MUTANTS_REACHED") {
            use std::io::Write as _;
            let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
            writeln!(file, "{number}").unwrap();
        }
    }
    chosen == number
}
"""


class Run:
    def __init__(self, package, work, files):
        self.package, self.work, self.files = package, work, files
        self.copy, self.listing = work / "copy", work / "mutants.json"
        self.lock = threading.Lock()
        self.environment = os.environ | {
            "CARGO_TARGET_DIR": str(work / "target"),
            # Lints of an altered line are no test.
            "RUSTFLAGS": "--cap-lints=allow",
            # Optimised, the tests take a tenth of the time.
            "CARGO_PROFILE_DEV_OPT_LEVEL": "2",
            "CARGO_PROFILE_DEV_DEBUG": "0",
            "PROPTEST_FAILURE_PERSISTENCE": "off",
        }

    def cargo(self, *arguments):
        command = ["cargo", "--config=profile.dev.package.'*'.opt-level=2", *arguments]
        return subprocess.run(
            command, cwd=self.copy, env=self.environment, capture_output=True, text=True
        )

    def save(self, mutants):
        with self.lock:
            new = self.listing.with_suffix(".new")
            new.write_text(json.dumps(mutants, indent=1))
            new.replace(self.listing)

    def clean_copy(self):
        """The last commit, with nothing put in."""
        if self.copy.exists():
            command = ["git", "-C", str(self.copy), "checkout", "--quiet", "."]
        else:
            command = ["git", "clone", "--quiet", "--shared", str(ROOT), str(self.copy)]
        subprocess.run(command, check=True)

    def list(self):
        """What cargo-mutants says that there is."""
        self.clean_copy()
        files = [part for file in self.files for part in ("-f", file)]
        listed = self.cargo(
            "mutants", "--list", "--json", "--all-features", "-p", self.package, *files
        )
        if listed.returncode:
            sys.exit(listed.stderr)
        mutants = json.loads(listed.stdout)
        keep = ("name", "file", "genre", "span", "replacement")
        return [{key: mutant[key] for key in keep} | {"outcome": "switch"} for mutant in mutants]

    def put(self, mutants):
        """Puts in the switches. A mutant that the compiler refuses is taken out again, until all
        builds: it is what cargo-mutants calls unviable."""
        files = sorted({mutant["file"] for mutant in mutants})
        sources = {file: Source(self.copy / file) for file in files}
        library = self.copy / self.package.removeprefix("vestibule-") / "src" / "lib.rs"
        before = library.read_bytes()
        while True:
            texts = {}
            for file, source in sources.items():
                own = {
                    number: mutant
                    for number, mutant in enumerate(mutants)
                    if mutant["file"] == file and mutant["outcome"] == "switch"
                }
                texts[file], left = source.switched(own)
                source.path.write_bytes(texts[file])
                for number in left:
                    mutants[number]["outcome"] = "unswitched"
            name = str(library.relative_to(self.copy))
            texts[name] = texts.get(name, before) + SWITCH.encode()
            library.write_bytes(texts[name])
            refused, elsewhere = self.refused(texts)
            if not refused and not elsewhere:
                return
            print(f"{len(refused)} don't compile", flush=True)
            for number in refused:
                # A boxed iterator may be refused where a bare one is not.
                boxed = mutants[number]["replacement"].startswith("::std::iter")
                mutants[number]["outcome"] = "unswitched" if boxed else "unviable"
            for file in elsewhere if not refused else []:
                if not sources[file].constants:
                    sys.exit(f"{file} doesn't compile")
                sources[file].constants = False

    def refused(self, texts):
        """The numbers of those that the compiler names, and the files in which it names something
        else."""
        check = self.cargo(
            "check", "--message-format=json", "--all-features", "-p", self.package
        )
        numbers, files = set(), set()
        if check.returncode == 0:
            return numbers, files
        for line in check.stdout.splitlines():
            message = json.loads(line).get("message") if line.startswith("{") else None
            if not isinstance(message, dict) or message.get("level") != "error":
                continue
            for span in message["spans"]:
                text = texts.get(span["file_name"])
                if text is not None and span["is_primary"]:
                    found = named(text, span["byte_start"])
                    numbers.update(found)
                    if not found:
                        files.add(span["file_name"])
        if not numbers and not files:
            sys.exit(check.stderr)
        return numbers, files

    def programs(self):
        """The test programs of the build with switches."""
        build = self.cargo(
            "test", "--no-run", "--message-format=json", "--all-features", "-p", self.package
        )
        if build.returncode:
            sys.exit(build.stderr)
        artifacts = (json.loads(line) for line in build.stdout.splitlines() if line[0] == "{")
        return [
            artifact["executable"]
            for artifact in artifacts
            if artifact.get("executable") and artifact["profile"]["test"]
        ]

    def passes(self, program, test, patience, **more):
        """Whether that test passes; None if it hangs."""
        command = [program, "--exact", test, "--test-threads=1", "--quiet"]
        seconds = math.ceil(patience)
        done = subprocess.run(
            command,
            cwd=self.copy / self.package.removeprefix("vestibule-"),
            env=self.environment | more,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return None
        return done.returncode == 0

    def tests(self):
        """All tests, the quickest first, each with the switches that it reaches."""
        known = self.work / "tests.json"
        if known.exists():
            return json.loads(known.read_text())
        tests = []
        for program in self.programs():
            lists = [
                subprocess.run([program, "--list", *more], capture_output=True, text=True)
                for more in ([], ["--ignored"])
            ]
            listed, ignored = (set(one.stdout.splitlines()) for one in lists)
            for line in sorted(listed - ignored):
                if not line.endswith(": test"):
                    continue
                test = line.removesuffix(": test")
                notes = self.work / "reached"
                notes.unlink(missing_ok=True)
                begun = spent()
                if not self.passes(program, test, 3600, MUTANTS_REACHED=str(notes)):
                    sys.exit(f"{test} fails without a mutant")
                took = spent() - begun
                numbers = notes.read_text().split() if notes.exists() else []
                numbers = sorted(int(number) for number in numbers)
                tests.append([took, program, test, numbers])
        tests.sort()
        known.write_text(json.dumps(tests))
        return tests

    def attempt(self, number, mutant, tests):
        """Whether one of these tests notices that mutant."""
        for took, program, test, numbers in tests:
            if number not in numbers:
                continue
            passed = self.passes(program, test, took * PATIENCE + GRACE, MUTANT=str(number))
            if not passed:
                mutant["test"] = test
                mutant["outcome"] = "timeout" if passed is None else "caught"
                return

    def switched(self, mutants):
        """Tries those that have a switch."""
        tests = self.tests()
        print(f"{len(tests)} tests take {sum(test[0] for test in tests):.0f} s", flush=True)
        quick = [test for test in tests if test[0] <= LONG]
        slow = tests[len(quick) :]
        for tests, before, after in [(quick, "switch", "slow"), (slow, "slow", "survived")]:
            with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
                attempts = {
                    pool.submit(self.attempt, number, mutant, tests): mutant
                    for number, mutant in enumerate(mutants)
                    if mutant["outcome"] == before
                }
                saved = time.monotonic()
                for attempt in concurrent.futures.as_completed(attempts):
                    attempt.result()
                    mutant = attempts[attempt]
                    if mutant["outcome"] == before:
                        mutant["outcome"] = after
                        print(f"{mutant['name']}: {after}", flush=True)
                    if time.monotonic() > saved + 10:
                        self.save(mutants)
                        saved = time.monotonic()
            self.save(mutants)

    def unswitched(self, mutants):
        """Those without a switch are for cargo-mutants itself."""
        names = {m["name"]: m for m in mutants if m["outcome"] == "unswitched"}
        if not names:
            return
        self.clean_copy()
        chosen = [part for name in names for part in ("-F", f"^{re.escape(name)}$")]
        self.cargo(
            *("mutants", "--in-place", "--baseline=skip", "--timeout=300", "--all-features"),
            *("--output", str(self.work), "-p", self.package, *chosen),
        )
        outcomes = json.loads((self.work / "mutants.out" / "outcomes.json").read_text())
        words = {"CaughtMutant": "caught", "MissedMutant": "survived", "Timeout": "timeout"}
        for outcome in outcomes["outcomes"]:
            scenario = outcome["scenario"]
            # Fields of structs come whatever was asked for.
            if isinstance(scenario, dict) and scenario["Mutant"]["name"] in names:
                mutant = names[scenario["Mutant"]["name"]]
                mutant["outcome"] = words.get(outcome["summary"], "unviable")
                mutant["test"] = "cargo-mutants"
        self.save(mutants)


def spent():
    """The processor's time that ended test programs took, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    package, work, *files = sys.argv[1:]
    run = Run(package, pathlib.Path(work).resolve(), files)
    run.work.mkdir(parents=True, exist_ok=True)
    if run.listing.exists():
        mutants = json.loads(run.listing.read_text())
    else:
        mutants = run.list()
        print(f"{len(mutants)} mutants", flush=True)
        run.put(mutants)
        run.save(mutants)
    if any(mutant["outcome"] in ("switch", "slow") for mutant in mutants):
        run.switched(mutants)
    run.unswitched(mutants)
    outcomes = [mutant["outcome"] for mutant in mutants]
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))})


if __name__ == "__main__":
    main()
