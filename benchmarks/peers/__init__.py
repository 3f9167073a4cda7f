"""The servers that are compared."""

from benchmarks.peers.base import Peer
from benchmarks.peers.bucket import TusdInBucket, WindlassInBucket
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.proxied import WindlassProxied
from benchmarks.peers.rustus import Rustus
from benchmarks.peers.tus_node import TusNode
from benchmarks.peers.tusd import Tusd
from benchmarks.peers.tuspyserver import Tuspyserver
from benchmarks.peers.windlass import WindlassOs, WindlassStrict

ALL: tuple[Peer, ...] = (
    WindlassStrict(),
    WindlassOs(),
    WindlassProxied(),
    Tusd(),
    TusNode(),
    Tuspyserver(),
    Rustus(),
    Nginx(),
    WindlassInBucket(),
    TusdInBucket(),
)
