"""Ctrl-C and other signals that end the command, and a start that fails."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import GaussianMixture, save
from gaussmix.cli import signals
from gaussmix.cli.main import main

if os.name == "nt":
    pytest.skip("signals of POSIX", allow_module_level=True)

ENDS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "stopped by SIGTERM"),
    (signal.SIGHUP, 129, "stopped by SIGHUP"),
]

PATIENCE = 60  # seconds for what a machine with other work does in one


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gaussmix", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Send a signal, and return the exit status and what standard error says."""
    process.send_signal(number)
    try:
        _, error = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()  # else one that missed the signal would work on for ever
    return process.returncode, error


def wait_for(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a sign of work."""
    end = time.monotonic() + PATIENCE
    while not sign():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Signals that are ignored here, as under nohup, would be by the processes started, too."""
    numbers = [number for number, *_ in ENDS]
    ignored = [n for n in numbers if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "data.npy", rng.normal(size=(400_000, 8)))
    return tmp_path / "data.npy"


@pytest.mark.parametrize(("number", "status", "message"), ENDS)
def test_a_fit_writes_its_checkpoint_and_says_how_to_go_on(
    number: int, status: int, message: str, data: Path
) -> None:
    path, model = data.with_name("run.ckpt"), data.with_name("m.npz")
    np.save(data, np.load(data)[:20_000])
    command = ["fit", data, "-k", 4, "--tol", 0, "--init", "random", "--seed", 0, "-o", model]
    endless = [*command, "--max-iter", 10**8, "--checkpoint", path, "--checkpoint-interval", 1e6]
    n_iter = 0
    for seconds in range(1, 6):  # of many iterations, unless the machine has much other work
        process = started(*endless)
        wait_for(path.exists, process)  # the starts are written at once
        time.sleep(seconds)
        found, error = ended(process, number)
        assert found == status
        assert error.endswith(
            f"gaussmix: {message}\n"
            f"gaussmix: {path} holds the fit's progress: run the same again to go on from there\n"
        )
        with np.load(path) as archive:
            n_iter = len(archive["0.lower_bounds"])
        if n_iter > 0:
            break
    assert n_iter > 0
    assert sorted(p.name for p in data.parent.iterdir()) == ["data.npy", "run.ckpt"]


@pytest.mark.parametrize(("number", "status", "message"), ENDS)
def test_a_prediction_leaves_nothing_behind(
    number: int, status: int, message: str, data: Path
) -> None:
    rng = np.random.default_rng(0)
    model = GaussianMixture.from_parameters(
        np.full(50, 0.02), rng.normal(size=(50, 8)), np.ones(50), "spherical"
    )
    save(model, data.with_name("m.npz"))
    np.save(data, np.tile(np.load(data), (4, 1)))
    out = data.with_name("out.csv")
    process = started("predict", data.with_name("m.npz"), data, "--proba", "-o", out)
    wait_for(lambda: any(data.parent.glob(".gaussmix-*.tmp")), process)
    assert ended(process, number) == (status, f"gaussmix: {message}\n")
    assert sorted(p.name for p in data.parent.iterdir()) == ["data.npy", "m.npz"]


def test_a_signal_while_the_command_starts_is_one_line() -> None:
    """From the moment that Python runs the command's own code."""
    code = (
        "import os, signal, sys\n"
        "from gaussmix.cli.main import main\n"
        "assert 'numpy' not in sys.modules\n"
        "class Sender:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == sys.argv[1]:\n"
        "            os.kill(os.getpid(), getattr(signal, sys.argv[2]))\n"
        "sys.meta_path.insert(0, Sender())\n"
        "sys.exit(main(['info']))"
    )
    for module in ("gaussmix.cli.signals", "numpy", "scipy.linalg", "gaussmix._core.dispatch"):
        for number, status, message in ENDS:
            if module == "gaussmix.cli.signals" and number != signal.SIGINT:
                continue
            name = signal.Signals(number).name
            done = subprocess.run(
                [sys.executable, "-c", code, module, name],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert (done.returncode, done.stderr) == (status, f"gaussmix: {message}\n"), module


def test_a_signal_while_the_command_cleans_up_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What standard input had is in a folder, which is removed at the end."""
    remove, n_calls = shutil.rmtree, 0
    save(GaussianMixture.from_parameters([1.0], [[0.0]], [[1.0]], "diag"), tmp_path / "m.npz")

    def interrupted(folder: Path, **options: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        assert folder.is_dir()
        if n_calls == 1:
            signal.raise_signal(signal.SIGTERM)
        remove(folder, **options)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"1\n2\n")))
    monkeypatch.setattr("gaussmix.cli.running.shutil.rmtree", interrupted)
    assert main(["score", str(tmp_path / "m.npz"), "-"]) == 143
    monkeypatch.undo()
    assert capsys.readouterr().err == "gaussmix: stopped by SIGTERM\n"
    assert n_calls == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_a_bad_instruction_set_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gaussmix", "info"],
        env={**os.environ, "GAUSSMIX_ISA": "avx9000"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    wanted = "one of baseline, v3, v4, reference, got 'avx9000'"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"gaussmix: error: GAUSSMIX_ISA must be {wanted}\n"


def test_handlers_are_as_they_were_and_ignored_signals_stay_ignored() -> None:
    before = [signal.getsignal(number) for number, _, _ in ENDS]
    assert main(["--version"]) == 0
    assert [signal.getsignal(number) for number, _, _ in ENDS] == before
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals.as_errors():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(signals.Stopped):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, old)
