"""How a worker ends with its parent, whatever way the parent ends, and where sessions can be used from."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import worker_factories
from worker_tools import KILLS, check_stream, marked, new_mark, settled, start_script, supervised, wait_until

from coral_classify.errors import SessionClosed

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds leftovers through /proc")

USE = """
import sys, time, worker_factories
from coral_classify.supervision.supervised import SupervisedSession
session = SupervisedSession(%s, factory="worker_factories:numbered", device="usb:0")
"""
RUN_FOR_EVER = (
    USE
    + """
print("ready", flush=True)
value = 0
while True:
    assert session.run(worker_factories.picture(value))[0, 0] == value %% 256
    value = (value + 1) %% 65536
"""
)
IDLE = (
    USE
    + """
print("ready", flush=True)
time.sleep(10000)
"""
)


@pytest.fixture
def mark():
    """Marks the processes of a test, and checks at its end that none is left."""
    mark = new_mark()
    yield mark
    left = not wait_until(lambda: not marked(mark), 20.0)
    pids = marked(mark)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert not left, pids


def shared_memory():
    return (
        {name for name in os.listdir("/dev/shm") if name.startswith("coral")}
        if os.path.isdir("/dev/shm")
        else set()
    )


def ready(process):
    assert process.stdout.readline().strip() == b"ready"


@pytest.mark.parametrize(
    "script, description",
    [
        (RUN_FOR_EVER, {}),
        (IDLE, {}),
        (RUN_FOR_EVER, {"faults": {"always": "hang"}}),
        (RUN_FOR_EVER, {"faults": {"always": "native hang"}}),
    ],
)
def test_a_killed_parent_takes_its_worker_along(script, description, mark):
    process = start_script(script % description, mark)
    ready(process)
    time.sleep(0.2)
    assert len(marked(mark)) == 2
    process.kill()
    process.communicate(timeout=30)


def test_parents_killed_at_random_moments_leave_nothing_behind(mark):
    before = shared_memory()
    left = KILLS
    while left:
        processes = []
        for _ in range(min(left, 10)):
            processes.append(start_script(RUN_FOR_EVER % {}, mark, stdout=subprocess.DEVNULL))
            left -= 1
        ends = sorted((time.monotonic() + random.uniform(0.0, 1.5), i) for i in range(len(processes)))
        for end, i in ends:  # while starting, while opening, while running
            time.sleep(max(0.0, end - time.monotonic()))
            processes[i].kill()
        for process in processes:
            process.wait()
        assert wait_until(lambda: not marked(mark), 20.0)
    assert shared_memory() <= before


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV])
def test_other_signals_that_end_the_parent(sign, mark):
    # A suite that was started with nohup hands SIGHUP on as ignored.
    process = start_script(IDLE % {}, mark, preexec_fn=lambda: signal.signal(sign, signal.SIG_DFL))
    ready(process)
    process.send_signal(sign)
    process.communicate(timeout=30)


@pytest.mark.parametrize("description", [{}, {"faults": {"always": "hang"}}, {"sleep": 0.05}])
def test_control_c_ends_both_promptly(description, mark):
    """SIGINT to the whole process group, as a terminal sends it."""
    process = start_script(RUN_FOR_EVER % description, mark, start_new_session=True)
    ready(process)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in output
    assert process.returncode in (1, -signal.SIGINT)
    assert b"lost" not in output


def test_control_c_while_it_opens(mark):
    process = start_script(
        "print('ready', flush=True)" + USE % {"faults": {"open": [0, 9, "hang"]}},
        mark,
        start_new_session=True,
    )
    ready(process)
    assert wait_until(lambda: len(marked(mark)) == 2)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in output


def test_after_control_c_the_session_goes_on(mark):
    """In a REPL the user presses Ctrl-C and types the next line."""
    script = (
        USE % {"sleep": 1.0}
        + """
