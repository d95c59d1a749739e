"""The functions that forked children run, and the faults that are planted in them."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hydra.core.global_hydra import GlobalHydra

from gantrain.build import building
from gantrain.checkpoint import Checkpoints, Retention
from gantrain.cli.train import main
from gantrain.evaluation import PointQuality
from gantrain.run.records import Records
from gantrain.training.trainer import Trainer


def train(arguments: list[str], *faults: list[object]) -> None:
    """Run the ``gantrain`` command; each fault is a function's name and its arguments."""
    for name, *details in faults:
        globals()[name](*details)
    GlobalHydra.instance().clear()
    if not any(argument.startswith("evaluation") for argument in arguments):
        arguments = [*arguments, "evaluation=none"]  # it takes longer than these runs
    sys.argv = ["gantrain", *arguments]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGXCPU):
        if number not in IGNORED:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        main()
    finally:
        sys.setprofile(None)
        for act in AT_THE_END:
            act()


IGNORED: set[int] = set()


def ignore(number: int) -> None:
    """Start with a signal ignored, as nohup does with SIGHUP."""
    IGNORED.add(number)
    signal.signal(number, signal.SIG_IGN)


def close_streams() -> None:
    """Start without stdout and stderr, as ``>&- 2>&-`` does."""
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None


def no_space_for(name: str) -> None:
    """Let the disk be full for what is written into a file of a name by ``os.pwrite``."""
    pwrite = os.pwrite

    def full(descriptor: int, *rest: object) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, *rest)

    os.pwrite = full


def full_for(name: str) -> None:
    """Let the disk be full for the temporary files of a name."""
    from gantrain.run import files

    replacing = files.replacing

    @contextmanager
    def full(path: Path, **options: bool) -> Iterator[object]:
        with replacing(path, **options) as file:
            yield file
            if f".{path.name}" == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.replacing = full


def temporary_folder(path: str) -> None:
    """Let temporary files lie in a folder, as TMPDIR would."""
    import tempfile

    tempfile.tempdir = path


