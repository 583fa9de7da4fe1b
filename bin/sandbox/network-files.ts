/**
 * Files that tell programs of a sandbox how names are resolved there: resolv.conf(5) and hosts(5). They lie in the throw-away overlay; what is said of the
 * user network hides what the host has, the sandbox's own name is added to it.
 */
import { formatAddress } from '#sentry/netstack/address.ts';
import { USER_NETWORK_4, USER_NETWORK_6 } from '#sentry/netstack/user/gateway-addresses.ts';
import type { NetworkPlan } from './network.ts';

/** A file of the root file system: path and contents, byte strings. */
export interface WrittenFile {
  readonly path: string;
  readonly contents: string;
  /** `replaced`: whatever is there. `appended`: to a regular file; where there is none, nothing is done. */
  readonly how: 'replaced' | 'appended';
}

const HOSTS = '/etc/hosts';

export function networkFiles(plan: NetworkPlan, hostname: string): WrittenFile[] {
  const own = ownAddresses(plan).map((address) => `${address}\t${hostname}\n`);
  if (plan.mode !== 'user') return [{ path: HOSTS, contents: own.join(''), how: 'appended' }];
  return [
    { path: '/etc/resolv.conf', contents: `nameserver ${formatAddress(USER_NETWORK_4.dns)}\n`, how: 'replaced' },
    { path: HOSTS, contents: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own.join('')}`, how: 'replaced' },
  ];
}

/** What programs find when they look up themselves. */
function ownAddresses(plan: NetworkPlan): string[] {
  if (plan.mode === 'user') return [USER_NETWORK_4, USER_NETWORK_6].map(({ guest }) => formatAddress(guest));
  if (plan.mode === 'none') return ['127.0.0.1'];
  const shown = plan.mode === 'host' ? plan.shown : plan.interfaces.map(({ facts }) => facts);
  const all = shown.flatMap(({ addresses }) => addresses.map(({ address }) => address)).filter((address) => !address.startsWith('fe80:'));
  // A host may have nothing but loopback.
  return plan.mode === 'host' && all.length === 0 ? ['127.0.0.1'] : all;
}
