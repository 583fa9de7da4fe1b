/**
 * Every bound on what guests and peers can make the network stack hold. A queue, cache or table without an entry here does not pass review.
 *
 * Where Linux has a sysctl, its default is used and named.
 */

/** Bytes of packets in use, over all sockets and queues (what tcp_mem and udp_mem bound on Linux). Memory of the host is touched as it is used. */
export const PACKET_BYTES_MAX = 256 * 1024 * 1024;
/** Of these, what data queued by sockets may take; the rest is for what keeps the stack going: acknowledgements, replies, frames received. */
export const PACKET_DATA_SHARE = 7 / 8;
/**
 * What datagrams and connections with nothing under way may go up to, so that peers who let others' data lie do not end everybody's (Linux guarantees each socket
 * tcp_wmem[0] whatever tcp_mem says).
 */
export const PACKET_FIRST_SHARE = 15 / 16;

/** Packets that wait in the stack's own backlog: beyond it they are dropped, as by net.core.netdev_max_backlog. */
export const BACKLOG_PACKETS_MAX = 4096;
/** Packets taken from the backlog, or from one device, before the others get their turn (net.core.netdev_budget). */
export const POLL_BUDGET = 300;

/** Interfaces of one stack, and addresses and multicast groups of one interface (IPv6: net.ipv6.conf.max_addresses counts autoconfigured ones only). */
export const INTERFACES_MAX = 64;
export const ADDRESSES_PER_INTERFACE_MAX = 256;
export const AUTOCONFIGURED_ADDRESSES_MAX = 16;
export const GROUPS_PER_INTERFACE_MAX = 512;
/** Groups one socket may join (net.ipv4.igmp_max_memberships). */
export const MEMBERSHIPS_PER_SOCKET_MAX = 20;

/** Routes, and of them those that router advertisements made. */
export const ROUTES_MAX = 4096;
export const ADVERTISED_ROUTES_MAX = 16;

/** Neighbour entries of one interface and family (neigh.default.gc_thresh3): one that was not used for long goes, permanent ones (at most half) stay. */
export const NEIGHBOURS_MAX = 1024;
/** Packets that wait for one neighbour's address (Linux: unres_qlen_bytes of 212,992 bytes): the oldest goes. */
export const NEIGHBOUR_QUEUE_MAX = 101;
/** Packets that wait for neighbours on one interface. */
export const NEIGHBOUR_QUEUES_ALL_MAX = 1024;

/** Destinations with a path MTU below their interface's: the oldest goes. */
export const PATH_MTUS_MAX = 1024;

/** Bytes held in incomplete datagrams (net.ipv4.ipfrag_high_thresh): beyond it the oldest datagram goes. */
export const FRAGMENT_BYTES_MAX = 4 * 1024 * 1024;
/** Datagrams being put together at a time, and fragments of one. */
export const REASSEMBLIES_MAX = 256;
export const FRAGMENTS_PER_DATAGRAM_MAX = 64;

/** ICMP errors a second in all, and of them in one burst (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst). */
export const ICMP_ERRORS_PER_SECOND = 1000;
export const ICMP_ERRORS_BURST = 50;

/** Extension headers of one IPv6 packet that are followed, and options in one of them (RFC 8504, section 5.3). */
export const EXTENSION_HEADERS_MAX = 8;
export const EXTENSION_OPTIONS_MAX = 8;
/** Options of one neighbour discovery message that are looked at. */
export const NDP_OPTIONS_MAX = 32;

/** Entries of a socket's error queue; the newest is dropped. Linux charges them to SO_RCVBUF. */
export const ERROR_QUEUE_MAX = 64;
/** Endpoints of one stack, of each kind. */
export const UDP_ENDPOINTS_MAX = 65_536;
export const RAW_ENDPOINTS_MAX = 1024;
export const PACKET_ENDPOINTS_MAX = 256;
/** Charge for a packet's own upkeep to SO_RCVBUF and SO_SNDBUF, about Linux's sk_buff. */
export const PACKET_OVERHEAD = 768;
