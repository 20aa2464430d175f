"""Starting from weights that exist: what of them each network of a run can use, said and recorded before
training begins.
"""

import dataclasses
import json

from clamnet_tf.errors import NetworkError
from clamnet_tf.files import write_json
from clamnet_tf.networks.transfer import transfer_text, transfer_weights


def plan_initial(initial, networks: dict, run, reporter) -> None:
    """Try the initial weights on scratch networks; tell the reader and write the layers into
    initialization.json.

    A network that shares nothing starts afresh, as long as another one of the run does not.

    Args:
        initial: the network with the weights. networks: words for a stage -> network as that stage builds it;
            they are changed.
        run: RunFolder with initialization.json. reporter: Reporter.

    Raises:
        NetworkError: no network of the run shares a convolution with the weights.
    """
    origin, stages, refusals = json.loads(run.initialization.read_text(encoding="utf-8")), {}, []
    known = "stages" in origin  # a resumed run
    for words, network in networks.items():
        try:
            rows = transfer_weights(initial, network)
        except NetworkError as error:
            refusals.append(f"{words}: {error}")
            stages[words] = []
            continue
        stages[words] = [dataclasses.asdict(row) for row in rows]
        for number, line in enumerate([] if known else transfer_text(rows)):
            reporter.line(f"  {line}" if number else f"Weights of {origin['from']} in the {words}: {line}")
    if len(refusals) == len(networks):
        raise NetworkError("--init: " + "\n".join(refusals))
    if not known:
        for refusal in refusals:
            reporter.line(f"Weights of {origin['from']}: not used in the {refusal}")
        write_json(run.initialization, {**origin, "stages": stages})


def begin_with(initial, network) -> None:
    """Put what fits of the initial weights into `network`; nothing when there are none, or none that fit."""
    if initial is None:
        return
    try:
        transfer_weights(initial, network)
    except NetworkError:  # said by `plan_initial`; the network starts afresh
        return