import os, signal, threading
def interrupt():
    while not session._keeper.child.busy:   # the request is on its way
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
wrong = 0
for value in range(3):
    try:
        threading.Thread(target=interrupt).start()
        session.run(worker_factories.picture(value))
        wrong += 1
    except KeyboardInterrupt:
        pass
    wrong += session.run(worker_factories.picture(100 + value))[0, 0] != 100 + value
    wrong += session.answer.recovered
print("wrong", wrong)
"""
    )
    output, _ = start_script(script, mark).communicate(timeout=60)
    assert settled(output) == b"wrong 0"


ONCE = (
    USE % {}
    + """
print(int(session.run(worker_factories.picture(7))[0, 0]))
"""
)


def test_a_plain_script_without_a_guard(mark, tmp_path):
    path = tmp_path / "plain.py"
    path.write_text(ONCE + "session.close()\n")
    output, _ = start_script("", mark, str(path)).communicate(timeout=60)
    assert settled(output) == b"7"


def test_a_program_that_forgets_close(mark):
    process = start_script(ONCE, mark)
    output, _ = process.communicate(timeout=60)
    assert (settled(output), process.returncode) == (b"7", 0)


def test_a_program_that_ends_with_an_error(mark):
    process = start_script(ONCE + "raise SystemExit(5)", mark)
    process.communicate(timeout=60)
    assert process.returncode == 5


def test_python_m(mark, tmp_path):
    (tmp_path / "runnable.py").write_text(ONCE)
    output, _ = start_script("", mark, "-m", "runnable", cwd=str(tmp_path)).communicate(timeout=60)
    assert settled(output) == b"7"


def test_from_a_prompt(mark):
    process = start_script("", mark, "-i", "-q", stdin=subprocess.PIPE)
    output, _ = process.communicate(ONCE.encode() + b"\n", timeout=60)
    assert b"7" in output and b"Traceback" not in output


def test_from_a_thread_that_ends_before_the_session(mark):
    """The worker must not die with the thread that opened it (a death signal is tied to a thread)."""
    script = """
import threading, time, worker_factories
from coral_classify.supervision.supervised import SupervisedSession
made = []
thread = threading.Thread(target=lambda: made.append(
    SupervisedSession({}, factory="worker_factories:numbered", device="usb:0")))
thread.start()
thread.join()
time.sleep(0.5)
print(int(made[0].run(worker_factories.picture(7))[0, 0]), made[0].answer.recovered)
"""
    output, _ = start_script(script, mark).communicate(timeout=60)
    assert settled(output) == b"7 False"


def test_in_another_folder_than_the_one_it_was_imported_from(mark, tmp_path):
    """A relative entry of sys.path must mean the same folder to the worker."""
    script = "import os, sys; sys.path.insert(0, 'tests'); import worker_factories; os.chdir(%r)\n" % str(
        tmp_path
    )
    root = Path(worker_factories.__file__).resolve().parent.parent
    process = start_script(
        script.replace("os.chdir", "sys.path[0] = os.path.abspath('tests'); os.chdir") + ONCE,
        mark,
        cwd=str(root),
    )
    output, _ = process.communicate(timeout=60)
    assert settled(output) == b"7"


def test_modules_in_the_current_folder_are_not_imported(mark, tmp_path):
    for name in ("json", "os", "socket", "numpy"):
        (tmp_path / (name + ".py")).write_text("raise SystemExit('imported from the current folder')")
    script = "import sys; sys.path[:] = [folder for folder in sys.path if folder]\n" + ONCE
    output, _ = start_script(script, mark, cwd=str(tmp_path)).communicate(timeout=60)
    assert settled(output) == b"7"


def test_an_isolated_interpreter(mark):
    paths = os.pathsep.join(
        [
            str(Path(worker_factories.__file__).resolve().parent.parent),
            os.path.dirname(worker_factories.__file__),
        ]
    )
    script = "import sys; sys.path[:0] = %r\n" % paths.split(os.pathsep) + ONCE
    output, _ = start_script("", mark, "-I", "-c", script).communicate(timeout=60)
    assert settled(output) == b"7"


# ---- fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told_and_does_no_harm():
    with supervised({}) as session:
        check_stream(session, range(3))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                session.close()  # not its own: nothing happens
                try:
                    session.run(worker_factories.picture(1))
                except SessionClosed:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        notes = check_stream(session, range(3, 10))
    assert not any(note.recovered for note in notes)


def test_a_forked_process_that_outlives_us_does_not_keep_the_worker(mark):
    script = (
        USE % {}
        + """
