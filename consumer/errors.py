"""The errors of the consumer, beyond those of its drivers.

ConsumerError
├── Fenced            another replica owns the partition
├── CommitUnknown     the connection broke while COMMIT was under way
├── UnfitDatabase     the tables or the roles cannot be made here
├── Outdated          the schema is too new for this code
├── NotTheOwner       the role does not own the histories, and may not remove days
├── Replaced          another process has this replica's KAFKA_GROUP_INSTANCE_ID
└── Stuck             messages wait, the servers answer, and none is stored
"""


class ConsumerError(Exception):
    """An error of this service; the message is one line."""


class Fenced(ConsumerError):  # noqa: N818  the field's word
    """The stored offset is not the one this replica believes in: the partition has moved on."""

    def __init__(self, *, topic: str, partition: int, believed: int) -> None:
        super().__init__(f"{topic}/{partition}: the stored offset is no longer {believed}")


class CommitUnknown(ConsumerError):  # noqa: N818  a state of knowledge more than an error
    """COMMIT was sent and not answered: the server is to be asked, by the transaction's id."""

    def __init__(self, transaction_id: str) -> None:
        super().__init__(f"the outcome of transaction {transaction_id} is unknown")
        self.transaction_id = transaction_id


class UnfitDatabase(ConsumerError):  # noqa: N818  what it is
    """The tables or the roles cannot be made in this database, or not compared with the files."""


class NotTheOwner(ConsumerError):  # noqa: N818  what it is
    """Days are removed by the owner of the histories, or a member of it."""

    def __init__(self, *, owner: str, role: str) -> None:
        super().__init__(
            f"days past the retention are removed by the owner of the histories, {owner}, and not"
            f" by {role}"
        )
        self.owner = owner
        self.role = role


class Outdated(ConsumerError):  # noqa: N818  what this code is
    """The schema is too new for this code. The replica ends, and a newer release takes over."""


class Replaced(ConsumerError):  # noqa: N818  what has happened to it
    """Another process has this replica's name. This one ends, or they would swap for ever."""

    def __init__(self, *, instance_id: str) -> None:
        super().__init__(
            f"KAFKA_GROUP_INSTANCE_ID: another process has joined the group as {instance_id!r};"
            " give each replica a name of its own"
        )


class Stuck(ConsumerError):  # noqa: N818  what the watchdog says
    """The watchdog's verdict: the process ends, and its supervisor starts it again."""

    def __init__(self, *, seconds: int) -> None:
        super().__init__(f"messages wait and none was stored for {seconds} s")
