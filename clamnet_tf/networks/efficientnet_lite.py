"""Connect EfficientNet-Lite0 as a feature extractor: stem and inverted residual blocks in Keras' functional
API.

Architecture: Tan and Le 2019 (https://arxiv.org/abs/1905.11946), without squeeze-and-excitation and with
ReLU6 instead of swish, which is what "Lite" means
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Its weights come from
ImageNet, see `networks.imagenet_weights`.
"""

from dataclasses import dataclass

from keras import layers

from clamnet_tf.errors import NetworkError

#: Channels of the stem's output.
STEM_FILTERS = 32
#: Factor on a normalised image (about zero mean, unit deviation): ImageNet's training images had a deviation
#: of about 0.5.
INPUT_SCALE = 0.5
_EPSILON, _MOMENTUM = 1e-3, 0.99


@dataclass(frozen=True)
class InvertedResidual:
    """One inverted residual block: expansion by a 1x1 convolution, depthwise convolution, projection by a
    1x1 convolution.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int

    @property
    def adds_input(self) -> bool:
        """Whether the block's input is added to its output."""
        return self.stride == 1 and self.inputs == self.outputs


def _blocks() -> tuple[InvertedResidual, ...]:
    stages = (  # repeats, kernel, stride, expansion, channels
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    blocks, inputs = [], STEM_FILTERS
    for repeats, kernel, stride, expansion, outputs in stages:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
            inputs = outputs
    return tuple(blocks)


#: The 16 blocks, in order.
BLOCKS = _blocks()


def stride_after(count: int) -> int:
    """Return how many pixels of the image one pixel of the map spans after the stem and `count` blocks."""
    stride = 2
    for block in BLOCKS[:count]:
        stride *= block.stride
    return stride


def connect_efficientnet_lite0(
    image, *, blocks: int = len(BLOCKS), frozen: int = 0, last: str | None = None, prefix: str = "encoder"
):
    """Connect the stem and the first `blocks` blocks to an image.

    Args:
        image: (batch, height, width, channels) float32, about zero mean and unit standard deviation. Height
            and width are multiples of `stride_after(blocks)`; with other sizes the padding would differ from
            that of the weights.
        blocks: how many blocks are connected, 0..16.
        frozen: the stem and this many blocks keep their weights and statistics; 0: everything is trained.
        last: name of the last layer; None: it gets a name of its own.
        prefix: beginning of the layers' names.

    Returns:
        (batch, height / stride, width / stride, channels of the last block).

    Raises:
        NetworkError: there are not that many blocks, or the strides do not divide the image's size.
    """
    if not 0 <= frozen <= blocks <= len(BLOCKS):
        raise NetworkError(
            f"EfficientNet-Lite0: expected 0 <= frozen <= blocks <= {len(BLOCKS)}, received frozen "
            f"{frozen}, blocks {blocks}."
        )
    stride = stride_after(blocks)
    if any(size is not None and size % stride for size in image.shape[1:3]):
        raise NetworkError(
            f"EfficientNet-Lite0: expected an image whose sides are multiples of {stride}, received "
            f"{image.shape[1]} x {image.shape[2]}."
        )
    trained = not frozen
    x = layers.Rescaling(INPUT_SCALE, name=f"{prefix}_scale")(image)
    x = layers.Conv2D(
        STEM_FILTERS,
        3,
        strides=2,
        padding="same",
        use_bias=False,
        name=f"{prefix}_stem_conv",
        trainable=trained,
    )(x)
    x = _normalised(x, f"{prefix}_stem", trained, active=True)
    for index, block in enumerate(BLOCKS[:blocks]):
        end = last if index == blocks - 1 else None
        x = _inverted_residual(x, block, f"{prefix}_block_{index}", trained=index >= frozen, last=end)
    return x


def _inverted_residual(x, block: InvertedResidual, name: str, *, trained: bool, last: str | None):
    y = x
    if block.expansion != 1:
        filters = block.inputs * block.expansion
        y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_expand_conv", trainable=trained)(y)
        y = _normalised(y, f"{name}_expand", trained, active=True)
    y = layers.DepthwiseConv2D(
        block.kernel,
        strides=block.stride,
        padding="same",
        use_bias=False,
        name=f"{name}_depth_conv",
        trainable=trained,
    )(y)
    y = _normalised(y, f"{name}_depth", trained, active=True)
    y = layers.Conv2D(block.outputs, 1, use_bias=False, name=f"{name}_project_conv", trainable=trained)(y)
    final = None if block.adds_input else last
    y = _normalised(y, f"{name}_project", trained, active=False, norm_name=final)
    return layers.Add(name=last or f"{name}_add")([x, y]) if block.adds_input else y


def _normalised(x, name: str, trained: bool, *, active: bool, norm_name: str | None = None):
    x = layers.BatchNormalization(
        epsilon=_EPSILON, momentum=_MOMENTUM, name=norm_name or f"{name}_norm", trainable=trained
    )(x)
    return layers.Activation("relu6", name=f"{name}_activation")(x) if active else x
