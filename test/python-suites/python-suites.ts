/**
 * CPython's own tests of sockets, TLS, asyncio and HTTP, on Linux and inside, test by test.
 *
 *     node test/python-suites/python-suites.ts [module…]
 *
 * Debian's libpython3.11-testsuite brings them. report.py runs one module and writes what became of each test; a test counts when it
 * passes on Linux, and then it has to pass inside or stand in explained.ts with the reason. Printed per module: how many pass on Linux,
 * how many in both, and each difference. What failed inside is run once more there, since some of these tests measure time. The exit
 * status is 1 when a difference has no explanation or a module does not come to its end.
 */
import { join } from 'node:path';
import { inScratch } from '../harness/expect-same.ts';
import { type Outcome, runInside, runNative } from '../harness/run.ts';
import { explained, type Suite, suites } from './explained.ts';

const python = '/usr/bin/python3';
const reporter = join(import.meta.dirname, 'report.py');
const MODULE_LIMIT_MS = 5 * 60_000;

/** What became of each test, by its name. */
type Results = Map<string, string>;

interface Side {
  readonly results: Results;
  readonly outcome: Outcome;
}

function commandOf(suite: Suite): string[] {
  return [python, reporter, suite.module, suite.network ? '1' : '0', suite.leftOut?.pattern ?? ''];
}

function parse(text: string): Results {
  const results: Results = new Map();
  for (const line of text.split('\n')) {
    const [status, name] = line.split('\t');
    if (name !== undefined) results.set(name, status!);
  }
  return results;
}

async function runSide(suite: Suite, where: 'native' | 'inside'): Promise<Side> {
  return inScratch(async (cwd) => {
    const options = { cwd, timeoutMs: MODULE_LIMIT_MS };
    const outcome = await (where === 'native' ? runNative : runInside)(commandOf(suite), options);
    return { results: parse(outcome.stdout), outcome };
  });
}

/** Why a module's run on one side is worth nothing; empty when it came to its end. */
function whyUnfinished(suite: Suite, side: Side): string {
  if (side.results.get(suite.module) === 'end') return '';
  const how = side.outcome.timedOut ? 'did not end in time' : `ended early with ${side.outcome.signal ?? side.outcome.status}`;
  return `${how}; its last lines:\n${side.outcome.stderr.split('\n').slice(-12).join('\n')}`;
}

function differences(native: Results, inside: Results): string[] {
  return [...native].filter(([name, status]) => status === 'ok' && inside.get(name) !== 'ok').map(([name]) => name);
}

/** Runs a module on both sides and prints what came of it. True when everything is as it should be. */
async function compare(suite: Suite): Promise<boolean> {
  const native = await runSide(suite, 'native');
  const inside = await runSide(suite, 'inside');
  for (const [side, name] of [
    [native, 'on Linux'],
    [inside, 'inside'],
  ] as const) {
    const why = whyUnfinished(suite, side);
    if (why !== '') {
      console.log(`${suite.module}: ${name} it ${why}`);
      return false;
    }
  }
  let differing = differences(native.results, inside.results);
  if (differing.some((name) => reasonFor(name) === undefined)) {
    const again = differences(native.results, (await runSide(suite, 'inside')).results);
    differing = differing.filter((name) => again.includes(name));
  }
  const passed = [...native.results.values()].filter((status) => status === 'ok').length;
  console.log(`${suite.module}: ${passed} pass on Linux, ${passed - differing.length} in both`);
  return report(differing, inside);
}

function reasonFor(name: string): string | undefined {
  return explained.find(({ pattern }) => pattern.test(name))?.reason;
}

/** Explained differences by their reasons, the others one by one with what Python said. True when there are none of the latter. */
function report(differing: readonly string[], inside: Side): boolean {
  const counts = new Map<string, number>();
  const unexplained: string[] = [];
  for (const name of differing) {
    const reason = reasonFor(name);
    if (reason === undefined) unexplained.push(name);
    else counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  for (const [reason, count] of counts) console.log(`  ${count} explained: ${reason}`);
  for (const name of unexplained) {
    console.log(`  ${inside.results.get(name) ?? 'not run'}: ${name}\n${traceOf(name, inside.outcome.stderr)}`);
  }
  return unexplained.length === 0;
}

function traceOf(name: string, text: string): string {
  const start = text.search(new RegExp(`^(ERROR|FAIL): .*\\(${name.replaceAll('.', '\\.')}\\)`, 'm'));
  return start < 0 ? '' : text.slice(start).split('\n').slice(0, 30).join('\n');
}

async function main(wanted: readonly string[]): Promise<void> {
  const installed = await runNative([python, '-c', 'import test.test_socket']);
  if (installed.status !== 0) {
    console.log(`skipped: ${python} has no tests (Debian: libpython3.11-testsuite)`);
    return;
  }
  for (const suite of suites) {
    if (wanted.length > 0 && !wanted.includes(suite.module)) continue;
    if (!(await compare(suite))) process.exitCode = 1;
  }
}

await main(process.argv.slice(2));
