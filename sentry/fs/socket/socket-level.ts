/**
 * The options of SOL_SOCKET, socket(7), which every socket has (Linux net/core/sock.c, sk_setsockopt). What a family does with one it hears by
 * `socket.optionChanged`.
 */
import { SKF_AD_MAX } from '#sentry/abi/bpf.ts';
import { EACCES, EDOM, EINVAL, ENODATA, ENODEV, ENOTCONN, EOPNOTSUPP, EPERM, ERANGE } from '#sentry/abi/errno.ts';
import { getI64, putI64 } from '#sentry/abi/layout.ts';
import * as abi from '#sentry/abi/socket.ts';
import { capable, CAP_NET_ADMIN, CAP_NET_RAW } from '../../vfs/credentials.ts';
import { SOCKET_BUFFER_MAX, SOCKET_BUFFER_MIN } from '../anonymous/limits.ts';
import { attachRow, detachRow, lockRow } from './filters.ts';
import { intRow, OptionTable, readOnlyRow } from './option-table.ts';
import type { OptionRow, OptionValue } from './option-table.ts';
import type { Socket, SocketCaller } from './socket.ts';

const NS = 1_000_000_000;
const INT_MAX = 0x7fff_ffff;
const IFNAMSIZ = 16;
/** Priorities that need no capability. */
const PRIORITY_FREE_MAX = 6;

type Row = OptionRow<Socket>;

/** Kept in `options.switches`; what it does is the family's business. */
function keptSwitch(name: number, refusal: (socket: Socket, on: number, caller: SocketCaller) => number = () => 0): Row {
  return {
    get: (socket, value) => value.putInt(socket.options.switches.get(name) ?? 0),
    set: (socket, value, caller) => {
      const on = value.int === 0 ? 0 : 1;
      const refused = refusal(socket, on, caller);
      if (refused < 0) return refused;
      socket.options.switches.set(name, on);
      socket.optionChanged(name);
      return 0;
    },
  };
}

/** One of the two kinds of receive time stamps; asking for one ends the other. */
function timestampRow(name: number, other: number): Row {
  const row = keptSwitch(name);
  return {
    ...row,
    set: (socket, value, caller) => {
      if (value.int !== 0) socket.options.switches.set(other, 0);
      return row.set!(socket, value, caller);
    },
  };
}

/** Linux keeps twice what is asked for, for its own overhead. */
function doubled(asked: number): number {
  return Math.max(2 * asked, 2 * SOCKET_BUFFER_MIN);
}

function bufferRow(name: number, which: 'sendBuffer' | 'receiveBuffer', how: 'limited' | 'forced'): Row {
  return {
    get: how === 'forced' ? undefined : (socket, value) => value.putInt(socket.options[which]),
    set: (socket, value, caller) => {
      if (how === 'forced' && !capable(caller.credentials, CAP_NET_ADMIN)) return -EPERM;
      const asked =
        how === 'forced' ? Math.min(Math.max(value.int, 0), 16 * SOCKET_BUFFER_MAX) : Math.min(value.int >>> 0, SOCKET_BUFFER_MAX);
      socket.options[which] = doubled(asked);
      socket.optionChanged(which === 'sendBuffer' ? abi.SO_SNDBUF : abi.SO_RCVBUF);
      return 0;
    },
  } as Row;
}

function timeoutRow(which: 'receiveTimeoutNs' | 'sendTimeoutNs'): Row {
  return {
    get: (socket, value) => {
      const ns = socket.options[which];
      const total = ns === Infinity ? 0 : ns;
      putI64(value.view, 0, Math.floor(total / NS));
      putI64(value.view, 8, Math.floor((total % NS) / 1000));
      return 16;
    },
    set: (socket, value) => {
      if (value.length < 16) return -EINVAL;
      const seconds = getI64(value.view, 0);
      const micros = getI64(value.view, 8);
      if (micros < 0 || micros >= 1e6) return -EDOM;
      socket.options[which] = seconds === 0 && micros === 0 ? Infinity : seconds < 0 ? 0 : seconds * NS + micros * 1000;
      return 0;
    },
  };
}

const linger: Row = {
  get: (socket, value) => {
    value.putSigned(socket.options.lingerOn);
    value.view.setInt32(4, socket.options.lingerSeconds, true);
    return 8;
  },
  set: (socket, value) => {
    if (value.length < 8) return -EINVAL;
    socket.options.lingerOn = value.int === 0 ? 0 : 1;
    socket.options.lingerSeconds = value.view.getInt32(4, true);
    socket.optionChanged(abi.SO_LINGER);
    return 0;
  },
};

