"""What a server's refusals mean, in the same words for REST and gRPC. `where` is the address, `reason` what
the server says.
"""

from clamnet_tf.errors import ServerFailure, UserInputError


def unknown_model(where: str, reason: str) -> UserInputError:
    """No such name, version or signature."""
    return UserInputError(
        f"{where}: the server knows no such model ({reason}). Check the name; it is that of the folder "
        f"below the server's models."
    )


def unfit_slices(where: str, reason: str) -> UserInputError:
    """The request does not fit the model."""
    return UserInputError(
        f"{where}: the server refuses these slices ({reason}). It serves another model, or one that was not "
        f"made by clamnet-tf export."
    )


def too_slow(where: str, seconds: float) -> ServerFailure:
    """Connected, but no answer in time."""
    return ServerFailure(
        f"{where}: no answer within {seconds:g} s. The server is overloaded, or slices are too many per "
        f"request."
    )
