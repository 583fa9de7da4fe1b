/**
 * `npm run bench:path -- [--only NAME,…] [--operations N] [--rounds N]`: what the sentry itself spends on a system call, between the moment
 * a platform hands it over and the moment it may go on.
 *
 * The real kernel loop, dispatch and file systems run on a scripted platform (scripted-platform.ts), so no context switch and no guest is
 * in the figures. For each workload: nanoseconds for one operation, bytes allocated in the V8 heap, copies to and from guest memory, calls
 * to the host.
 *
 *     node --cpu-prof test/bench/sentry-path.ts --only stat     … shows where the time goes
 */
import { parseArgs } from 'node:util';
import { measure } from './path-run.ts';
import { PATH_WORKLOADS } from './path-workloads.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    operations: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '7' },
  },
});

const NAME_WIDTH = 28;

function line(name: string, ...columns: readonly string[]): string {
  return name.padEnd(NAME_WIDTH) + columns.map((text) => text.padStart(8)).join('');
}

const wanted = values.only.split(',').filter((part) => part !== '');
const workloads = PATH_WORKLOADS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const results = measure(workloads, { operations: Number(values.operations), rounds: Number(values.rounds) });
console.log(line('operation', 'ns', 'target', 'bytes', 'copies', 'host'));
for (const { workload, bestNs, bytes, copies, hostCalls } of results) {
  const target = workload.target === undefined ? '' : `${workload.target}`;
  console.log(line(workload.name, bestNs.toFixed(0), target, Math.max(0, bytes).toFixed(1), copies.toFixed(1), hostCalls.toFixed(1)));
}
