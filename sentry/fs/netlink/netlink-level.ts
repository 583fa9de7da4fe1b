/** The options of level SOL_NETLINK, netlink(7): groups, and switches that say how answers look. */
import * as abi from '#sentry/abi/netlink.ts';
import { intRow, OptionTable } from '../socket/option-table.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

function option(name: number): ReturnType<typeof intRow<NetlinkSocket>> {
  return intRow(
    (socket) => socket.flagsOn.get(name) ?? 0,
    (socket, value) => {
      socket.flagsOn.set(name, value === 0 ? 0 : 1);
      return 0;
    },
  );
}

export const NETLINK_LEVEL = new OptionTable<NetlinkSocket>(0, {
  [abi.NETLINK_ADD_MEMBERSHIP]: { set: (socket, value) => socket.setMembership(value.int, true) },
  [abi.NETLINK_DROP_MEMBERSHIP]: { set: (socket, value) => socket.setMembership(value.int, false) },
  [abi.NETLINK_PKTINFO]: option(abi.NETLINK_PKTINFO),
  [abi.NETLINK_BROADCAST_ERROR]: option(abi.NETLINK_BROADCAST_ERROR),
  [abi.NETLINK_NO_ENOBUFS]: option(abi.NETLINK_NO_ENOBUFS),
  [abi.NETLINK_LISTEN_ALL_NSID]: option(abi.NETLINK_LISTEN_ALL_NSID),
  [abi.NETLINK_CAP_ACK]: option(abi.NETLINK_CAP_ACK),
  [abi.NETLINK_EXT_ACK]: option(abi.NETLINK_EXT_ACK),
  [abi.NETLINK_GET_STRICT_CHK]: option(abi.NETLINK_GET_STRICT_CHK),
});
