"""The launch scripts as a shell runs them: a copy of them, with a Python that only tells what it is asked.

Pip's own work is not done here; what is tested is when it is asked, for what, and what stays when it fails.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [*sorted(ROOT.glob("launch/*.sh")), ROOT / "launch" / "slurm.sbatch", ROOT / ".ci" / "run"]
PROGRAMS = ["bash", "cat", "cksum", "cp", "dirname", "flock", "mkdir", "mv", "paste", "rm", "sed", "sleep", "sort"]

# Stands for every Python: "-m venv" copies it to .venv/bin/python; anything else goes to a list of calls.
FAKE_PYTHON = """#!/bin/bash
case "$*" in
  -c*) exit ${UNSUITABLE:-0} ;;
  "-m venv"*) mkdir -p .venv/bin; cp "$FAKE_PYTHON" .venv/bin/python; exit ;;
esac
echo "$PWD: ${*:2}" >>"$CALLS"
case "$*" in
  launch/sentence_pairs.py*) echo '{}' >runs/follows/test.jsonl ;;
  "-m pip install"*) if [[ -n ${KILLED_IN_PIP:-} ]]; then kill -9 $PPID; fi; exit ${PIP_STATUS:-0} ;;
  "-m bert_jax.pretrain"*)
    if [[ ${PRETRAIN_STATUS:-} == wait ]]; then
      trap 'echo saved; exit 75' TERM
      echo training
      while :; do sleep 0.05; done
    fi
    if [[ -n ${PRETRAIN_STATUS:-} ]]; then exit "$PRETRAIN_STATUS"; fi
    mkdir -p runs/quickstart/train
    ;;