import json
import os
pid = os.fork()
if pid == 0:
    os.environ.clear()
    time.sleep(10000)
print(pid, flush=True)
time.sleep(10000)
"""
    )
    process = start_script("", mark, "-W", "ignore", "-c", script)
    forked = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        assert wait_until(lambda: set(marked(mark)) <= {forked}, 10.0)
    finally:
        os.kill(forked, signal.SIGKILL)
        process.stdout.close()


def test_the_workers_own_output_stays_out_of_ours(mark):
    script = """
import worker_factories
from coral_classify.supervision.supervised import SupervisedSession
session = SupervisedSession({"says": "a word"}, factory="worker_factories:numbered", device="usb:0")
session.run(worker_factories.picture(7))
"""
    output, _ = start_script(script, mark).communicate(timeout=60)
    assert settled(output) == b""


def test_a_talkative_driver_does_not_block(mark):
    """More than a pipe holds, and nobody reads in between."""
    script = """
import worker_factories
from coral_classify.supervision.supervised import SupervisedSession
session = SupervisedSession({"says": "x" * 100000}, factory="worker_factories:numbered", device="usb:0")
for value in range(50):
    session.run(worker_factories.picture(value))
print("done")
"""
    output, _ = start_script(script, mark).communicate(timeout=60)
    assert settled(output) == b"done"


EVENTS = """
import time, worker_factories
from coral_classify.supervision.supervised import SupervisedSession
session = SupervisedSession({"count": %r, "faults": {"2": "abort"}}, twin={"device": "cpu"}, device="usb:0",
                            factory="worker_factories:numbered"%s)
for value in range(3):
    session.run(worker_factories.picture(value))
while session.trouble is not None:
    time.sleep(0.01)
session.close()
"""


def test_a_script_without_logging_hears_of_a_loss_on_stderr(mark, tmp_path):
    output, _ = start_script(EVENTS % (str(tmp_path / "count"), ""), mark).communicate(timeout=60)
    lines = output.decode().splitlines()
    assert len(lines) == 2 and "usb:0 lost" in lines[0] and "on the CPU" in lines[1]


def test_a_callback_and_no_logging_gives_each_line_once(mark, tmp_path):
    script = EVENTS % (str(tmp_path / "count"), ", on_event=lambda event: print(event.kind, event.device)")
    output, _ = start_script(script, mark).communicate(timeout=60)
    assert sorted(output.decode().split("\n")) == ["", "back usb:0", "failed_over usb:0", "lost usb:0"]


# ---- the benchmarks run


def run_benchmark(name, *arguments):
    path = Path(worker_factories.__file__).resolve().parent.parent / "benchmarks" / name
    process = subprocess.run([sys.executable, str(path), *arguments], stdout=subprocess.PIPE, timeout=120)
    assert process.returncode == 0
    return json.loads(process.stdout.decode().strip().splitlines()[-1])


def test_a_small_soak_with_kills_ends_without_growth():
    last = run_benchmark("soak.py", "--inferences", "5000", "--device", "usb:0", "--kill-every", "0.1")
    assert last["inferences"] == 5000
    assert last["after_close"] == {"processes": 0, "descriptors_gained": 0, "threads": 1}
    assert sum(last["answers"].values()) == 5000


def test_the_cost_of_supervision_can_be_measured():
    figures = run_benchmark("supervision.py", "--pairs", "20")
    assert figures["supervised_ms"] > 0
