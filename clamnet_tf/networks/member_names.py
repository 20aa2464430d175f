"""Name the heads of the members of an average: fold_1_head_1, fold_1_head_2, .., fold_2_head_1, .."""

PREFIX = "fold_"


def member_head(name: str) -> tuple[int, int]:
    """Return the number of the fold and of the head that a member's head is named after.

    Raises:
        ValueError: The name is not that of a member's head.

    Examples:
        >>> member_head("fold_2_head_1")
        (2, 1)
    """
    fold, separator, head = name.removeprefix(PREFIX).partition("_head_")
    if not (name.startswith(PREFIX) and separator and fold.isdecimal() and head.isdecimal()):
        raise ValueError(f"expected {PREFIX}NUMBER_head_NUMBER; received {name[:60]!r}")
    return int(fold), int(head)
