"""Start from existing weights: report and record, before training, what of them each network can use."""

import dataclasses
import json

from clamnet_tf.errors import NetworkError
from clamnet_tf.files import write_json
from clamnet_tf.networks.transfer import transfer_text, transfer_weights


def plan_initial(initial, networks: dict, run, reporter) -> None:
    """Try the initial weights on scratch networks.

    Report the result and write the layers into initialization.json.

    A network that shares nothing starts from random weights, as long as another one of the run does not.

    Args:
        initial: the network with the weights.
        networks: {title of a stage: network as that stage builds it}; they are changed.
        run: RunFolder with initialization.json.
        reporter: Reporter.

    Raises:
        NetworkError: no network of the run shares a convolution with the weights.
    """
    origin, stages, refusals = json.loads(run.initialization.read_text(encoding="utf-8")), {}, []
    is_resumed = "stages" in origin
    for title, network in networks.items():
        try:
            rows = transfer_weights(initial, network)
        except NetworkError as error:
            refusals.append(f"{title}: {error}")
            stages[title] = []
            continue
        stages[title] = [dataclasses.asdict(row) for row in rows]
        for index, line in enumerate([] if is_resumed else transfer_text(rows)):
            reporter.line(f"  {line}" if index else f"Weights of {origin['from']} in the {title}: {line}")
    if len(refusals) == len(networks):
        raise NetworkError("--init: " + "\n".join(refusals))
    if not is_resumed:
        for refusal in refusals:
            reporter.line(f"Weights of {origin['from']}: not used in the {refusal}")
        write_json(run.initialization, {**origin, "stages": stages})


def begin_with(initial, network) -> None:
    """Put what fits of the initial weights into `network`.

    Do nothing when there are none, or none that fit.
    """
    if initial is None:
        return
    try:
        transfer_weights(initial, network)
    except NetworkError:  # reported by `plan_initial`; the network starts from random weights
        return
