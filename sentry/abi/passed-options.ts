/**
 * Options that a guest may set and read on a socket of the host's stack (`--net=host`), by level: data for the sentry, the network helper and the helper's
 * seccomp filter alike. ip(7), ipv6(7), tcp(7), udp(7), socket(7).
 *
 * Left out is what runs programs (SO_ATTACH_FILTER), needs capabilities the helper does not have (SO_MARK, SO_BINDTODEVICE, TCP_REPAIR), names an address
 * outside of connect(2) and sendto(2) (TCP_FASTOPEN_CONNECT), changes what a socket is (TCP_ULP, IPV6_ADDRFORM), or answers by control messages, which are
 * not carried (IP_PKTINFO, IP_RECVERR, SO_TIMESTAMP).
 */
import * as inet from './inet.ts';
import * as socket from './socket.ts';

export interface PassedOptions {
  readonly level: number;
  readonly set: readonly number[];
  /** Besides those of `set`. */
  readonly readOnly: readonly number[];
}

/** SO_LINGER is passed on only as "reset on close" or "off": waiting is no business of a process that serves others, too. */
const SOCKET_OPTIONS: PassedOptions = {
  level: socket.SOL_SOCKET,
  set: [
    socket.SO_REUSEADDR,
    socket.SO_DONTROUTE,
    socket.SO_BROADCAST,
    socket.SO_SNDBUF,
    socket.SO_RCVBUF,
    socket.SO_KEEPALIVE,
    socket.SO_OOBINLINE,
    socket.SO_NO_CHECK,
    socket.SO_PRIORITY,
    socket.SO_LINGER,
    socket.SO_REUSEPORT,
    socket.SO_RCVLOWAT,
    socket.SO_MAX_PACING_RATE,
  ],
  readOnly: [socket.SO_ACCEPTCONN, socket.SO_SNDLOWAT],
};

const IP_OPTIONS: PassedOptions = {
  level: inet.SOL_IP,
  set: [
    inet.IP_TOS,
    inet.IP_TTL,
    inet.IP_MTU_DISCOVER,
    inet.IP_FREEBIND,
    inet.IP_MINTTL,
    inet.IP_BIND_ADDRESS_NO_PORT,
    inet.IP_MULTICAST_IF,
    inet.IP_MULTICAST_TTL,
    inet.IP_MULTICAST_LOOP,
    inet.IP_ADD_MEMBERSHIP,
    inet.IP_DROP_MEMBERSHIP,
    inet.IP_MULTICAST_ALL,
    inet.IP_LOCAL_PORT_RANGE,
  ],
  readOnly: [inet.IP_MTU],
};

const IPV6_OPTIONS: PassedOptions = {
  level: inet.SOL_IPV6,
  set: [
    inet.IPV6_UNICAST_HOPS,
    inet.IPV6_MULTICAST_IF,
    inet.IPV6_MULTICAST_HOPS,
    inet.IPV6_MULTICAST_LOOP,
    inet.IPV6_JOIN_GROUP,
    inet.IPV6_LEAVE_GROUP,
    inet.IPV6_MTU_DISCOVER,
    inet.IPV6_V6ONLY,
    inet.IPV6_MULTICAST_ALL,
    inet.IPV6_DONTFRAG,
    inet.IPV6_TCLASS,
    inet.IPV6_AUTOFLOWLABEL,
    inet.IPV6_ADDR_PREFERENCES,
    inet.IPV6_MINHOPCOUNT,
    inet.IPV6_FREEBIND,
  ],
  readOnly: [inet.IPV6_MTU],
};

const TCP_OPTIONS: PassedOptions = {
  level: inet.SOL_TCP,
  set: [
    inet.TCP_NODELAY,
    inet.TCP_MAXSEG,
    inet.TCP_CORK,
    inet.TCP_KEEPIDLE,
    inet.TCP_KEEPINTVL,
    inet.TCP_KEEPCNT,
    inet.TCP_SYNCNT,
    inet.TCP_LINGER2,
    inet.TCP_DEFER_ACCEPT,
    inet.TCP_WINDOW_CLAMP,
    inet.TCP_QUICKACK,
    inet.TCP_CONGESTION,
    inet.TCP_USER_TIMEOUT,
    inet.TCP_NOTSENT_LOWAT,
  ],
  readOnly: [inet.TCP_INFO],
};

const UDP_OPTIONS: PassedOptions = { level: inet.SOL_UDP, set: [inet.UDP_CORK, inet.UDP_SEGMENT], readOnly: [] };

export const PASSED_OPTIONS: readonly PassedOptions[] = [SOCKET_OPTIONS, IP_OPTIONS, IPV6_OPTIONS, TCP_OPTIONS, UDP_OPTIONS];

/** Whether setsockopt(2) of the option is passed on. */
export function isSetPassed(level: number, name: number): boolean {
  return PASSED_OPTIONS.some((options) => options.level === level && options.set.includes(name));
}

/** Whether getsockopt(2) of the option is passed on. */
export function isGetPassed(level: number, name: number): boolean {
  return PASSED_OPTIONS.some((options) => options.level === level && (options.set.includes(name) || options.readOnly.includes(name)));
}
