"""The codec: protobuf on one side, core values on the other. Nothing else of the project but this
package sees a protobuf message.

    codec_events      the stream's records → events (way in, hot)
    codec_calls       calls → bytes (way out), with codec_tasks for TaskInfo
    codec_framework   FrameworkInfo and SUBSCRIBE
    codec_resources   Resource identities and agents, for offers and the operator API
"""

from scheduler.mesos.codec_calls import CallCodec
from scheduler.mesos.codec_events import (
    Decoded,
    EventDecoder,
    ManyOffers,
    PassedOver,
    StreamError,
    StreamOpened,
    UnreadableStatus,
)
from scheduler.mesos.codec_framework import FrameworkSettings, encode_subscribe
from scheduler.mesos.codec_tasks import TaskRenderer

__all__ = [
    "CallCodec",
    "Decoded",
    "EventDecoder",
    "FrameworkSettings",
    "ManyOffers",
    "PassedOver",
    "StreamError",
    "StreamOpened",
    "TaskRenderer",
    "UnreadableStatus",
    "encode_subscribe",
]
