"""The two ends of one round of Flower, run by a Python that has flwr and need not have anything of edgeward.

python flower_round.py server ADDRESS CLIENTS START.npz END.npz
python flower_round.py client ADDRESS JOB COMMAND...

A client lets the device's agent make its steps: COMMAND JOB, from the weights that the server sent (JOB/start.npz), and
sends what was learnt (JOB/weights.npz) with the number of images that it learnt from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np


def server(address: str, clients: int, start: Path, end: Path) -> None:
    """Let clients learn once and leave the mean of their weights, by images, in `end`.

    Args:
        address: HOST:PORT at which clients are waited for.
        clients: how many.
        start: weights that they begin with.
        end: where the mean is left.
    """
    import flwr

    with np.load(start) as weights:
        names, values = list(weights), [weights[name] for name in weights]

    class Kept(flwr.server.strategy.FedAvg):  # type: ignore[misc]
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            found, metrics = super().aggregate_fit(server_round, results, failures)
            if found is not None and not failures:
                arrays = flwr.common.parameters_to_ndarrays(found)
                np.savez(end, **dict(zip(names, arrays, strict=True)))
            return found, metrics

    strategy = Kept(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        initial_parameters=flwr.common.ndarrays_to_parameters(values),
    )
    flwr.server.start_server(server_address=address, config=flwr.server.ServerConfig(num_rounds=1), strategy=strategy)


def client(address: str, job: Path, command: list[str]) -> None:
    """Learn once for a server.

    Args:
        address: HOST:PORT of the server.
        job: folder of the agent's step.
        command: of the agent.
    """
    import flwr
    from flwr.compat.client.app import start_client

    wanted = json.loads((job / "step.json").read_text())

    class Device(flwr.client.NumPyClient):  # type: ignore[misc]
        def fit(self, parameters: Any, config: Any) -> Any:
            del config
            np.savez(job / "start.npz", **dict(zip(wanted["learns"], parameters, strict=True)))
            done = subprocess.run([*command, str(job)], capture_output=True, text=True, check=True)
            said = json.loads(done.stdout.splitlines()[-1])
            if "refused" in said:
                raise RuntimeError(said["text"])
            with np.load(job / "weights.npz") as learnt:
                weights = [learnt[name] for name in wanted["learns"]]
            return weights, len(np.load(wanted["labels"])), {"loss": said["loss_after"]}

    start_client(server_address=address, client=Device().to_client(), insecure=True, max_retries=60)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
    else:
        client(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
