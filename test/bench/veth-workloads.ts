/**
 * What is measured over a link: a server in the sandbox, which has taken over one end of a veth pair, and its client on the host at the other. Needs root.
 *
 * Linux has the same pair between two namespaces. Peers without a network stack of their own, or that cannot take over a link, have no figure.
 */
import { spawn } from 'node:child_process';
import { compileGuest } from '../harness/guests.ts';
import { VethNetwork } from '../harness/outside-networks.ts';
import { plainEnvironment, runNative } from '../harness/run.ts';
import type { Runner } from './runners.ts';
import type { Workload } from './workloads.ts';

const PORT = 5201;
const CLIENT_MS = 60_000;
/** A server that was not ended by its client gets this long. */
const SERVER_MS = 3000;

interface Pair {
  readonly server: readonly string[];
  readonly client: readonly string[];
  /** Finds the figure in what the client prints. */
  readonly pattern: RegExp;
  readonly scale: number;
}

export function vethWorkloads(cwd: string): Workload[] {
  const network = new VethNetwork();
  if (!network.isPossible) {
    console.log('what needs a veth pair is left out: it needs root');
    return [];
  }
  const program = compileGuest('bench/network.c', { flags: ['-O2'] });
  const timed = (what: string): Pair => ({
    server: [program, 'serve', `${PORT}`],
    client: [program, what, network.guest, `${PORT}`],
    pattern: /^([0-9.]+)$/m,
    scale: 1e-3,
  });
  const bulk = (option: string): Pair => ({
    server: ['iperf3', '-s', '-1', '-p', `${PORT}`],
    client: [
      'sh',
      '-c',
      `for i in $(seq 100); do iperf3 -c ${network.guest} -p ${PORT} -t 3 -J ${option} >iperf.json; grep -q sum_received iperf.json && break; sleep 0.2; done; grep -A 12 '"sum_received"' iperf.json`,
    ],
    pattern: /"bits_per_second":\s*([0-9.e+]+)/,
    scale: 1e-9,
  });
  const measured = (pair: Pair) => (runner: Runner) => measure(network, runner, pair, cwd);
  return [
    { name: 'TCP round trip, veth', unit: 'us', measure: measured(timed('tcp-1')) },
    { name: 'TCP connection, veth', unit: 'us', measure: measured(timed('connect')) },
    { name: 'iperf3 into the sandbox, veth', unit: 'Gbit/s', measure: measured(bulk('')) },
    { name: 'iperf3 out of the sandbox, veth', unit: 'Gbit/s', measure: measured(bulk('-R')) },
  ];
}

/** With a pair of its own: some take the addresses away. */
async function measure(network: VethNetwork, runner: Runner, pair: Pair, cwd: string): Promise<number> {
  if (runner.wrapLinked === undefined) throw new Error('takes over no link');
  network.open();
  try {
    const [program, ...args] = runner.wrapLinked(pair.server, cwd, network.namespace);
    const server = spawn(program!, args, { cwd, env: plainEnvironment, stdio: 'ignore', detached: true });
    const ended = new Promise((resolve, reject) => server.on('error', reject).on('close', resolve));
    const outcome = await runNative(pair.client, { cwd, timeoutMs: CLIENT_MS });
    const timer = setTimeout(() => process.kill(-server.pid!, 'SIGKILL'), SERVER_MS);
    await ended;
    clearTimeout(timer);
    const found = Number(pair.pattern.exec(outcome.stdout)?.[1]) * pair.scale;
    if (!(found > 0)) throw new Error(`no figure in: ${outcome.stdout.slice(0, 200)}${outcome.stderr.slice(0, 200)}`);
    return found;
  } finally {
    network.close();
  }
}
