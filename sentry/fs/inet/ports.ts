/**
 * Which ports a caller may bind (ip(7), net.ipv4.ip_unprivileged_port_start), and who may have ping sockets.
 */
import type { NetworkSettings } from '../../netstack/settings.ts';
import { capable, CAP_NET_BIND_SERVICE } from '../../vfs/credentials.ts';
import type { SocketCaller } from '../socket/socket.ts';

export function mayBindPort({ unprivilegedPortFirst }: NetworkSettings, port: number, { credentials }: SocketCaller): boolean {
  return port === 0 || port >= unprivilegedPortFirst || capable(credentials, CAP_NET_BIND_SERVICE);
}

/** Whether one of the caller's groups is of net.ipv4.ping_group_range (icmp(7); Linux ping_init_sock). */
export function mayPing({ pingGroupFirst, pingGroupLast }: NetworkSettings, { credentials }: SocketCaller): boolean {
  const { egid, groups } = credentials;
  if (egid >= pingGroupFirst && egid <= pingGroupLast) return true;
  return groups.some((gid) => gid >= pingGroupFirst && gid <= pingGroupLast);
}
