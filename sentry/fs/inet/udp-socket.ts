/**
 * SOCK_DGRAM of AF_INET and AF_INET6: udp(7) and udplite(7).
 */
import { EACCES, EAGAIN, EINVAL } from '#sentry/abi/errno.ts';
import {
  IPPROTO_UDPLITE,
  SOL_UDP,
  SOL_UDPLITE,
  UDP_CORK,
  UDP_GRO,
  UDP_NO_CHECK6_RX,
  UDP_NO_CHECK6_TX,
  UDP_SEGMENT,
  UDPLITE_RECV_CSCOV,
  UDPLITE_SEND_CSCOV,
} from '#sentry/abi/inet.ts';
import { SOCK_DGRAM } from '#sentry/abi/socket.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import { UDP_HEADER_LENGTH } from '../../netstack/wire/udp.ts';
import type { UdpEndpoint } from '../../netstack/udp/udp-endpoint.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import { intRow, OptionTable, switchRow } from '../socket/option-table.ts';
import type { OptionRow, OptionValue } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Outgoing } from '../socket/transfer.ts';
import { DatagramSocket } from './datagram-socket.ts';
import { given } from './internet-socket.ts';
import type { InternetDomain } from './internet-socket.ts';
import { mayBindPort } from './ports.ts';

const SEGMENT_MAX = 0xffff;
const COVERAGE_MAX = 0xffff;
const anywhere = new SocketAddress();

export class UdpSocket extends DatagramSocket<UdpEndpoint> {
  /** UDP_GRO: kept; datagrams are never joined here, which the option allows. */
  joinsDatagrams = 0;

  /** `protocol`: IPPROTO_UDP or IPPROTO_UDPLITE, as the endpoint's. */
  constructor(shared: InternetDomain, endpoint: UdpEndpoint, domain: number, protocol: number, flags: number, caller: Caller) {
    super(shared, endpoint, domain, SOCK_DGRAM, protocol, flags, caller);
  }

  protected override mayBind(caller: SocketCaller): number {
    return mayBindPort(this.network.settings, given.port, caller) ? 0 : -EACCES;
  }

  /** Linux inet_send_prepare: a port is taken even when there is nobody to send to. */
  override send(io: Io, outgoing: Outgoing, flags: number, caller: SocketCaller): number {
    if (!this.isPortBound) {
      const bound = this.endpoint.bind(anywhere.set(this.endpoint.local.address, 0));
      if (bound < 0) return -EAGAIN;
    }
    return super.send(io, outgoing, flags, caller);
  }

  override get pathMtu(): number {
    return this.endpoint.pathMtu;
  }

  protected override setProtocolOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    const table = this.optionTable(level);
    return table === null ? super.setProtocolOption(level, name, value, caller) : table.set(this, name, value, caller);
  }

  protected override getProtocolOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    const table = this.optionTable(level);
    return table === null ? super.getProtocolOption(level, name, value, caller) : table.get(this, name, value, caller);
  }

  /** Linux: UDP-Lite sockets take the options of both levels at either. */
  private optionTable(level: number): OptionTable<UdpSocket> | null {
    if (this.protocol === IPPROTO_UDPLITE) return level === SOL_UDP || level === SOL_UDPLITE ? UDP_LITE_LEVEL : null;
    return level === SOL_UDP ? UDP_LEVEL : null;
  }

  override takeControl(
    level: number,
    type: number,
    view: DataView,
    at: number,
    length: number,
    into: Outgoing,
    caller: SocketCaller,
  ): number {
    if (level !== SOL_UDP) return super.takeControl(level, type, view, at, length, into, caller);
    if (type !== UDP_SEGMENT || length !== 2) return -EINVAL;
    into.hasPacket = true;
    into.packet.segmentSize = view.getUint16(at, true);
    return 0;
  }

  /** UDP_CORK: ending it sends what it held back. */
  setCork(on: number): void {
    const { endpoint } = this;
    endpoint.options.isCorked = on !== 0;
    if (on !== 0) return;
    this.network.enter();
    endpoint.flushCork();
  }
}

const UDP_ROWS: Readonly<Record<number, OptionRow<UdpSocket>>> = {
  [UDP_CORK]: switchRow(
    (socket) => (socket.endpoint.options.isCorked ? 1 : 0),
    (socket, on) => {
      socket.setCork(on);
    },
  ),
  [UDP_SEGMENT]: intRow(
    (socket) => socket.endpoint.options.segmentSize,
    (socket, value) => {
      if (value < 0 || value > SEGMENT_MAX) return -EINVAL;
      socket.endpoint.options.segmentSize = value;
      return 0;
    },
  ),
  [UDP_GRO]: switchRow(
    (socket) => socket.joinsDatagrams,
    (socket, on) => {
      socket.joinsDatagrams = on;
    },
  ),
  [UDP_NO_CHECK6_TX]: switchRow(
    (socket) => (socket.endpoint.options.hasNoChecksum ? 1 : 0),
    (socket, on) => {
      socket.endpoint.options.hasNoChecksum = on !== 0;
    },
  ),
  [UDP_NO_CHECK6_RX]: switchRow(
    (socket) => (socket.endpoint.options.takesNoChecksum ? 1 : 0),
    (socket, on) => {
      socket.endpoint.options.takesNoChecksum = on !== 0;
    },
  ),
};

/** Linux: a coverage without the whole header is raised to it, one beyond any datagram cut. */
function coverage(value: number): number {
  if (value < 0 || value > COVERAGE_MAX) return COVERAGE_MAX;
  return value === 0 ? 0 : Math.max(value, UDP_HEADER_LENGTH);
}

const UDP_LEVEL = new OptionTable<UdpSocket>(4, UDP_ROWS);
const UDP_LITE_LEVEL = new OptionTable<UdpSocket>(4, {
  ...UDP_ROWS,
  [UDPLITE_SEND_CSCOV]: intRow(
    (socket) => socket.endpoint.options.sendCoverage,
    (socket, value) => {
      socket.endpoint.options.sendCoverage = coverage(value);
      return 0;
    },
  ),
  [UDPLITE_RECV_CSCOV]: intRow(
    (socket) => socket.endpoint.options.receiveCoverage,
    (socket, value) => {
      socket.endpoint.options.receiveCoverage = coverage(value);
      return 0;
    },
  ),
});
