/**
 * Which ports a caller may bind (ip(7), net.ipv4.ip_unprivileged_port_start).
 */
import { capable, CAP_NET_BIND_SERVICE } from '../../vfs/credentials.ts';
import type { SocketCaller } from '../socket/socket.ts';

const UNPRIVILEGED_FIRST = 1024;

export function mayBindPort(port: number, { credentials }: SocketCaller): boolean {
  return port === 0 || port >= UNPRIVILEGED_FIRST || capable(credentials, CAP_NET_BIND_SERVICE);
}