const peerCredentials: Row = {
  get: (socket, value, caller) => {
    const { pid, uid, gid } = socket.peerCredentials ?? { pid: 0, uid: 0xffff_ffff, gid: 0xffff_ffff };
    abi.Ucred.encode(value.view, 0, { pid: caller.pids.local(pid), uid, gid });
    return abi.UCRED_SIZE;
  },
};

const peerGroups: Row = {
  get: (socket, value) => {
    const identity = socket.peerCredentials;
    if (identity === null) return -ENODATA;
    const size = 4 * identity.groups.length;
    identity.groups.forEach((gid, i) => {
      value.view.setUint32(4 * i, gid, true);
    });
    return size > value.length ? -ERANGE : size;
  },
};

const peerName: Row = {
  get: (socket, value) => {
    const name = socket.peerAddress();
    if (typeof name === 'number') return -ENOTCONN;
    return name.length < value.length ? -EINVAL : value.putText(name);
  },
};

const bindToDevice: Row = {
  isText: true,
  set: (socket, value, caller) => {
    const name = value.text(IFNAMSIZ - 1);
    const index = name === '' ? 0 : socket.interfaceIndex(name);
    return index < 0 ? index : bindToIndex(socket, index, caller);
  },
  get: (socket, value) => {
    const name = socket.interfaceName(socket.options.boundInterface);
    if (name === null) return socket.options.boundInterface === 0 ? 0 : -ENODEV;
    return value.length < IFNAMSIZ ? -EINVAL : value.putText(`${name}\0`);
  },
};

function bindToIndex(socket: Socket, index: number, caller: SocketCaller): number {
  // Linux: who is bound already needs a capability to move.
  if (socket.options.boundInterface !== 0 && !capable(caller.credentials, CAP_NET_RAW)) return -EPERM;
  if (index < 0) return -EINVAL;
  if (index !== 0 && socket.interfaceName(index) === null) return -ENODEV;
  socket.options.boundInterface = index;
  socket.optionChanged(abi.SO_BINDTODEVICE);
  return 0;
}

const peekOffset: Row = {
  get: (_socket, value) => value.putSigned(-1),
  set: () => -EOPNOTSUPP,
};

function debugRefusal(_socket: Socket, on: number, caller: SocketCaller): number {
  return on !== 0 && !capable(caller.credentials, CAP_NET_ADMIN) ? -EACCES : 0;
}

function setPriority(socket: Socket, value: number, caller: SocketCaller): number {
  const isFree = value >= 0 && value <= PRIORITY_FREE_MAX;
  if (!isFree && !capable(caller.credentials, CAP_NET_RAW) && !capable(caller.credentials, CAP_NET_ADMIN)) return -EPERM;
  socket.options.priority = value;
  return 0;
}

function setMark(socket: Socket, value: number, caller: SocketCaller): number {
  if (!capable(caller.credentials, CAP_NET_RAW) && !capable(caller.credentials, CAP_NET_ADMIN)) return -EPERM;
  socket.options.mark = value;
  return 0;
}

/** There is no device queue to spin on: kept, and without effect, as on devices that do not support it. */
function setBusyPoll(socket: Socket, value: number, caller: SocketCaller): number {
  if (value < 0) return -EINVAL;
  if (value > socket.options.busyPollMicros && !capable(caller.credentials, CAP_NET_ADMIN)) return -EPERM;
  socket.options.busyPollMicros = value;
  return 0;
}

