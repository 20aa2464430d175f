"""Run a trained network with ONNX Runtime, without TensorFlow: prepared slices to lesion probabilities."""

import copy
from pathlib import Path

import numpy as np

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import NetworkError
from clamnet_tf.inference.head_predictor import HeadPredictor, lesion_channels
from clamnet_tf.networks.member_names import PREFIX, member_head
from clamnet_tf.networks.onnx_file import read_onnx
from clamnet_tf.threads import in_threads

MOST_SLICES = 2  # per pass: larger ones leave the caches, and took up to half as long again on 2 cores


class OnnxPredictor(HeadPredictor):
    """Compute the probability of each lesion class per pixel and head, as HeadPredictor, with ONNX Runtime on
    the CPU.

    Args:
        path: model.onnx, written by export.heads_onnx: one input (B, H, W, C); outputs head_1, .. (B, H, W,
            classes) as those of the Keras network, and fold_1_head_1, .. of an average's members.
        head: "mean" of the heads, or the number of one.
        batch_size: slices per pass, at most MOST_SLICES.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Raises:
        NetworkError: the file is damaged, of another form, or asks for what no network needs; or it has no
        such
            head.
    """

    engine = "onnxruntime"
    any_size = True

    def __init__(self, path, *, head="mean", batch_size: int = 16, flip_views: bool = False):
        self.path = Path(path)
        self._content = read_onnx(self.path).data
        self._session, self._of_one_thread = _session(self.path, self._content), None
        inputs = self._session.get_inputs()
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        with decoding(lambda reason: self._other_form(f"an output that is no head: {reason}")):
            heads = sorted((name for name in outputs if not name.startswith(PREFIX)), key=_number)
            self._member_heads = sorted(
                (name for name in outputs if name.startswith(PREFIX)), key=member_head
            )
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or not heads:
            raise self._other_form(
                f"{len(inputs)} inputs and the outputs {', '.join(sorted(outputs)) or 'none'}"
            )
        classes = {shape[-1] if len(shape) == 4 else None for shape in outputs.values()}
        count = classes.pop()
        if classes or not isinstance(count, int):
            raise self._other_form("outputs of other shapes than (batch, height, width, classes)")
        self._input = inputs[0].name
        shape = [size if isinstance(size, int) else None for size in inputs[0].shape[1:]]
        super().__init__(
            heads,
            max(1, count - 1),
            shape,
            head=head,
            batch_size=min(batch_size, MOST_SLICES),
            flip_views=flip_views,
        )

    def _other_form(self, what: str) -> NetworkError:
        return NetworkError(
            f"{self.path}: expected one input of slices and an output for each head; it has {what}. Make it "
            f"again with clamnet-tf zoo onnx, or delete it and use --engine tensorflow."
        )

    @property
    def folds(self) -> int:
        """Return how many networks were averaged into this one."""
        return max((member_head(name)[0] for name in self._member_heads), default=1)

    def members(self) -> "OnnxPredictor":
        """Return the predictor of the members' heads, see HeadPredictor."""
        if not self._member_heads:
            return self
        other = copy.copy(self)
        other.head_names, other.head, other._member_heads = self._member_heads, "mean", []
        return other

    def _passes(self, images, starts: range) -> list[np.ndarray]:
        """Return the maps of the batches that begin at `starts`.

        Several are computed at once, each in one thread: threads that share the operations of one pass wait
        for each other, which took 1.3 times as long on 2 cores. The numbers are the same.
        """
        if len(starts) < 2:
            return super()._passes(images, starts)
        if self._of_one_thread is None:
            self._of_one_thread = _session(self.path, self._content, threads=1)
        other = copy.copy(self)
        other._session = self._of_one_thread
        return in_threads(lambda start: other._pass(images, start), starts)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the maps of one batch, see HeadPredictor."""
        maps = self._maps(batch)
        if self.flip_views:
            mirrored = self._maps(np.ascontiguousarray(batch[:, :, ::-1]))
            maps = np.float32(0.5) * (maps + mirrored[:, :, :, ::-1])
        return maps

    def _maps(self, batch: np.ndarray) -> np.ndarray:
        """Return the maps of one batch, (B, H, W, C) -> (heads, B, H, W, M), without flipped views."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # compute only what is asked for
        outputs = self._session.run(self.head_names, {self._input: batch}, options)
        return np.stack([lesion_channels(output) for output in outputs])


def _number(head: str) -> int:
    """Return the number of a head. Raises ValueError when the name has none."""
    return int(head.rsplit("_", 1)[1])


def _session(path: Path, content: bytes, threads: int = 0):
    """Return a session on the content of a checked file.

    Args:
        path: The file, for messages.
        content: What it holds.
        threads: Threads that share the operations of a pass; 0: one per core.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors
    settings.intra_op_num_threads = threads
    # threads that wait by spinning took up to 1.7 times the processor time, from other programs too
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with decoding(lambda reason: NetworkError(f"{path}: cannot be loaded by ONNX Runtime ({reason}).")):
        return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
