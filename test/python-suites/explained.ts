/**
 * What differs between Linux and tsvisor in CPython's suites, and why: the table that README.md shows. A difference that is not here
 * fails the run.
 */

export interface Suite {
  readonly module: string;
  /** Whether tests that want a network may run: needed where a whole module asks for it, though it uses loopback alone. */
  readonly network: boolean;
  /** Names of tests that are left out on both sides, as a regular expression, and why. */
  readonly leftOut?: { readonly pattern: string; readonly reason: string };
}

export const suites: readonly Suite[] = [
  {
    module: 'test_socket',
    network: true,
    leftOut: { pattern: 'ThreadedVSOCK', reason: 'it never ends on Linux where no hypervisor answers' },
  },
  { module: 'test_ssl', network: false },
  { module: 'test_asyncio', network: false },
  { module: 'test_httplib', network: true },
  { module: 'test_urllib2_localnet', network: true },
  { module: 'test_socketserver', network: true },
];

export interface Explanation {
  readonly pattern: RegExp;
  readonly reason: string;
}

/** Tests that pass on Linux where its kernel has all of this, and may do otherwise inside. */
export const explained: readonly Explanation[] = [
  {
    pattern: /^test\.test_socket\.Basic(VSOCK|Bluetooth|CAN|RDS|QIPCRTR)/,
    reason: 'skipped inside: families that lead to hardware or to a hypervisor (AF_VSOCK and the like) do not exist',
  },
];