/** The table's values are looked at after `socket.refreshOptions`. */
export const SOCKET_LEVEL = new OptionTable<Socket>(4, {
  [abi.SO_DEBUG]: keptSwitch(abi.SO_DEBUG, debugRefusal),
  [abi.SO_REUSEADDR]: keptSwitch(abi.SO_REUSEADDR),
  [abi.SO_REUSEPORT]: keptSwitch(abi.SO_REUSEPORT, (socket, on) => (on !== 0 && !socket.isInternet ? -EOPNOTSUPP : 0)),
  [abi.SO_DONTROUTE]: keptSwitch(abi.SO_DONTROUTE),
  [abi.SO_BROADCAST]: keptSwitch(abi.SO_BROADCAST),
  [abi.SO_KEEPALIVE]: keptSwitch(abi.SO_KEEPALIVE),
  [abi.SO_OOBINLINE]: keptSwitch(abi.SO_OOBINLINE),
  [abi.SO_NO_CHECK]: keptSwitch(abi.SO_NO_CHECK),
  [abi.SO_RXQ_OVFL]: keptSwitch(abi.SO_RXQ_OVFL),
  [abi.SO_TIMESTAMP]: timestampRow(abi.SO_TIMESTAMP, abi.SO_TIMESTAMPNS),
  [abi.SO_TIMESTAMPNS]: timestampRow(abi.SO_TIMESTAMPNS, abi.SO_TIMESTAMP),
  [abi.SO_PREFER_BUSY_POLL]: keptSwitch(abi.SO_PREFER_BUSY_POLL, debugRefusal),
  [abi.SO_TYPE]: readOnlyRow((socket) => socket.type),
  [abi.SO_DOMAIN]: readOnlyRow((socket) => socket.domain),
  [abi.SO_PROTOCOL]: readOnlyRow((socket) => socket.protocol),
  [abi.SO_ERROR]: readOnlyRow((socket) => socket.takeError()),
  [abi.SO_ACCEPTCONN]: readOnlyRow((socket) => (socket.isListening ? 1 : 0)),
  [abi.SO_SNDLOWAT]: readOnlyRow(() => 1),
  [abi.SO_BPF_EXTENSIONS]: readOnlyRow(() => SKF_AD_MAX),
  [abi.SO_INCOMING_CPU]: readOnlyRow(() => 0),
  [abi.SO_SNDBUF]: bufferRow(abi.SO_SNDBUF, 'sendBuffer', 'limited'),
  [abi.SO_RCVBUF]: bufferRow(abi.SO_RCVBUF, 'receiveBuffer', 'limited'),
  [abi.SO_SNDBUFFORCE]: bufferRow(abi.SO_SNDBUFFORCE, 'sendBuffer', 'forced'),
  [abi.SO_RCVBUFFORCE]: bufferRow(abi.SO_RCVBUFFORCE, 'receiveBuffer', 'forced'),
  [abi.SO_PASSCRED]: {
    get: (socket, value) => value.putInt(socket.options.passCredentials ? 1 : 0),
    set: (socket, value) => {
      if (socket.domain !== abi.AF_UNIX && socket.domain !== abi.AF_NETLINK) return -EOPNOTSUPP;
      socket.options.passCredentials = value.int !== 0;
      return 0;
    },
  },
  [abi.SO_RCVLOWAT]: intRow(
    (socket) => socket.options.receiveLowWater,
    (socket, value) => {
      socket.options.receiveLowWater = value < 0 ? INT_MAX : value === 0 ? 1 : value;
      socket.optionChanged(abi.SO_RCVLOWAT);
      return 0;
    },
  ),
  [abi.SO_PRIORITY]: intRow((socket) => socket.options.priority, setPriority),
  [abi.SO_MARK]: intRow((socket) => socket.options.mark, setMark),
  [abi.SO_BUSY_POLL]: intRow((socket) => socket.options.busyPollMicros, setBusyPoll),
  [abi.SO_LINGER]: linger,
  [abi.SO_RCVTIMEO]: timeoutRow('receiveTimeoutNs'),
  [abi.SO_SNDTIMEO]: timeoutRow('sendTimeoutNs'),
  [abi.SO_PEERCRED]: peerCredentials,
  [abi.SO_PEERGROUPS]: peerGroups,
  [abi.SO_PEERNAME]: peerName,
  [abi.SO_BINDTODEVICE]: bindToDevice,
  [abi.SO_BINDTOIFINDEX]: intRow((socket) => socket.options.boundInterface, bindToIndex),
  [abi.SO_PEEK_OFF]: peekOffset,
  [abi.SO_ATTACH_FILTER]: attachRow,
  [abi.SO_DETACH_FILTER]: detachRow,
  [abi.SO_LOCK_FILTER]: lockRow,
  [abi.SO_COOKIE]: {
    get: (socket, value) => {
      if (value.length < 8) return -EINVAL;
      putI64(value.view, 0, socket.inode.ino);
      return 8;
    },
  },
  [abi.SO_MEMINFO]: { get: (socket, value) => putMemoryInfo(socket, value) },
});

/** SK_MEMINFO_*: bytes queued for reading, their limit, queued for sending, their limit; the rest is accounting of the kernel's own. */
function putMemoryInfo(socket: Socket, value: OptionValue): number {
  const figures = [socket.receiveQueued, socket.options.receiveBuffer, socket.sendQueued, socket.options.sendBuffer, 0, 0, 0, 0, 0];
  figures.forEach((figure, i) => {
    value.view.setUint32(4 * i, figure, true);
  });
  return 4 * figures.length;
}