esac
"""


class Tree:
    """A copy of what the scripts read, and a PATH with nothing but what they may count on."""

    def __init__(self, directory):
        self.root = directory / "a project"
        self.programs = directory / "programs"
        self.calls_file = directory / "calls"
        for name in ("launch", ".ci"):
            shutil.copytree(ROOT / name, self.root / name)
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name))
        self.add("python3.11", FAKE_PYTHON)

    def add(self, name, script):
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def start(self, script, *arguments, cwd=None, **environment):
        fake = {"CALLS": str(self.calls_file), "FAKE_PYTHON": str(self.programs / "python3.11")}
        cwd = cwd or self.root.parent
        return subprocess.Popen(
            [os.path.relpath(self.root / script, cwd), *arguments],  # relative, as people type it
            cwd=cwd,
            env=fake | {"PATH": str(self.programs)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script, *arguments, **environment):
        process = self.start(script, *arguments, **environment)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def calls(self):
        """What Python was asked since the last question: (directory, arguments)."""
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        self.calls_file.unlink(missing_ok=True)
        calls = [tuple(line.split(": ", 1)) for line in text.splitlines()]
        return [call for call in calls if call[1] != "pip --version"]


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


PIP = "pip install --quiet --disable-pip-version-check "


def install(*extras):
    """What pip is asked for an installation with these extras."""
    locks = [f"--requirement=launch/lock/{name}.txt" for name in ("base", *extras)]
    # With the tests comes torch, which has no hash; without, nothing may come that has none.
    project = f"--editable .[{','.join(extras)}]" if "test" in extras else "--no-deps --editable ."
    return [PIP + " ".join(["--require-hashes --no-deps --use-pep517", *locks]), f"{PIP}--no-build-isolation {project}"]


def in_tree(tree, *extras):
    return [(str(tree.root), call) for call in install(*extras)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_sound(script):
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    subprocess.run([Path(sys.executable).parent / "shellcheck", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_exported_cdpath_leads_nowhere_else(tree, tmp_path, script):
    """It makes `cd` look for launch/.. elsewhere first, and print what it found."""
    name = script.relative_to(ROOT)
    (tmp_path / "other" / name.parent).mkdir(parents=True)
    given = {"SLURM_SUBMIT_DIR": "launch/..", "SLURM_JOB_ID": "7", "BERT_JAX_DRY_RUN": "1"}
    words = {"launch/tpu_pod.sh": ["create"], "launch/tpu_worker.sh": ["setup"]}.get(str(name), [])
    here = tree.run(name, *words, cwd=tree.root, **given)
    calls = tree.calls()
    for made in (".venv", "runs"):
        shutil.rmtree(tree.root / made, ignore_errors=True)
    there = tree.run(name, *words, cwd=tree.root, CDPATH=str(tmp_path / "other"), **given)
    assert (there.returncode, there.stdout, tree.calls()) == (here.returncode, here.stdout, calls)


def test_setup_installs_once(tree):
    first = tree.run("launch/setup.sh")
    assert first.returncode == 0, first.stderr
    assert "takes about a minute" in first.stderr
    assert tree.calls() == in_tree(tree)
    second = tree.run("launch/setup.sh")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert tree.calls() == []


def test_two_that_set_up_at_once_install_once(tree):
    both = [tree.start("launch/setup.sh") for _ in range(2)]
    for one in both:
        _, stderr = one.communicate(timeout=120)
        assert one.returncode == 0, stderr
    assert tree.calls() == in_tree(tree)


def test_setup_installs_again_when_requirements_or_place_change(tree):
    tree.run("launch/setup.sh")
    tree.calls()
    with (tree.root / "setup.cfg").open("a") as file:
        file.write("# changed\n")
    tree.run("launch/setup.sh")
    assert tree.calls() == in_tree(tree)
    tree.root = tree.root.rename(tree.root.with_name("moved"))
    tree.run("launch/setup.sh")
    assert tree.calls() == in_tree(tree)


def test_setup_keeps_count_of_each_extra(tree):
    for extras in ((), ("test",), (), ("test",)):
        tree.run("launch/setup.sh", *extras)
    assert tree.calls() == [*in_tree(tree), *in_tree(tree, "test")]


def test_setup_adds_cuda_where_nvidia_smi_works(tree):
    tree.add("nvidia-smi", "#!/bin/bash\nexit 9\n")
    tree.run("launch/setup.sh", "test")
    tree.add("nvidia-smi", '#!/bin/bash\necho "GPU 0: NVIDIA L4"\n')
    tree.run("launch/setup.sh", "test")
    assert tree.calls() == [*in_tree(tree, "test"), *in_tree(tree, "cuda", "test")]


def test_an_extra_that_is_not_there_is_one_line(tree):
    wrong = tree.run("launch/setup.sh", "tets")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "error: there is no extra tets" in wrong.stderr
    assert tree.calls() == []


@pytest.mark.parametrize("accident", [{"PIP_STATUS": "1"}, {"KILLED_IN_PIP": "1"}], ids=["failed", "killed"])
def test_an_unfinished_installation_is_not_taken_for_a_finished_one(tree, accident):
    broken = tree.run("launch/setup.sh", **accident)
    assert broken.returncode != 0
    if "PIP_STATUS" in accident:
        assert "error: installation into .venv failed" in broken.stderr
    tree.calls()
    assert tree.run("launch/setup.sh").returncode == 0
    assert tree.calls() == in_tree(tree)


def test_without_a_suitable_python_one_line_says_so(tree):
    lacking = tree.run("launch/setup.sh", UNSUITABLE="1")
    assert lacking.returncode == 1
    assert lacking.stderr.count("\n") == 1
    assert lacking.stderr.startswith("error: no Python 3.11 to 3.14 with venv on PATH; install one")
    assert not (tree.root / ".venv").exists()


def test_python_chosen_by_hand_must_suit(tree):
    wrong = tree.run("launch/setup.sh", PYTHON="/nowhere/python")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "error: PYTHON=/nowhere/python is not a Python 3.11 to 3.14" in wrong.stderr
    mine = tree.root.parent / "mine"
    (tree.programs / "python3.11").rename(mine)
    assert tree.run("launch/setup.sh").returncode == 1
    chosen = tree.run("launch/setup.sh", PYTHON=str(mine), FAKE_PYTHON=str(mine))
    assert chosen.returncode == 0, chosen.stderr
    assert f"Creating .venv with {mine}" in chosen.stderr


def test_pretrain_with_arguments_passes_them_on_where_the_caller_is(tree, tmp_path):
    here = tmp_path / "elsewhere"
    here.mkdir()
    run = tree.run("launch/pretrain.sh", "--config=my config.py", "--workdir=out", cwd=here)
    assert run.returncode == 0, run.stderr
    assert tree.calls()[2:] == [(str(here), "bert_jax.pretrain --config=my config.py --workdir=out")]


def test_pretrain_without_arguments_goes_from_text_to_a_page(tree):
    run = tree.run("launch/pretrain.sh")
    assert run.returncode == 0, run.stderr
    calls = tree.calls()[2:]
    assert [arguments.split()[0].removeprefix("bert_jax.") for _, arguments in calls] == [
        *("build_vocab", "build_records", "pretrain", "export", "predict", "report")
    ]
    page = tree.root / "runs" / "quickstart" / "report.html"
    assert calls[-1][1].endswith("--output=runs/quickstart/report.html")
    assert run.stdout.splitlines()[-1].endswith(str(page))
    sentence = tree.root / "runs" / "quickstart" / "sentence.txt"
    assert sentence.read_text().count("[MASK]") == 1
    assert tree.run("launch/pretrain.sh", SENTENCE="My [MASK].").returncode == 0
    assert sentence.read_text() == "My [MASK].\n"


def test_finetune_makes_its_sentences_once(tree):
    run = tree.run("launch/finetune.sh")
    assert run.returncode == 0, run.stderr
    made, fine_tuned, asked = [arguments for _, arguments in tree.calls()[2:]]
    assert made == "runs/follows"  # of launch/sentence_pairs.py
    assert fine_tuned.startswith("bert_jax.finetune --task=classification --init_from=runs/quickstart/train")
    assert asked.startswith("bert_jax.predict --workdir=runs/follows/model")
    run = tree.run("launch/finetune.sh", "my model")
    assert run.returncode == 0, run.stderr
    asked = [arguments for _, arguments in tree.calls()]
    assert "--init_from=my model" in asked[-2]
    assert "runs/follows" not in asked


def test_finetune_reads_a_model_beside_the_caller(tree, tmp_path):
    (tmp_path / "my model").mkdir()
    for given, read in (("my model", str(tmp_path / "my model")), ("prajjwal1/bert-tiny", "prajjwal1/bert-tiny")):
        assert tree.run("launch/finetune.sh", given, cwd=tmp_path).returncode == 0
        assert f"--init_from={read} " in tree.calls()[-2][1]


def test_test_checks_everything_and_passes_arguments_on(tree):
    assert tree.run("launch/test.sh", "-k", "two words").returncode == 0
    commands = ["ruff check", "ruff format --check", "mypy", "pytest -k two words"]
    assert tree.calls()[2:] == [(str(tree.root), command) for command in commands]
    assert tree.run("launch/test.sh", "--all", "-x").returncode == 0
    assert tree.calls()[-1] == (str(tree.root), "pytest -m  -x")
    assert tree.run("launch/test.sh", "--all").returncode == 0
    assert tree.calls()[-1] == (str(tree.root), "pytest -m  -n 2 --dist loadfile --no-loadscope-reorder")


@pytest.mark.parametrize("dashes", ["--", "-"])
@pytest.mark.parametrize("flag", ["distributed", "coordinator_address=a:1"])
@pytest.mark.parametrize(("status", "becomes"), [("0", 0), ("1", 1), ("75", 75), ("134", 75)])
def test_pretrain_as_one_of_several_makes_an_abort_a_resume(tree, flag, dashes, status, becomes):
    """JAX's runtime aborts a process (134: SIGABRT) whose coordinator is gone."""
    run = tree.run("launch/pretrain.sh", dashes + flag, "--workdir=out", PRETRAIN_STATUS=status)
    assert run.returncode == becomes
    assert ("another process of the job is gone" in run.stderr) == (status == "134")


