"""Static membership: a member is told when another process takes its name.

A name (KAFKA_GROUP_INSTANCE_ID) that joins without a member id takes the place of the member that
has it, so that a replica that is started again gets its partitions back at once. aiokafka forgets
its member id as soon as the broker does not know it any more, and joins without one: two processes
of one name would take each other's place for ever.

Here a process that was a member before asks to join with its former id. The broker refuses if
another process has the name by now (FENCED_INSTANCE_ID). If none has it, as after a pause longer
than the session, the broker answers that it does not know the id, and the process joins without.
"""

from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest

_FENCED_INSTANCE_ID = 82  # aiokafka has no name for it


class InstanceTaken(KafkaError):  # type: ignore[misc]  # noqa: N818  aiokafka's are untyped
    """Another process has the static member's name by now."""


class Coordinator(GroupCoordinator):  # type: ignore[misc]  # aiokafka's classes are untyped
    """aiokafka's coordinator; it differs only with a KAFKA_GROUP_INSTANCE_ID.

    It calls the listener's `fenced` at once: an error would be raised only at the next fetch.
    """

    _group_instance_id: str | None
    member_id: str
    _former_id = ""
    _is_fenced = False

    async def _do_rejoin_group(self, subscription: Any) -> bool:
        if self._group_instance_id is None:
            return bool(await super()._do_rejoin_group(subscription))
        self.member_id = self.member_id or self._former_id
        try:
            has_joined = bool(await super()._do_rejoin_group(subscription))
        except KafkaError:
            if not self._is_fenced:
                raise
            self._subscription.listener.fenced()
            raise InstanceTaken(self._group_instance_id) from None
        # Empty again if the broker does not know it: then the name is free.
        self._former_id = self.member_id
        return has_joined

    async def _send_req(self, request: Any) -> Any:
        response = await super()._send_req(request)
        if isinstance(request, JoinGroupRequest | SyncGroupRequest):
            self._is_fenced = response.error_code == _FENCED_INSTANCE_ID
        return response
