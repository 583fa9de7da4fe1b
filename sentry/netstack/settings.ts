/**
 * What can be set for a network as a whole, /proc/sys/net (Linux Documentation/networking/ip-sysctl.rst, Documentation/admin-guide/sysctl/net.rst).
 * Values are those Linux starts with. A change holds for what is made afterwards.
 */
import {
  BACKLOG_MAX_DEFAULT,
  EPHEMERAL_PORT_FIRST,
  EPHEMERAL_PORT_LAST,
  FIN_TIMEOUT_NS,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_PROBES,
  KEEPALIVE_TIME_MS,
  MS,
  SYN_RETRIES,
} from './tcp/limits.ts';
import type { TcpOptions } from './tcp/options.ts';

export class NetworkSettings {
  /** net.ipv4.ip_local_port_range: ports given to who asks for any, both included. */
  localPortFirst = EPHEMERAL_PORT_FIRST;
  localPortLast = EPHEMERAL_PORT_LAST;
  /** net.ipv4.ip_unprivileged_port_start: lower ones need CAP_NET_BIND_SERVICE. */
  unprivilegedPortFirst = 1024;
  /** net.ipv4.ping_group_range: groups whose members may have ping sockets. Linux starts with nobody; sandboxes let all. */
  pingGroupFirst = 0;
  pingGroupLast = 0x7fff_ffff;
  /** net.core.somaxconn: largest backlog of listen(2). */
  backlogMax = BACKLOG_MAX_DEFAULT;
  /** net.ipv4.tcp_keepalive_time, _intvl, _probes, tcp_syn_retries, tcp_fin_timeout. */
  keepIdleMs = KEEPALIVE_TIME_MS;
  keepIntervalMs = KEEPALIVE_INTERVAL_MS;
  keepCount = KEEPALIVE_PROBES;
  synRetries = SYN_RETRIES;
  finTimeoutMs = FIN_TIMEOUT_NS / MS;

  /** What a new TCP socket starts with. */
  applyTo(options: TcpOptions): void {
    options.keepIdleMs = this.keepIdleMs;
    options.keepIntervalMs = this.keepIntervalMs;
    options.keepCount = this.keepCount;
    options.synRetries = this.synRetries;
    options.finTimeoutMs = this.finTimeoutMs;
  }
}