def no_locks(number: int) -> None:
    """Let the file system refuse locks with an error."""
    import fcntl

    def refused(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    fcntl.lockf = refused


AT_THE_END: list[Callable[[], object]] = []  # what faults leave to be done when the command has ended

# What changes files, as Python's audit events name it, and what opens them.
FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


def at_moments(act: Callable[[int], None]) -> None:
    """Call ``act(n)`` at the n-th moment of the run: before each opening and change of a file, and before D's turns.

    A kill at a moment of the clock strikes mostly where nothing is at stake, and elsewhere on every machine.
    """
    moments = itertools.count(1)
    sys.addaudithook(lambda event, _: act(next(moments)) if event in FILE_EVENTS else None)
    before_call(Trainer, "d_turn", lambda trainer, turn: act(next(moments)))


def count_moments(file: str) -> None:
    """Write to a file how many moments ``at_moments`` has found."""
    last = [0]

    def note(moment: int) -> None:
        last[0] = moment

    at_moments(note)
    AT_THE_END.append(lambda: Path(file).write_text(str(last[0])))


def kill_at(moment: int) -> None:
    """Kill this process at a moment of ``at_moments``."""
    at_moments(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == moment else None)


def at_calls(act: Callable[[int], None]) -> None:
    """Call ``act(n)`` before the n-th call of any function, counted from where signals are listened to."""
    from gantrain.run.signals import StopSignal

    listening, calls = StopSignal.listening, itertools.count(1)

    @contextmanager
    def counted(self: StopSignal) -> Iterator[None]:
        with listening(self):
            sys.setprofile(lambda frame, event, _: act(next(calls)) if event.endswith("call") else None)
            yield

    StopSignal.listening = counted


def count_calls(file: str) -> None:
    """Write to a file how many calls ``at_calls`` has found."""
    last = [0]

    def note(call: int) -> None:
        last[0] = call

    at_calls(note)
    AT_THE_END.append(lambda: Path(file).write_text(str(last[0])))


def signal_at(call: int, number: int) -> None:
    """Send this process a signal at a call of ``at_calls``."""

    def send(n: int) -> None:
        if n == call:
            sys.setprofile(None)
            os.kill(os.getpid(), number)

    at_calls(send)


def save_forever(folder: str) -> None:
    """Save 8 MB without pause, and print every step once it is acknowledged."""
    checkpoints = Checkpoints(Path(folder), Retention(2))
    checkpoints.latest()
    step = max(checkpoints.steps(), default=0)
    x = torch.zeros(2_000_000)
    while True:
        step += 1
        checkpoints.save(step, {"x": x + step, "step": step})
        os.write(1, f"{step}\n".encode())


def before_call(owner: object, name: str, action: Callable[..., None]) -> None:
    """Let ``action(self, count)`` run before the count-th call of a method, or of a module's function."""
    method, count = getattr(owner, name), 0

    def counted(*arguments: object, **options: object) -> object:
        nonlocal count
        count += 1
        action(arguments[0], count)
        return method(*arguments, **options)

    setattr(owner, name, counted)


def nan_loss(player: str, turn: int, once: str = "") -> None:
    """Multiply the loss of a player's turn by NaN; with ``once``, a file, only if that does not exist yet."""
    from gantrain.losses import Loss

    method = getattr(Loss, f"for_{player}")

    def poisoned(self: Loss, seen: object) -> object:
        cost = method(self, seen)
        if seen.index == turn and not (once and Path(once).exists()):
            if once:
                Path(once).touch()
            name = list(cost.terms)[-1]
            cost.terms[name] = cost.terms[name] * float("nan")
        return cost

    setattr(Loss, f"for_{player}", poisoned)


def nan_gradient(player: str, turn: int) -> None:
    """Make one gradient of a player NaN from the given turn on, while its loss stays finite."""

    def poison(trainer: Trainer, count: int) -> None:
        if count == turn:
            parameter = next(getattr(trainer, player).net.parameters())
            parameter.register_hook(lambda gradient: gradient * float("nan"))

    before_call(Trainer, f"{player}_turn", poison)


def nan_before_a_rollback(step: int) -> None:
    """Make a weight of D NaN at a step until the run has rolled back."""

    def poison(trainer: Trainer, count: int) -> None:
        if trainer.step == step and trainer.rollbacks == 0:
            with torch.no_grad():
                next(trainer.d.net.parameters()).fill_(float("nan"))

    before_call(Trainer, "d_turn", poison)


def hold_after_rollback(mark: str) -> None:
    """Touch ``mark`` and wait to be killed at the first step after a rollback."""
    before_call(Trainer, "d_turn", lambda trainer, count: wait_here(mark) if trainer.rollbacks else None)


def threads(count: int) -> None:
    """Use several threads, not one as the other children do."""
    torch.set_num_threads(count)


def nan_pixel(position: int) -> None:
    """Put one NaN into the batch at a position of the stream."""
    from gantrain.data import Batches

    following = Batches.next

    def poisoned(self: Batches, n: int | None = None) -> object:
        at = self.position
        samples, labels = following(self, n)
        if at == position:
            samples = samples.clone()
            samples.view(-1)[0] = float("nan")
        return samples, labels

    Batches.next = poisoned


def huge_scale() -> None:
    """Start float16's loss scale at 2^60."""
    from gantrain.losses.turn import Precision

    Precision.scaler = lambda self: torch.amp.GradScaler(self.device.type, init_scale=2.0**60)


def file_size_limit(size: int) -> None:
    """Let no file grow beyond ``size`` bytes: without root, the nearest thing to a full disk (EFBIG)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def memory_limit(size: int) -> None:
    """Let the process take at most ``size`` more bytes of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + size, resource.RLIM_INFINITY))


def saves_fail(first: int, last: int) -> None:
    """Let the disk be full for the saves from the first to the last (counted from 1)."""
    from gantrain.checkpoint import series

    write, count = series.write, 0

    def full(folder: Path, *rest: object) -> None:
        nonlocal count
        count += 1
        if first <= count <= last:
            folder.mkdir(parents=True)
            (folder / "state.safetensors").write_bytes(bytes(1000))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, *rest)

    series.write = full


