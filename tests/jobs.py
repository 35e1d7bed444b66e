"""Several processes that are one job, as on several hosts."""

import socket


def job_flags(processes):
    """For each process, the flags that make it one of a job; none where it is alone."""
    if processes == 1:
        return [[]]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    several = [f"--coordinator_address={address}", f"--num_processes={processes}"]
    return [[*several, f"--process_id={number}"] for number in range(processes)]


def finish(processes, timeout=280):
    """Each process's error output; all of them have succeeded, each within so many seconds."""
    logged = [process.communicate(timeout=timeout)[1] for process in processes]
    for process, stderr in zip(processes, logged, strict=True):
        assert process.returncode == 0, stderr
    return logged
