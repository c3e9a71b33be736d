"""`Client`: where a user of etcd begins.

Keys and values are bytes, revisions and leases integers, times seconds. Every call has a deadline
(`settings.Timeouts`) and is made at one member after another until then. What is raised is below
`EtcdError`; of a write, `EtcdUnknownOutcome` says that it may have been done, now or later.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, Self

from scheduler.errors import EtcdRefusal, EtcdRefused, SettingsError
from scheduler.etcd3 import ranges, transactions
from scheduler.etcd3.calls import Calls, attempt
from scheduler.etcd3.failures import Failure
from scheduler.etcd3.leases import LeaseKeeper, boot_time_s
from scheduler.etcd3.members import Access, Member
from scheduler.etcd3.methods import (
    ALARM,
    COMPACT,
    DELETE_RANGE,
    LEASE_GRANT,
    LEASE_REVOKE,
    PUT,
    RANGE,
    STATUS,
    TXN,
)
from scheduler.etcd3.proto import etcd_pb2 as pb
from scheduler.etcd3.settings import Credentials, Timeouts, TlsFiles
from scheduler.etcd3.transactions import Compare, Operation
from scheduler.etcd3.values import (
    Alarm,
    AlarmKind,
    GetResult,
    Lease,
    MemberStatus,
    Page,
    TransactionResult,
)
from scheduler.etcd3.watches import Watch

_ALARMS: Final = {pb.NOSPACE: AlarmKind.NO_SPACE, pb.CORRUPT: AlarmKind.CORRUPT}


class Client:
    """A client of one cluster. Make it inside the event loop; close it, best with `async with`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: TlsFiles | None = None,
        user: str = "",
        password: str = "",
        timeouts: Timeouts | None = None,
    ) -> None:
        """`endpoints` as host:port. Connects when first used. Raises SettingsError."""
        if bool(user) is not bool(password):
            raise SettingsError("etcd: a user needs a password, and a password a user")
        self._timeouts = timeouts or Timeouts()
        self._access = Access(endpoints, tls, self._timeouts.connect_s)
        self._credentials = Credentials(user, password) if user else None
        self._calls = self._new_calls()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Calls in flight end with an error. Watches and lease keepers close by themselves."""
        await self._calls.aclose()

    # ---- keys -----------------------------------------------------------------------------------

    async def put(self, key: bytes, value: bytes, lease: Lease | None = None) -> int:
        """Gives the revision of this write."""
        lease_id = 0 if lease is None else lease.lease_id
        request = pb.PutRequest(key=key, value=value, lease=lease_id)
        response = await self._calls.write(PUT, request)
        return response.header.revision

    async def get(self, key: bytes) -> GetResult:
        """Linearizable: it sees every write that was answered before it began."""
        response = await self._calls.read(RANGE, pb.RangeRequest(key=key))
        item = ranges.key_value(response.kvs[0]) if response.kvs else None
        return GetResult(item, response.header.revision)

    def get_prefix(
        self, prefix: bytes, page_size: int = ranges.PAGE_SIZE
    ) -> AsyncGenerator[Page, None]:
        """All keys that begin with `prefix`, in order, in pages of one revision; one page at least.

        Raises Compacted when that revision was compacted meanwhile: begin anew.
        """
        return ranges.pages(self._calls, prefix, page_size)

    async def delete(self, key: bytes) -> bool:
        """Whether there was such a key."""
        response = await self._calls.write(DELETE_RANGE, pb.DeleteRangeRequest(key=key))
        return response.deleted > 0

    async def delete_prefix(self, prefix: bytes) -> int:
        """Gives the number of keys that there were."""
        request = pb.DeleteRangeRequest(key=prefix or b"\0", range_end=ranges.prefix_end(prefix))
        response = await self._calls.write(DELETE_RANGE, request)
        return response.deleted

    async def transaction(
        self,
        compare: Sequence[Compare] = (),
        success: Sequence[Operation] = (),
        failure: Sequence[Operation] = (),
    ) -> TransactionResult:
        """Does all of `success` if every compare holds, else all of `failure`; see `transactions`.

        Raises EtcdNotSent, EtcdUnknownOutcome, EtcdRefused. etcd takes 128 operations and 1.5 MiB.
        """
        request = transactions.to_wire(compare, success, failure)
        response = await self._calls.write(TXN, request)
        return transactions.from_wire(response, success, failure)

    async def compact(self, revision: int) -> None:
        """Drops history before `revision`. Raises Compacted where that was done already."""
        await self._calls.write(COMPACT, pb.CompactionRequest(revision=revision, physical=True))

    # ---- leases and watches ---------------------------------------------------------------------

    async def lease(self, ttl_s: int) -> Lease:
        """A new lease of about `ttl_s` (at least 1). One whose grant is not answered expires."""
        sent_s = boot_time_s()
        request = pb.LeaseGrantRequest(ttl=ttl_s)
        response = await self._calls.write(LEASE_GRANT, request)
        return Lease(response.id, response.ttl, sent_s + response.ttl)

    def keeper(self, lease: Lease) -> LeaseKeeper:
        """Keeps a lease on connections of its own; nothing happens until its `keep` runs."""
        return LeaseKeeper(self._new_calls(), lease)

    async def revoke(self, lease: Lease) -> None:
        """Ends a lease and deletes its keys. One that has ended already is not an error."""
        try:
            await self._calls.write(LEASE_REVOKE, pb.LeaseRevokeRequest(id=lease.lease_id))
        except EtcdRefused as refused:
            if refused.reason is not EtcdRefusal.LEASE_NOT_FOUND:
                raise

    def watch_prefix(self, prefix: bytes, start_revision: int) -> Watch:
        """Every change of a key below `prefix` from `start_revision` on; see `Watch`.

        After a listing that is the page's revision + 1.
        """
        return Watch(self._new_calls(), prefix, start_revision)

    # ---- the cluster ----------------------------------------------------------------------------

    async def status(self) -> Sequence[MemberStatus]:
        """How each member is, in the order of the endpoints; one that is down is no error."""
        members = self._calls.members.all
        return await asyncio.gather(*(self._status_of(member) for member in members))

    async def alarms(self) -> Sequence[Alarm]:
        response = await self._calls.read(ALARM, pb.AlarmRequest())
        return [
            Alarm(alarm.member_id, _ALARMS.get(alarm.alarm, AlarmKind.OTHER))
            for alarm in response.alarms
        ]

    async def _status_of(self, member: Member) -> MemberStatus:
        if not await member.connect(self._timeouts.connect_s):
            return MemberStatus(member.endpoint, await member.problem())
        metadata = tuple(pair for pair in await self._calls.metadata() if pair[0] == "token")
        answer_s = self._timeouts.answer_s
        response = await attempt(member, STATUS, pb.StatusRequest(), answer_s, metadata)
        if isinstance(response, Failure):
            return MemberStatus(member.endpoint, response.text)
        return MemberStatus(
            member.endpoint,
            version=response.version,
            leading=response.leader == response.header.member_id,
            has_leader=response.leader != 0,
            raft_term=response.raft_term,
            revision=response.header.revision,
            size_bytes=response.db_size,
            size_in_use_bytes=response.db_size_in_use,
            errors=tuple(response.errors),
        )

    def _new_calls(self) -> Calls:
        return Calls(self._access, self._credentials, self._timeouts)