def out_of_gpu_memory(turn: int) -> None:
    """Raise torch's error for a full GPU memory."""

    def full(trainer: object, count: int) -> None:
        if count == turn:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    before_call(Trainer, "g_turn", full)


def wait_here(mark: str, release: str = "") -> None:
    """Touch ``mark``, and wait until ``release`` exists; for ever if there is none. Signals are handled meanwhile."""
    Path(mark).touch()
    while not (release and Path(release).exists()):
        time.sleep(0.005)


PHASES = {
    "start-up": (building, "build_d_and_loss"),
    "training": (Trainer, "g_turn"),
    "sampling": (Trainer, "sample"),
    "saving": (Checkpoints, "_commit"),  # no public method lies between a save's first byte and its last
    "logging": (Records, "scalars"),
    "evaluation": (PointQuality, "measure"),
}


def hold(phase: str, mark: str, release: str = "", count: int = 1, seed: int | None = None) -> None:
    """Let a phase of the run, the ``count``-th time it comes, touch ``mark`` and wait for ``release``.

    In a sweep, ``seed`` names the job that is held; the count is then that of its own step.
    """
    held: list[int] = []

    def wait(self: object, calls: int) -> None:
        mine = calls == count if seed is None else torch.initial_seed() == seed and self.step == count - 1
        if mine and not held:
            held.append(calls)
            wait_here(mark, release)

    before_call(*PHASES[phase], wait)


def clock_jumps_back() -> None:
    """From its second reading on, let the wall clock show a time one day earlier."""
    now, looks = time.time, 0

    def earlier() -> float:
        nonlocal looks
        looks += 1
        return now() - 86400 * (looks > 1)

    time.time = earlier


def no_pickle(mark: str) -> None:
    """Touch ``mark`` and fail where anything is unpickled."""
    import pickle

    def forbidden(*arguments: object, **options: object) -> None:
        Path(mark).touch()
        raise AssertionError("unpickled")

    sys.addaudithook(lambda event, _: forbidden() if event == "pickle.find_class" else None)
    for name in ("load", "loads", "Unpickler"):
        setattr(pickle, name, forbidden)
    torch.load = forbidden


def unpickle() -> None:
    """Unpickle something, past the names that ``no_pickle`` has replaced."""
    import _pickle

    _pickle.loads(_pickle.dumps(Path("x")))


def nan_loss_of_seed(seed: int, turn: int) -> None:
    """Let D's loss be NaN in one job of a sweep."""
    from gantrain.losses import Loss

    for_d = Loss.for_d

    def poisoned(self: Loss, seen: object) -> object:
        cost = for_d(self, seen)
        if seen.index == turn and torch.initial_seed() == seed:
            cost.terms["adversarial"] = cost.terms["adversarial"] * float("nan")
        return cost

    Loss.for_d = poisoned


def program_first(folder: str) -> None:
    """Let programs of a folder be found before all others."""
    from PIL import EpsImagePlugin

    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    EpsImagePlugin.gs_binary = None  # not looked for yet


def forbid_folder(folder: str) -> None:
    """Let a folder refuse to be opened, to root as well."""
    scan = os.scandir

    def forbidden(path: object = ".") -> object:
        if str(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return scan(path)

    os.scandir = forbidden


def count_pictures(file: str) -> None:
    """Write to a file how often Pillow has opened one."""
    from PIL import Image

    opened = itertools.count()
    before_call(Image, "open", lambda path, count: next(opened))
    AT_THE_END.append(lambda: Path(file).write_text(str(next(opened))))


def name_no_classes() -> None:
    """Save manifests as they were before they named the classes."""
    from gantrain.cli.session import Session

    manifest = Session.manifest

    def nameless(self: Session) -> dict:
        facts = manifest(self)
        del facts["generator"]["class_names"]
        return facts

    Session.manifest = nameless
