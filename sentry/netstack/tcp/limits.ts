/**
 * Bounds and constants of TCP. Where Linux has a sysctl its default is taken and named; times that are compared with timers are in
 * nanoseconds, those compared with the connection's microsecond clock in microseconds.
 */

/** Connections, requests and TIME_WAIT entries of one stack, so that the table of connections stays small (Linux: memory decides). */
export const TCP_ENTRIES_MAX = 131_072;
/** TIME_WAIT and orphaned FIN_WAIT2 entries (net.ipv4.tcp_max_tw_buckets): beyond it a connection is closed without waiting. */
export const TIME_WAIT_MAX = 16_384;
/** Connections that no socket owns any more (net.ipv4.tcp_max_orphans): beyond it they are reset. */
export const ORPHANS_MAX = 8192;
/** Listening sockets with one port: bounds the search for the best one. */
export const LISTENERS_PER_PORT_MAX = 1024;
/** Bounds both queues of a listener, whatever net.core.somaxconn says; that is 4096 at first. */
export const BACKLOG_MAX = 65_535;
export const BACKLOG_MAX_DEFAULT = 4096;

/** SYNs that an interceptor holds at a time, and for how long: a little more than a connect(2) to a dead host takes. */
export const HELD_SYNS_MAX = 4096;
export const HELD_SYN_NS = 150_000_000_000;

/** net.ipv4.tcp_rmem: smallest, first and largest receive buffer. */
export const RECEIVE_BUFFER_MIN = 2304;
export const RECEIVE_BUFFER_DEFAULT = 131_072;
export const RECEIVE_BUFFER_MAX = 6 * 1024 * 1024;
/** net.ipv4.tcp_wmem. */
export const SEND_BUFFER_MIN = 4608;
export const SEND_BUFFER_DEFAULT = 16_384;
export const SEND_BUFFER_MAX = 4 * 1024 * 1024;

/** Charge of a queued segment beyond its bytes: our objects, and the share of a packet's slot it does not fill. */
export const SEGMENT_OVERHEAD = 256;
/** A payload that fills less than this share (1/n) of its packet is copied together with its neighbours when it has to wait. */
export const SPARSE_SHARE = 4;
/** Gaps in what a connection has received out of order: a segment that would make another is dropped, as under Linux's memory pressure. */
export const OUT_OF_ORDER_RUNS_MAX = 512;
/** Segments of a send queue that may have come from splitting others, before sparse ones are no longer split at window edges. */
export const SEND_SEGMENTS_MAX = 32_768;

/** Largest window that the scale option can announce (RFC 7323 section 2.3). */
export const WINDOW_MAX = 2 ** 30 - 1;
export const WINDOW_SCALE_MAX = 14;
/** RFC 9293 section 3.7.1: what may be sent without a maximum segment size option. */
export const MSS_DEFAULT_IPV4 = 536;
export const MSS_DEFAULT_IPV6 = 1220;
/** Smallest MSS accepted from a peer or a path (Linux tcp_min_snd_mss 48: less lets a peer make us send headers only). */
export const MSS_MIN = 48;
/** net.ipv4.route.min_pmtu, and RFC 8200 section 5: no path is taken to be narrower. */
export const PATH_MTU_MIN_IPV4 = 552;
export const PATH_MTU_MIN_IPV6 = 1280;

export const MS = 1_000_000;
export const SECOND = 1_000_000_000;
/** RFC 6298 section 2, with Linux's figures: RTO before the first measurement, its least (TCP_RTO_MIN) and its most. */
export const RTO_INITIAL_US = 1_000_000;
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 120_000_000;
/** Delayed acknowledgements: Linux TCP_DELACK_MIN, TCP_DELACK_MAX, TCP_ATO_MIN. */
export const ACK_DELAY_MIN_US = 40_000;
export const ACK_DELAY_MAX_US = 200_000;
/** Acknowledgements sent at once at the beginning, while the sender's window is small (TCP_MAX_QUICKACKS). */
export const QUICK_ACKS_MAX = 16;

/** TIME_WAIT, and FIN_WAIT2 of an orphan (net.ipv4.tcp_fin_timeout). */
export const TIME_WAIT_NS = 60 * SECOND;
export const FIN_TIMEOUT_NS = 60 * SECOND;
/** net.ipv4.tcp_syn_retries, tcp_synack_retries, tcp_retries2, tcp_orphan_retries. */
export const SYN_RETRIES = 6;
export const SYNACK_RETRIES = 5;
export const RETRIES2 = 15;
export const ORPHAN_RETRIES = 8;
/** tcp_keepalive_time, _intvl, _probes. */
export const KEEPALIVE_TIME_MS = 7_200_000;
export const KEEPALIVE_INTERVAL_MS = 75_000;
export const KEEPALIVE_PROBES = 9;

/** Challenge ACKs a second over the whole stack (net.ipv4.tcp_challenge_ack_limit, when it was limited), RFC 5961 section 7. */
export const CHALLENGE_ACKS_PER_SECOND = 1000;
/** Least time between two answers to segments out of window on one connection (net.ipv4.tcp_invalid_ratelimit). */
export const INVALID_RATE_LIMIT_US = 500_000;
/** Resets sent a second for segments that belong to nothing. */
export const RESETS_PER_SECOND = 10_000;

/** net.ipv4.ip_local_port_range. */
export const EPHEMERAL_PORT_FIRST = 32_768;
export const EPHEMERAL_PORT_LAST = 60_999;

/** Initial window in segments (RFC 6928), and after a timeout of the idle connection. */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** Nothing is limited yet. */
export const INFINITE_SSTHRESH = 2 ** 30;
/** PAWS (RFC 7323 section 5.5): a timestamp this old says nothing any more. */
export const PAWS_IDLE_MS = 24 * 24 * 3600 * 1000;
