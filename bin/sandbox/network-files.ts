/**
 * Files that tell programs of a sandbox with `--net=user` how names are resolved there: resolv.conf(5) and hosts(5). They lie in the throw-away overlay and
 * hide those of the host.
 */
import { formatAddress } from '#sentry/netstack/address.ts';
import { USER_NETWORK_4, USER_NETWORK_6 } from '#sentry/netstack/user/gateway-addresses.ts';

/** A file of the root file system: path and contents, byte strings. */
export interface WrittenFile {
  readonly path: string;
  readonly contents: string;
}

export function userNetworkFiles(hostname: string): WrittenFile[] {
  const own = [USER_NETWORK_4, USER_NETWORK_6].map(({ guest }) => `${formatAddress(guest)}\t${hostname}\n`);
  return [
    { path: '/etc/resolv.conf', contents: `nameserver ${formatAddress(USER_NETWORK_4.dns)}\n` },
    { path: '/etc/hosts', contents: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own.join('')}` },
  ];
}
