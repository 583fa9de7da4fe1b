/**
 * `npm run bench -- [--rounds N] [--only NAME,…] [--runners NAME,…] [--out FILE]`: what tsvisor costs, beside Linux and its peers.
 *
 * Each round measures each workload under each environment, one directly after the other, so that a slow moment of the machine
 * hits all of them; the median of the rounds counts. Prints a table and writes every single figure to a JSON file.
 * A peer that takes seconds for something is measured in the first round only. `--only` takes parts of names (`--only stat,fork`).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import buildFirst from '../harness/build-first.ts';
import { repository } from '../harness/run.ts';
import { availableRunners, type Runner } from './runners.ts';
import { allWorkloads, type Target, type Workload } from './workloads.ts';

/** The figures of one workload under one environment; `error` when it could not be measured. */
interface Cell {
  all: number[];
  median: number | null;
  error?: string;
  slow?: boolean;
}

type Results = Map<Workload, Map<Runner, Cell>>;

/** The column that the targets are for. */
const JUDGED = 'seccomp';
/** A peer's cell that took longer is not measured again. */
const SLOW_MS = 5000;
const OWN = new Set(['native', 'seccomp', 'ptrace']);

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    runners: { type: 'string', default: '' },
    out: { type: 'string', default: join(repository, 'bench-results.json') },
  },
});

function list(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function median(numbers: readonly number[]): number | null {
  const sorted = numbers.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

async function measureAll(workloads: readonly Workload[], runners: readonly Runner[], rounds: number): Promise<Results> {
  const results: Results = new Map(workloads.map((w) => [w, new Map(runners.map((r) => [r, { all: [], median: null }]))]));
  for (let round = 0; round < rounds; round++) {
    for (const [workload, cells] of results) {
      progress(`round ${round + 1} of ${rounds}: ${workload.name}`);
      for (const [runner, cell] of cells) await measureOne(workload, runner, cell);
    }
  }
  progress('');
  for (const cells of results.values()) for (const cell of cells.values()) cell.median = median(cell.all);
  return results;
}

/** One line on the terminal that the next one replaces. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(50)}\r`);
}

async function measureOne(workload: Workload, runner: Runner, cell: Cell): Promise<void> {
  // What failed once fails again, and slowly.
  if (cell.error !== undefined || cell.slow === true) return;
  const start = performance.now();
  try {
    cell.all.push(await workload.measure(runner));
    cell.slow = performance.now() - start > SLOW_MS && !OWN.has(runner.name);
  } catch (error) {
    cell.error = error instanceof Error ? error.message : String(error);
  }
}

function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

function cellText(cell: Cell): string {
  return cell.error === undefined ? figure(cell.median) : 'failed';
}

function cellOf(cells: ReadonlyMap<Runner, Cell>, name: string): Cell | undefined {
  return [...cells].find(([runner]) => runner.name === name)?.[1];
}

/** How the judged column stands to Linux, or null where one of them is missing. */
function ratioOf(cells: ReadonlyMap<Runner, Cell>): number | null {
  const [own, native] = [cellOf(cells, JUDGED)?.median ?? null, cellOf(cells, 'native')?.median ?? null];
  return own === null || native === null || native === 0 ? null : own / native;
}

function targetText(target: Target | undefined): string {
  if (target === undefined) return '';
  if ('atMost' in target) return `≤ ${target.atMost}`;
  if ('atLeast' in target) return `≥ ${target.atLeast}`;
  return 'timesNative' in target ? `≤ ${target.timesNative} x native` : `≥ ${target.partOfNative} x native`;
}

/** Whether the judged column reaches its target; null without one, or without figures to judge. */
function reached(workload: Workload, cells: ReadonlyMap<Runner, Cell>): boolean | null {
  const { target } = workload;
  const own = cellOf(cells, JUDGED);
  if (target === undefined || own === undefined) return null;
  if (own.median === null) return false;
  if ('atMost' in target) return own.median <= target.atMost;
  if ('atLeast' in target) return own.median >= target.atLeast;
  const ratio = ratioOf(cells);
  if (ratio === null) return null;
  return 'timesNative' in target ? ratio <= target.timesNative : ratio >= target.partOfNative;
}

function verdict(workload: Workload, cells: ReadonlyMap<Runner, Cell>): string {
  const answer = reached(workload, cells);
  return answer === null ? '' : answer ? 'reached' : 'NOT reached';
}

function printTable(results: Results, runners: readonly Runner[]): void {
  const header = ['', '', ...runners.map((runner) => runner.name), `${JUDGED}/native`, 'target', ''];
  const rows = [...results].map(([workload, cells]) => {
    const figures = [...cells.values()].map(cellText);
    const ratio = workload.unit === 'x' || workload.unit === 'ms/s' ? '' : figure(ratioOf(cells));
    return [workload.name, workload.unit, ...figures, ratio, targetText(workload.target), verdict(workload, cells)];
  });
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  for (const row of [header, ...rows]) {
    const cells = row.map((text, column) => (column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)));
    console.log(cells.join('  ').trimEnd());
  }
  const judged = [...results].map(([workload, cells]) => reached(workload, cells)).filter((answer) => answer !== null);
  console.log(`\n${judged.filter(Boolean).length} of ${judged.length} targets reached (${JUDGED})`);
}

function writeJson(file: string, results: Results, rounds: number): void {
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version };
  const workloads = [...results].map(([workload, cells]) => ({
    name: workload.name,
    unit: workload.unit,
    target: workload.target ?? null,
    reached: reached(workload, cells),
    timesNative: ratioOf(cells),
    results: Object.fromEntries([...cells].map(([runner, cell]) => [runner.name, cell])),
  }));
  const version = (JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string }).version;
  writeFileSync(file, `${JSON.stringify({ date: new Date().toISOString(), version, machine, rounds, workloads }, null, 2)}\n`);
}

function printErrors(results: Results): void {
  for (const [workload, cells] of results) {
    for (const [runner, cell] of cells) {
      if (cell.error !== undefined) console.log(`${workload.name}, ${runner.name}: ${cell.error.trim()}`);
    }
  }
}

async function main(): Promise<void> {
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds takes a number from 1 on, not ${values.rounds}`);
  buildFirst();
  // Not in /tmp, which sandboxes may have of their own.
  const scratch = mkdtempSync('/var/tmp/tsvisor-bench-');
  try {
    const only = list(values.only);
    const runners = await availableRunners(scratch, list(values.runners));
    const workloads = await allWorkloads(scratch);
    const chosen = workloads.filter((workload) => only.length === 0 || only.some((part) => workload.name.includes(part)));
    const results = await measureAll(chosen, runners, rounds);
    printTable(results, runners);
    printErrors(results);
    writeJson(values.out, results, rounds);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

await main();
