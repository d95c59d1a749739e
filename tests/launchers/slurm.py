"""A Slurm cluster of one node, this machine, with munge, all on loopback and in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import GUARD, until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
CONF = """
ClusterName=gantrain
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={control}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=30
MpiDefault=none
ReturnToService=2
SlurmctldParameters=enable_configless
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Say what a cluster here would need, "" if it can be had."""
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=search) is None]
    if absent:
        return f"apt-get install slurm-wlm munge ({', '.join(absent)} not found)"
    return "" if os.geteuid() == 0 else "needs root"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Cluster:
    """Starts munged, slurmctld and slurmd; ``environment`` is what commands need to speak to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        settings = {"folder": folder, "control": free_port(), "daemon": free_port(), "cpus": os.cpu_count()}
        (folder / "slurm.conf").write_text(CONF.format(host=host, **settings))
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.environment["PATH"] += ":/usr/sbin:/sbin"
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munge += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"]
        self.daemons = [self.begin(*munge)]
        self.wait_for(lambda: (folder / "munge.socket").exists())
        self.daemons.append(self.begin_controller())
        self.daemons.append(self.begin("slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", host))
        self.wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%t"))

    def begin_controller(self) -> subprocess.Popen:
        return self.begin("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))

    def kill_and_restart_controller(self) -> None:
        self.daemons[1].kill()
        self.daemons[1].wait(GUARD)
        self.daemons[1] = self.begin_controller()
        self.wait_for(lambda: self.ask("sinfo", "-h", "-o", "%t").strip())

    def begin(self, *command: str) -> subprocess.Popen:
        out = (self.folder / f"{command[0]}.out").open("w")
        return subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, start_new_session=True)

    def ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=GUARD).stdout

    def wait_for(self, condition: Callable[[], object]) -> None:
        def logs() -> dict[str, str]:
            return {path.name: path.read_text()[-800:] for path in self.folder.glob("*.out")}

        def come() -> object:
            assert all(daemon.poll() is None for daemon in self.daemons), logs()
            return condition()

        until(come, logs)

    def close(self) -> None:
        self.ask("scancel", "--signal=KILL", "-u", "root")
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
