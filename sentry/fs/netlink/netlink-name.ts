/** struct sockaddr_nl as a byte string: netlink(7). */
import { AF_NETLINK } from '#sentry/abi/socket.ts';

/** An unsigned 32-bit number at `at`. */
export function littleWord(text: string, at: number): number {
  const byte = (i: number): number => text.charCodeAt(at + i);
  return (byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24)) >>> 0;
}

function littleText(value: number): string {
  return String.fromCharCode(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
}

/** The name of a port and a set of groups. */
export function nameText(port: number, groups: number): string {
  return `${String.fromCharCode(AF_NETLINK, 0, 0, 0)}${littleText(port)}${littleText(groups)}`;
}
