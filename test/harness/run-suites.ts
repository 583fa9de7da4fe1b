/**
 * Runs groups of tests one after the other and prints how many passed, failed and were skipped in each and in all.
 *
 *     node test/harness/run-suites.ts unit conformance programs hostile
 *
 * Every group runs, also after a failure; the exit status is 1 when anything failed. A group that hangs (a kernel blocked in its wait keeps
 * vitest's own timeouts from firing) is stopped after a while, tells what its processes were doing, and counts as failed. The reports
 * stay in test-results/GROUP.json; for .ci/run, the counts of all groups (passed, failed, skipped) stay in test-results/total, and what
 * failed and how in test-results/failures.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
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
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

/** How much of a failure's message the list of failures has. */
const MESSAGE_LINES = 12;

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

/** What one group came to: how many tests, and a paragraph for each failure. */
interface Outcome {
  counts: Counts;
  failures: string[];
}

async function runGroup(group: string): Promise<Outcome> {
  const file = join(results, `${group}.json`);
  rmSync(file, { force: true });
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const succeeded = await runBounded(process.execPath, [vitest, 'run', '--project', group, ...reporters]);
  const report = readReport(file);
  const counts = countsOf(report);
  const failures = failuresOf(report).map((failure) => `${group}: ${failure}`);
  // A crash of the runner itself is a failure, even if every test that it still reported passed.
  if (!succeeded && counts.failed === 0) {
    counts.failed = 1;
    failures.push(`${group}: the runner ended with a failure, but reported none`);
  }
  return { counts, failures };
}

function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] };
  }
}

/** A file that cannot be loaded has no tests to report and counts as one failure. */
function isBroken(file: Report['testResults'][number]): boolean {
  return file.status === 'failed' && file.assertionResults.length === 0;
}

function countsOf(report: Report): Counts {
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.testResults.filter(isBroken).length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function failuresOf(report: Report): string[] {
  return report.testResults.flatMap((file) => {
    const path = relative(repository, file.name);
    if (isBroken(file)) return [`${path}\n${beginning(file.message)}`];
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    return failed.map((test) => `${path}: ${test.fullName}\n${beginning(test.failureMessages.join('\n'))}`);
  });
}

function beginning(message: string): string {
  const lines = message
    .split('\n')
    .filter((text) => !text.includes('node_modules/'))
    .slice(0, MESSAGE_LINES);
  return lines.map((text) => `    ${text}`).join('\n');
}

function line(counts: Counts): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

async function main(groups: string[]): Promise<void> {
  mkdirSync(results, { recursive: true });
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const summary: string[] = [];
  const failures: string[] = [];
  for (const group of groups) {
    const { counts, failures: ofGroup } = await runGroup(group);
    failures.push(...ofGroup);
    summary.push(`  ${group.padEnd(12)} ${line(counts)}`);
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
  }
  writeFileSync(join(results, 'total'), `${total.passed} ${total.failed} ${total.skipped}\n`);
  writeFileSync(join(results, 'failures'), failures.map((failure) => `${failure}\n`).join(''));
  if (failures.length > 0) console.log(`\nfailed:\n${failures.join('\n')}`);
  console.log(`\n${summary.join('\n')}`);
  console.log(`tests: ${line(total)}`);
  process.exitCode = total.failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
