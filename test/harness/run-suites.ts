/**
 * Runs groups of tests one after the other and prints how many passed, failed and were skipped in each and in all.
 *
 *     node test/harness/run-suites.ts unit conformance programs hostile
 *
 * Every group runs, also after a failure; the exit status is 1 when anything failed. A group that hangs (a kernel blocked in its wait keeps
 * vitest's own timeouts from firing) is stopped after a while, tells what its processes were doing, and counts as failed. The reports
 * stay in test-results/GROUP.json, and the counts of all groups (passed, failed, skipped) in test-results/total for .ci/run.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeProcessGroup } from './process-group.ts';
import { repository } from './run.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The part of vitest's JSON report that is used here. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

const results = join(repository, 'test-results');
const GROUP_LIMIT_MS = 20 * 60 * 1000;

/** Runs a command in a process group of its own, which is killed if it takes too long. True when it exited with 0. */
function runBounded(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: repository, stdio: 'inherit', detached: true });
    const killGroup = (): void => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    const limit = setTimeout(() => {
      console.error(`\nstopped after ${GROUP_LIMIT_MS / 60_000} minutes; what ran:\n${describeProcessGroup(child.pid!)}`);
      killGroup();
    }, GROUP_LIMIT_MS);
    const onSignal = (): void => {
      killGroup();
      process.exit(130);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, onSignal);
    child.on('error', () => resolve(false));
    child.on('exit', (code) => {
      clearTimeout(limit);
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
      resolve(code === 0);
    });
  });
}

async function runGroup(group: string): Promise<Counts> {
  const file = join(results, `${group}.json`);
  rmSync(file, { force: true });
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const succeeded = await runBounded(process.execPath, [vitest, 'run', '--project', group, ...reporters]);
  const counts = countsOf(file);
  // A crash of the runner itself is a failure, even if every test that it still reported passed.
  if (!succeeded && counts.failed === 0) counts.failed = 1;
  return counts;
}

function countsOf(file: string): Counts {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
  // A file that cannot be loaded has no tests to report and counts as one failure.
  const broken = report.testResults.filter((result) => result.status === 'failed' && result.assertionResults.length === 0).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function line(counts: Counts): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

async function main(groups: string[]): Promise<void> {
  mkdirSync(results, { recursive: true });
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const summary: string[] = [];
  for (const group of groups) {
    const counts = await runGroup(group);
    summary.push(`  ${group.padEnd(12)} ${line(counts)}`);
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
  }
  writeFileSync(join(results, 'total'), `${total.passed} ${total.failed} ${total.skipped}\n`);
  console.log(`\n${summary.join('\n')}`);
  console.log(`tests: ${line(total)}`);
  process.exitCode = total.failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
