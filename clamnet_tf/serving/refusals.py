"""Turn a server's refusals into errors with the same words for REST and gRPC.

`where` is the address, `reason` what the server says.
"""

from clamnet_tf.errors import ServerFailure, UserInputError


def unknown_model(where: str, reason: str) -> UserInputError:
    """Return the error for an unknown name, version or signature."""
    return UserInputError(
        f"{where}: the server knows no such model ({reason}). Check the name; it is that of the folder "
        f"below the server's models."
    )


def unfit_slices(where: str, reason: str) -> UserInputError:
    """Return the error for a request that does not fit the model."""
    return UserInputError(
        f"{where}: the server refuses these slices ({reason}). It serves another model, or one that was not "
        f"made by clamnet-tf export."
    )


def too_slow(where: str, seconds: float) -> ServerFailure:
    """Return the error for a connection without an answer in time."""
    return ServerFailure(
        f"{where}: no answer within {seconds:g} s. The server is overloaded, or there are too many slices "
        f"per request."
    )
