"""offerd: a highly available Apache Mesos framework scheduler."""

__version__ = "0.1.0"
