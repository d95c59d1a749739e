"""On which network interface a rank reaches the others."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
from contextlib import suppress

from gantrain.distributed.place import Place

INTERFACE = "GLOO_SOCKET_IFNAME"
"""The variable by which gloo is told on which interface the other ranks reach this one."""
ADDRESS_OF = 0x8915
"""Linux's SIOCGIFADDR: asks for the address of an interface."""


def interface_to(host: str, port: int) -> str | None:
    """Return the interface by which this machine reaches a host, None where that is this machine or cannot be told."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((host, port))  # sends nothing
        address = asking.getsockname()[0]
        if ipaddress.ip_address(address).is_loopback:
            return None
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                found = fcntl.ioctl(asking, ADDRESS_OF, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return None


def name_interface(place: Place) -> None:
    """Tell gloo by which interface the ranks' store is reached, unless the environment says it.

    It would take the address that the machine's own name has, which in many an ``/etc/hosts`` is the loopback's.
    """
    if INTERFACE not in os.environ and (name := interface_to(place.host, place.port)) is not None:
        os.environ[INTERFACE] = name