def test_pretrain_as_one_of_several_passes_a_signal_on_and_waits(tree):
    """What Kubernetes sends to the script is meant for the run; the script ends when the run has saved, as it does."""
    pretraining = tree.start("launch/pretrain.sh", "--distributed", PRETRAIN_STATUS="wait")
    assert pretraining.stdout.readline() == "training\n"
    pretraining.terminate()
    stdout, stderr = pretraining.communicate(timeout=60)
    assert (pretraining.returncode, stdout) == (75, "saved\n"), stderr


def test_slurm_sets_up_runs_and_queues_again(tree):
    tree.add("srun", '#!/bin/bash\necho "srun $*" >>"$CALLS"\n[[ $* != *pretrain.sh* ]] || exit ${STATUS:-0}\n')
    tree.add("scontrol", '#!/bin/bash\necho "scontrol $*" >>"$CALLS"\n')
    given = {"SLURM_SUBMIT_DIR": str(tree.root), "SLURM_JOB_ID": "7"}
    for status, told in (("0", []), ("1", []), ("75", ["scontrol requeue 7"]), ("137", ["scontrol requeue 7"])):
        job = tree.run("launch/slurm.sbatch", "--workdir=a b", STATUS=status, **given)
        assert job.returncode == int(status)
        asked = ["--nodes=1 --ntasks=1 launch/setup.sh", "--kill-on-bad-exit=1 launch/pretrain.sh --distributed"]
        expected = [f"srun {asked[0]}", f"srun {asked[1]} --workdir=a b", *told]
        assert tree.calls_file.read_text().splitlines() == expected
        tree.calls_file.unlink()
    tree.run("launch/slurm.sbatch", "--workdir=gs://b/a", **given)
    assert "launch/setup.sh gcs\n" in tree.calls_file.read_text()
    tree.calls_file.unlink()
    job = tree.run("launch/slurm.sbatch", BERT_JAX_DRY_RUN="1", **given)
    assert "+ 'srun' '--kill-on-bad-exit=1'" in job.stderr
    assert not tree.calls_file.exists()


