"""Launch files for several machines: the program accepts their arguments, their parts fit."""

import subprocess
import sys

import pytest
import yaml

from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.config.flags import parse_command_line


def check_flags(command: list[str]) -> None:
    """The program accepts the arguments in a launch file, which train on several workers."""
    assert command[:3] == ["python", "-m", "tf_mdsm.main"]
    parsed = parse_command_line(command[2:], modes=["train"])
    assert parsed.mode == "train"
    assert parsed.workdir.startswith(("/", "runs/"))
    given = dict(argument.lstrip("-").split("=", 1) for argument in command[3:])
    assert set(given) <= {"config", "workdir"} | {n for n in given if n.startswith("config.")}
    assert given["config.training.strategy"] == "multi_worker_mirrored"


def test_kubeflow_manifest():
    text = (ROOT / "launch" / "kubernetes" / "train.yaml").read_text()
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    assert set(parts) == {"TFJob", "PersistentVolumeClaim"}
    job = parts["TFJob"]
    assert job["apiVersion"] == "kubeflow.org/v1"
    assert set(job["spec"]["tfReplicaSpecs"]) == {"Worker"}
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "tensorflow"
    check_flags(container["command"] + container["args"])
    (volume,) = pod["volumes"]
    claim = parts["PersistentVolumeClaim"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (mount,) = container["volumeMounts"]
    workdir = next(a for a in container["args"] if a.startswith("--workdir="))
    assert workdir.removeprefix("--workdir=").startswith(mount["mountPath"])
    assert mount["name"] == volume["name"]


def test_plain_kubernetes_manifest():
    text = (ROOT / "launch" / "kubernetes" / "pods.yaml").read_text()
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    assert set(parts) == {"ServiceAccount", "Role", "RoleBinding", "Job"}
    assert parts["Role"]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    account, role = (parts[kind]["metadata"]["name"] for kind in ("ServiceAccount", "Role"))
    assert parts["RoleBinding"]["roleRef"]["name"] == role
    assert [subject["name"] for subject in parts["RoleBinding"]["subjects"]] == [account]
    job = parts["Job"]["spec"]
    pod = job["template"]["spec"]
    assert pod["serviceAccountName"] == account
    (container,) = pod["containers"]
    check_flags(container["command"] + container["args"])
    assert "--config.training.cluster=kubernetes" in container["args"]
    variables = {entry["name"]: entry for entry in container["env"]}
    assert variables["TF_MDSM_PODS"]["value"] == f"job-name={parts['Job']['metadata']['name']}"
    assert int(variables["TF_MDSM_WORKERS"]["value"]) == job["parallelism"] == job["completions"]
    named = variables["TF_MDSM_POD"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert named == "metadata.name"


def test_slurm_script():
    text = (ROOT / "launch" / "slurm.sbatch").read_text().replace("\\\n", " ")
    words = next(line for line in text.splitlines() if "srun --" in line).split()
    program = [word.strip('"') for word in words[words.index("python") :] if word != '"$@"']
    check_flags(program)
    assert "--config.training.cluster=slurm" in program
    assert '--cpus-per-task="$SLURM_CPUS_PER_TASK"' in words


@pytest.mark.parametrize("name", ["workers.sh", "slurm.sbatch"])
def test_scripts_parse(name):
    """Without an error in their syntax."""
    subprocess.run(["bash", "-n", f"launch/{name}"], cwd=ROOT, check=True)


def test_the_image_contains_what_the_program_needs():
    lines = (ROOT / "launch" / "Dockerfile").read_text().splitlines()
    sources = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"requirements.txt", "tf_mdsm", "configs"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source


def test_launcher_needs_the_number_of_workers():
    result = subprocess.run(
        ["bash", "launch/workers.sh", "--config=x"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "How many workers?" in result.stderr


def test_launcher_passes_on_output_and_exit_status(tmp_path):
    """A wrong setting: every worker prints one line, and the status is 2."""
    arguments = ["2", "--config=configs/digits.py", "--config.training.batch_size=0"]
    result = subprocess.run(
        ["bash", "launch/workers.sh", *arguments, f"--workdir={tmp_path}/run"],
        cwd=ROOT,
        env=environment(PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 2
    lines = sorted(result.stderr.splitlines())
    wrong = "tf_mdsm: `config.training.batch_size` must lie in [1, 1048576]. Received: 0"
    assert lines == [f"[0] {wrong}", f"[1] {wrong}"]
    assert not (tmp_path / "run").exists()
