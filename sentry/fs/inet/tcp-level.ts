/**
 * The options of level IPPROTO_TCP: tcp(7). Linux net/ipv4/tcp.c, do_tcp_setsockopt.
 */
import { EINVAL, ENOPROTOOPT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import * as inet from '#sentry/abi/inet.ts';
import { CLOSED } from '../../netstack/tcp/states.ts';
import { intRow, OptionTable, switchRow } from '../socket/option-table.ts';
import type { OptionRow } from '../socket/option-table.ts';
import { putTcpInfo } from './tcp-info.ts';
import type { TcpEndpointSocket } from './tcp-endpoint-socket.ts';

type Row = OptionRow<TcpEndpointSocket>;

const MS = 1000;
const MSS_MIN = 88;
const WINDOW_MAX = 32_767;
const MSS_DEFAULT = 536;
const NAME_MAX = 16;
/** TCP_DEFER_ACCEPT is told in seconds and kept in retransmissions: 1, 3, 7 … seconds. */
const FIRST_TIMEOUT_SECONDS = 1;
const TIMEOUT_MAX_SECONDS = 120;
const FIN_TIMEOUT_MAX_SECONDS = 120;

function isOpen(socket: TcpEndpointSocket): boolean {
  return socket.listener === null && socket.connection.state !== CLOSED;
}

/** Retransmissions within which `seconds` pass (Linux secs_to_retrans). */
function toRetransmissions(seconds: number): number {
  if (seconds <= 0) return 0;
  let count = 1;
  let timeout = FIRST_TIMEOUT_SECONDS;
  for (let period = timeout; seconds > period && count < 255; count++) {
    timeout = Math.min(2 * timeout, TIMEOUT_MAX_SECONDS);
    period += timeout;
  }
  return count;
}

/** Linux retrans_to_secs. */
function toSeconds(retransmissions: number): number {
  let period = 0;
  let timeout = FIRST_TIMEOUT_SECONDS;
  for (let i = 0; i < retransmissions; i++) {
    period += timeout;
    timeout = Math.min(2 * timeout, TIMEOUT_MAX_SECONDS);
  }
  return period;
}

function keepTime(field: 'keepIdleMs' | 'keepIntervalMs', most: number): Row {
  return intRow(
    (socket) => Math.floor(socket.tcpOptions[field] / MS),
    (socket, seconds) => {
      if (seconds < 1 || seconds > most) return -EINVAL;
      socket.tcpOptions[field] = seconds * MS;
      if (isOpen(socket)) socket.connection.keepAliveChanged();
      return 0;
    },
  );
}

function ranged(field: 'keepCount' | 'synRetries', least: number, most: number): Row {
  return intRow(
    (socket) => socket.tcpOptions[field],
    (socket, value) => {
      if (value < least || value > most) return -EINVAL;
      socket.tcpOptions[field] = value;
      return 0;
    },
  );
}

const maxSegment: Row = intRow(
  (socket) => {
    const { maxSegment: wanted } = socket.tcpOptions;
    if (isOpen(socket)) return socket.connection.mss;
    return wanted === 0 ? MSS_DEFAULT : wanted;
  },
  (socket, value) => {
    if (value !== 0 && (value < MSS_MIN || value > WINDOW_MAX)) return -EINVAL;
    socket.tcpOptions.maxSegment = value;
    return 0;
  },
);

const congestion: Row = {
  isText: true,
  get: (socket, value) => {
    const name = socket.tcpOptions.congestion;
    return value.putText(name.padEnd(NAME_MAX, '\0'));
  },
  set: (socket, value) => (value.length < 1 ? -EINVAL : socket.connection.setCongestion(value.text(NAME_MAX - 1))),
};

const linger2: Row = intRow(
  (socket) => {
    const { finTimeoutMs } = socket.tcpOptions;
    return finTimeoutMs < 0 ? -1 : Math.floor(finTimeoutMs / MS);
  },
  (socket, seconds) => {
    socket.tcpOptions.finTimeoutMs = seconds < 0 ? -1 : seconds > FIN_TIMEOUT_MAX_SECONDS ? FIN_TIMEOUT_MAX_SECONDS * MS : seconds * MS;
    return 0;
  },
);

/** Fast Open is not spoken: what cannot be had is refused, what is off can be turned off. */
function refused(): Row {
  return intRow(
    () => 0,
    (_socket, value) => (value === 0 ? 0 : -EOPNOTSUPP),
  );
}

export const TCP_LEVEL = new OptionTable<TcpEndpointSocket>(4, {
  [inet.TCP_NODELAY]: switchRow(
    (socket) => socket.tcpOptions.noDelay,
    (socket, on) => {
      if (isOpen(socket)) socket.connection.setNoDelay(on);
      else socket.tcpOptions.noDelay = on;
    },
  ),
  [inet.TCP_CORK]: switchRow(
    (socket) => socket.tcpOptions.cork,
    (socket, on) => {
      if (isOpen(socket)) socket.connection.setCork(on);
      else socket.tcpOptions.cork = on;
    },
  ),
  [inet.TCP_MAXSEG]: maxSegment,
  [inet.TCP_KEEPIDLE]: keepTime('keepIdleMs', 32_767),
  [inet.TCP_KEEPINTVL]: keepTime('keepIntervalMs', 32_767),
  [inet.TCP_KEEPCNT]: ranged('keepCount', 1, 127),
  [inet.TCP_SYNCNT]: ranged('synRetries', 1, 127),
  [inet.TCP_LINGER2]: linger2,
  [inet.TCP_DEFER_ACCEPT]: intRow(
    (socket) => toSeconds(socket.tcpOptions.deferAccept),
    (socket, seconds) => {
      socket.tcpOptions.deferAccept = toRetransmissions(seconds);
      return 0;
    },
  ),
  [inet.TCP_WINDOW_CLAMP]: intRow(
    (socket) => socket.tcpOptions.windowClamp,
    (socket, value) => {
      if (value === 0) {
        if (socket.connection.state !== CLOSED) return -EINVAL;
        socket.tcpOptions.windowClamp = 0;
        return 0;
      }
      socket.tcpOptions.windowClamp = Math.max(value >>> 0, 1152);
      return 0;
    },
  ),
  [inet.TCP_INFO]: { get: (socket, value) => putTcpInfo(socket, value.view) },
  [inet.TCP_QUICKACK]: intRow(
    (socket) => (socket.connection.pingPong === 0 ? 1 : 0),
    (socket, value) => {
      if (socket.listener === null) socket.connection.setQuickAck(value === 0 ? 0 : 1);
      return 0;
    },
  ),
  [inet.TCP_CONGESTION]: congestion,
  [inet.TCP_USER_TIMEOUT]: intRow(
    (socket) => socket.tcpOptions.userTimeoutMs,
    (socket, value) => {
      if (value < 0) return -EINVAL;
      socket.tcpOptions.userTimeoutMs = value;
      return 0;
    },
  ),
  [inet.TCP_NOTSENT_LOWAT]: intRow(
    (socket) => socket.tcpOptions.notSentLowWater,
    (socket, value) => {
      socket.tcpOptions.notSentLowWater = value;
      if (isOpen(socket)) socket.onChange(socket.connection.events);
      return 0;
    },
  ),
  [inet.TCP_INQ]: intRow(
    (socket) => socket.tellsUnread,
    (socket, value) => {
      if (value < 0 || value > 1) return -EINVAL;
      socket.tellsUnread = value;
      return 0;
    },
  ),
  [inet.TCP_FASTOPEN]: refused(),
  [inet.TCP_FASTOPEN_CONNECT]: refused(),
  [inet.TCP_THIN_LINEAR_TIMEOUTS]: refused(),
  [inet.TCP_ULP]: { get: () => 0, set: () => -ENOPROTOOPT },
});