def test_slurm_queues_again_so_often_in_a_row_without_an_hour_of_work(tree):
    tree.add("srun", "#!/bin/bash\n[[ $* != *pretrain.sh* ]] || exit 75\n")
    tree.add("scontrol", '#!/bin/bash\necho "scontrol $*" >>"$CALLS"\n')
    given = {"SLURM_SUBMIT_DIR": str(tree.root), "SLURM_JOB_ID": "7", "BERT_JAX_RESTARTS": "2"}

    def ends(**more):
        return tree.run("launch/slurm.sbatch", "--workdir=a", **given, **more).stderr

    assert "queueing the job again, restart 1" in ends()
    assert "queueing the job again, restart 2" in ends()
    assert "queueing the job again, restart 1" in ends(SECONDS="3600")  # bash counts on from there
    assert "queueing the job again, restart 2" in ends()
    assert "exit code 75 after 2 restarts in a row, and not queued again" in ends()
    assert tree.calls_file.read_text() == 4 * "scontrol requeue 7\n"
    assert "queueing the job again, restart 1" in ends()  # submitted anew


# Stands for srun: launch/pretrain.sh as several tasks, each with its own exit code; then the highest of them.
SEVERAL_TASKS = """#!/bin/bash
[[ $* == *pretrain.sh* ]] || exit 0
echo "srun" >>"$CALLS"
highest=0
for status in $STATUSES; do
  code=0
  PRETRAIN_STATUS=$status "${@:2}" || code=$?
  ((code <= highest)) || highest=$code
done
exit "$highest"
"""


@pytest.mark.parametrize(
    ("statuses", "becomes", "again"),
    [
        ("0 0 0", 0, False),
        ("134 1 75", 1, False),
        ("2 134", 2, False),
        ("1 137", 1, False),
        ("75 134", 75, True),
        ("0 137", 137, True),
    ],
)
def test_slurm_queues_no_job_again_of_which_one_task_met_an_error(tree, statuses, becomes, again):
    tree.add("srun", SEVERAL_TASKS)
    tree.add("scontrol", '#!/bin/bash\necho "scontrol $*" >>"$CALLS"\n')
    given = {"SLURM_SUBMIT_DIR": str(tree.root), "SLURM_JOB_ID": "7", "STATUSES": statuses}
    left = tree.root / "slurm-7.errors"  # by a batch script that was killed
    left.mkdir()
    (left / "host-1").write_text("1\n")
    job = tree.run("launch/slurm.sbatch", "--workdir=a b", **given)
    assert job.returncode == becomes, job.stderr
    assert ("scontrol requeue 7" in tree.calls_file.read_text()) == again
    assert ("must be fixed first" in job.stderr) == (becomes in (1, 2))
    assert not left.exists()


def test_a_failed_setup_of_one_task_is_an_error_to_mend(tree):
    tree.add("srun", SEVERAL_TASKS)
    given = {"SLURM_SUBMIT_DIR": str(tree.root), "SLURM_JOB_ID": "7", "STATUSES": "0"}
    job = tree.run("launch/slurm.sbatch", UNSUITABLE="1", **given)
    assert (job.returncode, "queueing" in job.stderr) == (1, False)


@pytest.mark.parametrize(("status", "waits"), [("134", True), ("75", True), ("1", False), ("0", False)])
def test_who_only_lost_a_peer_leaves_last_where_the_first_decides(tree, status, waits):
    """As launch/jobset.yaml asks, whose Job fails with its first pod."""
    (tree.programs / "sleep").unlink()
    tree.add("sleep", '#!/bin/bash\necho "sleep: $*" >>"$CALLS"\n')
    tree.run("launch/pretrain.sh", "--distributed", PRETRAIN_STATUS=status, BERT_JAX_LEAVE_LAST="30")
    assert (("sleep", "30") in tree.calls()) == waits
    assert "name: BERT_JAX_LEAVE_LAST" in (tree.root / "launch" / "jobset.yaml").read_text()


def test_continuous_integration_runs_the_tests(tree):
    assert tree.run(".ci/run").returncode == 0
    assert tree.calls()[-1] == (str(tree.root), "pytest -n 2 --dist loadfile --no-loadscope-reorder")
