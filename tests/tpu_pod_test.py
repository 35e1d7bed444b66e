"""launch/tpu_pod.sh against a gcloud that plays a slice's life, and launch/tpu_worker.sh as a worker runs it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = ["--name=pod", "--zone=us-central1-a"]
SLICE = [*NAMED, "--type=v5litepod-16", "--version=v2-alpha-tpuv5-lite"]
RUN = ["--", "--config=configs/bert_large.py", "--workdir=gs://bucket/a b"]

# A slice's life is a list of events, one for each question or run: the request's state; "state/slice's state" while it
# is active; "run STATUS" for how a run ends; "offline". What changes the slice changes nothing here: the list goes on.
FAKE_GCLOUD = f"""#!{sys.executable}
import json, os, pathlib, sys
life = pathlib.Path(os.environ["LIFE"])
with open(os.environ["CALLS"], "a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
events = json.loads(life.read_text())
def take():
    event = events.pop(0)
    life.write_text(json.dumps(events))
    return event
text = " ".join(sys.argv[1:])
if "queued-resources list" in text:
    if events[0] == "offline":
        take()
        sys.exit("ERROR: no connection")
    print(events[0].split("/")[0] if "/" in events[0] else take())
elif "tpu-vm list" in text:
    print(take().split("/")[1])
elif "tpu_worker.sh run" in text:
    _, status = take().split()
    pathlib.Path(os.environ["LIFE"] + ".status").write_text(status)
    sys.exit(int(status))
elif "tpu_worker.sh ended" in text:
    print("pretraining ended with " + pathlib.Path(os.environ["LIFE"] + ".status").read_text())
"""


class Cloud:
    def __init__(self, directory):
        self.programs = directory / "programs"
        self.programs.mkdir()
        (self.programs / "gcloud").write_text(FAKE_GCLOUD)
        (self.programs / "sleep").write_text('#!/bin/sh\necho "$@" >>"$SLEPT"\n')
        for name in ("gcloud", "sleep"):
            (self.programs / name).chmod(0o755)
        self.calls_file, self.life, self.slept = directory / "calls", directory / "life", directory / "slept"
        self.temporary = directory / "temporary"
        self.temporary.mkdir()

    def run(self, *arguments, life=(), root=ROOT):
        self.calls_file.write_text("")
        self.slept.write_text("")
        self.life.write_text(json.dumps([event.replace("nothing", "") for event in life]))
        return subprocess.run(
            [root / "launch" / "tpu_pod.sh", *arguments],
            env={
                "TMPDIR": str(self.temporary),
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "CALLS": str(self.calls_file),
                "LIFE": str(self.life),
                "SLEPT": str(self.slept),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def calls(self):
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def changes(self):
        """What was asked for, in short: "create", "delete", "scp", "setup", "run", "ended"."""
        told = []
        for call in self.calls():
            assert call[:2] == ["compute", "tpus"]
            assert "--zone=us-central1-a" in call
            if call[3] in ("create", "delete", "scp"):
                told.append(call[3])
            elif call[3] == "ssh":
                assert "--worker=all" in call
                told.append(call[-2].split("tpu_worker.sh ")[1].split()[0])
        return told


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def test_a_preempted_slice_is_asked_for_again_and_the_run_goes_on(cloud):
    life = ["nothing", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE/CREATING", "ACTIVE/READY", "run 255"]
    life += ["SUSPENDING", "SUSPENDED", "nothing", "PROVISIONING", "ACTIVE/READY", "run 75"]
    life += ["ACTIVE/PREEMPTED", "nothing", "ACTIVE/READY", "run 0"]
    done = cloud.run("run", *SLICE, "--spot", *RUN, life=life)
    assert done.returncode == 0, done.stderr
    one_life = ["create", "scp", "setup", "run"]
    assert cloud.changes() == [*one_life, "ended", "delete", *one_life, "ended", "delete", *one_life]
    assert json.loads(cloud.life.read_text()) == []
    for words in ("WAITING_FOR_RESOURCES", "SUSPENDED", "PREEMPTED", "done; delete the slice with"):
        assert words in done.stderr


def test_what_is_asked_for(cloud):
    life = ["nothing", "ACTIVE/READY", "run 0"]
    options = ["--spot", "--internal_ips", "--network=n", "--service_account=a@b", "--project=mine"]
    assert cloud.run("run", *SLICE, *options, *RUN, life=life).returncode == 0
    calls = {call[3]: call for call in cloud.calls()}
    asked = {"--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--node-id=pod", "--spot"}
    assert {*asked, "--internal-ips", "--network=n", "--service-account=a@b"} < set(calls["create"])
    assert calls["create"][:5] == ["compute", "tpus", "queued-resources", "create", "pod"]
    assert all("--project=mine" in call for call in cloud.calls())
    (command,) = [word for word in calls["ssh"] if word.startswith("--command=")]
    script, action, *flags = shlex.split(command.removeprefix("--command="))
    assert (script, action) == ("bert_jax/launch/tpu_worker.sh", "run")
    assert flags == ["--distributed", "--config=configs/bert_large.py", "--workdir=gs://bucket/a b"]


def test_on_demand_is_the_default(cloud):
    assert cloud.run("create", *SLICE).returncode == 0
    assert not {"--spot"} & set(cloud.calls()[0])


def test_an_error_that_comes_again_is_not_tried_again(cloud):
    done = cloud.run("run", *SLICE, *RUN, life=["ACTIVE/READY", "run 1"])
    assert done.returncode == 2
    assert "must be fixed" in done.stderr
    assert cloud.changes() == ["scp", "setup", "run", "ended"]


def test_what_cannot_be_packed_is_told_before_a_slice_is_asked_for(cloud, tmp_path):
    """A copy without .git: nothing says what was committed last."""
    shutil.copytree(ROOT / "launch", tmp_path / "copy" / "launch")
    done = cloud.run("run", *SLICE, *RUN, life=["nothing", "ACTIVE/READY", "run 0"], root=tmp_path / "copy")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"error: {tmp_path / 'copy'} cannot be packed as last committed: fatal: not a git repo" in done.stderr
    assert cloud.calls() == []
    assert list(cloud.temporary.iterdir()) == []


def test_tries_are_bounded_and_the_pauses_between_them_grow(cloud):
    life = ["ACTIVE/READY", "run 75"] * 6
    done = cloud.run("resume", *SLICE, "--retries=5", "--poll_seconds=100", *RUN, life=life)
    assert done.returncode == 75
    assert "given up after 5 tries in a row; type the same command to resume" in done.stderr
    assert cloud.slept.read_text().split() == ["100", "200", "400", "600", "600"]


def test_a_lost_connection_deletes_nothing(cloud):
    done = cloud.run("resume", *SLICE, *RUN, life=["offline", "ACTIVE/READY", "run 0"])
    assert done.returncode == 0, done.stderr
    assert "ERROR: no connection" in done.stderr
    assert cloud.changes() == ["scp", "setup", "run"]


def test_status_logs_and_delete(cloud):
    for action, words in (
        ("status", "queued-resources describe pod"),
        ("logs", "tpu-vm ssh pod --worker=0"),
        ("delete", "queued-resources delete pod --force --quiet"),
    ):
        assert cloud.run(action, *NAMED).returncode == 0
        assert f"compute tpus {words}" in " ".join(cloud.calls()[0])


@pytest.mark.parametrize("action", ["create", "run", "resume", "status", "logs", "delete"])
def test_a_dry_run_prints_commands_and_runs_none(cloud, action):
    flags = SLICE if action in ("create", "run", "resume") else NAMED
    run = RUN if action in ("run", "resume") else []
    done = cloud.run(action, *flags, "--dry_run", *run)
    assert done.returncode == 0, done.stderr
    assert "+ 'gcloud' 'compute' 'tpus'" in done.stderr
    assert cloud.calls() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give one of create, run, status"),
        (["fly"], "give one of create, run, status"),
        (["create", "--name=pod"], "--zone is missing"),
        (["run", *SLICE], "nothing to run"),
        (["run", *SLICE, "--sopt"], "unknown flag --sopt"),
        (["run", *SLICE, "--poll_seconds=30s", *RUN], "--poll_seconds=30s is not a whole number"),
        (["run", *SLICE, "--retries=", *RUN], "--retries= is not a whole number"),
        (["run", *SLICE, "--retries=08", *RUN], "--retries=08 is not a whole number"),
        (["logs", *NAMED, "--worker=two"], "--worker=two is not a whole number"),
    ],
)
def test_wrong_words_are_one_line(cloud, arguments, complaint):
    done = cloud.run(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr


@pytest.fixture
def worker(tmp_path):
    """What a worker has, with a pretraining that writes a line, waits for the file `end`, and ends as it says."""
    tree = tmp_path / "bert_jax"
    (tree / "launch").mkdir(parents=True)
    shutil.copy(ROOT / "launch" / "tpu_worker.sh", tree / "launch")
    (tree / "launch" / "pretrain.sh").write_text(
        '#!/bin/bash\necho "started with $*"\nuntil [[ -f end ]]; do sleep 0.1; done\necho ended\nexit "$(<end)"\n'
    )
    (tree / "launch" / "pretrain.sh").chmod(0o755)
    yield tree
    (tree / "end").write_text("0")


def start_worker(worker, *flags):
    # As a connection starts it, also where these tests run under nohup: with SIGHUP heeded.
    command = ["env", "--default-signal=HUP", worker / "launch" / "tpu_worker.sh", "run", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_line(worker, text):
    while not ((worker / "pretrain.log").exists() and text in (worker / "pretrain.log").read_text()):
        time.sleep(0.05)


def ended(worker):
    script = worker / "launch" / "tpu_worker.sh"
    return subprocess.run([script, "ended"], capture_output=True, text=True, check=True).stdout


def test_a_worker_ends_as_its_run_ends(worker):
    first = start_worker(worker, "--distributed", "--workdir=a b")
    wait_for_line(worker, "started with --distributed --workdir=a b")
    (worker / "end").write_text("75")
    stdout, _ = first.communicate(timeout=60)
    assert first.returncode == 75
    assert "ended\n" in stdout
    assert ended(worker) == "pretraining ended with 75\n"


def test_how_a_life_ended_is_not_told_of_the_next_one(worker):
    """Where the connection breaks before that begins; but of one that goes on, nothing is forgotten."""
    (worker / "launch" / "setup.sh").write_text("#!/bin/bash\n")
    (worker / "launch" / "setup.sh").chmod(0o755)
    (worker / "end").write_text("1")
    start_worker(worker).communicate(timeout=60)
    assert ended(worker) == "pretraining ended with 1\n"
    subprocess.run([worker / "launch" / "tpu_worker.sh", "setup"], check=True)
    assert ended(worker) == "pretraining ended with a kill\n"


def test_a_run_outlives_the_connection_and_is_joined_again(worker):
    first = start_worker(worker, "--distributed")
    wait_for_line(worker, "started")
    os.killpg(first.pid, signal.SIGHUP)
    first.communicate(timeout=60)
    assert ended(worker) == "pretraining ended with a kill\n"  # or has not yet
    second = start_worker(worker, "--distributed")
    assert "running already" in second.stderr.readline()
    (worker / "end").write_text("0")
    stdout, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert (worker / "pretrain.log").read_text().count("started") == 1
    assert "ended\n" in stdout


def test_a_run_that_was_killed_is_started_again(worker):
    first = start_worker(worker)
    wait_for_line(worker, "started")
    os.killpg(int((worker / "pretrain.pid").read_text()), signal.SIGKILL)
    first.communicate(timeout=60)
    assert first.returncode == 75
    (worker / "end").write_text("0")
    second = start_worker(worker)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert (worker / "pretrain.log").read_text().count("started") == 2
