/** /proc/PID/stat, status and limits (fs/proc/array.c, fs/proc/base.c). */
import { RLIM_NLIMITS } from '#sentry/abi/resource.ts';
import type { CapabilitySet } from '../../vfs/credentials.ts';
import { memoryFigures } from './maps.ts';
import type { GroupView, KernelView, SignalWords, TaskView } from './process-view.ts';

const NS_PER_TICK = 10_000_000;
const SIG_IGN = 1;

const STATE_NAMES: Readonly<Record<string, string>> = {
  R: 'R (running)',
  S: 'S (sleeping)',
  D: 'D (disk sleep)',
  T: 'T (stopped)',
  Z: 'Z (zombie)',
  X: 'X (dead)',
};

function ticks(ns: number): number {
  return Math.floor(ns / NS_PER_TICK);
}

/** The 52 fields of stat. `task` may be a thread; then `whole` is false and figures are its own where they exist. */
export function statText(task: TaskView, kernel: KernelView): string {
  const { group, mm } = task;
  const { terminal } = group.processGroup.session;
  const memory = task.hasExited ? null : memoryFigures(mm);
  const [ignored, caught] = dispositions(group);
  const fields = [
    task.tid,
    `(${task.name})`,
    task.state,
    group.parent?.pid ?? 0,
    group.processGroup.pgid,
    group.processGroup.session.sid,
    terminal === null ? 0 : terminal.device,
    terminal?.foreground?.pgid ?? -1,
    0x40_0000,
    task.minorFaults,
    0,
    0,
    0,
    ticks(group.userTimeNs),
    ticks(group.systemTimeNs),
    ticks(group.childrenUserTimeNs),
    ticks(group.childrenSystemTimeNs),
    20 + task.niceness,
    task.niceness,
    threadCount(group),
    0,
    ticks(task.startTimeNs - kernel.bootTimeNs),
    memory?.total ?? 0,
    Math.floor((memory?.accessible ?? 0) / 4096),
    '18446744073709551615',
    mm.codeStart,
    mm.codeEnd,
    mm.stackStart,
    0,
    0,
    ...[task.signals.pending.set, task.signals.blocked, ignored, caught].map(({ low }) => low & 0x7fff_ffff),
    0,
    0,
    0,
    17,
    0,
    0,
    0,
    0,
    0,
    0,
    mm.dataStart,
    mm.dataEnd,
    mm.brkStart,
    mm.argStart,
    mm.argEnd,
    mm.envStart,
    mm.envEnd,
    group.exitStatus,
  ];
  return `${fields.join(' ')}\n`;
}

/** The first thread counts as long as the process does, even if it has ended. */
function threadCount(group: GroupView): number {
  let count = 0;
  for (const _ of group.tasks) count++;
  return Math.max(1, count);
}

/** Sets of ignored and of caught signals. */
function dispositions({ handlers }: GroupView): [SignalWords, SignalWords] {
  const ignored = { low: 0, high: 0 };
  const caught = { low: 0, high: 0 };
  for (let signo = 1; signo < handlers.handler.length; signo++) {
    const handler = handlers.handler[signo]!;
    if (handler === 0) continue;
    const set = handler === SIG_IGN ? ignored : caught;
    if (signo <= 32) set.low = (set.low | (1 << (signo - 1))) >>> 0;
    else set.high = (set.high | (1 << (signo - 33))) >>> 0;
  }
  return [ignored, caught];
}

function mask({ low, high }: SignalWords | CapabilitySet): string {
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}

export function statusText(task: TaskView, kernel: KernelView): string {
  const { group, credentials: c } = task;
  const [ignored, caught] = dispositions(group);
  const lines: [string, string | number][] = [
    ['Name', task.name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')],
    ['Umask', `0${task.fs.umask.toString(8).padStart(3, '0')}`],
    ['State', STATE_NAMES[task.state] ?? task.state],
    ['Tgid', group.pid],
    ['Ngid', 0],
    ['Pid', task.tid],
    ['PPid', group.parent?.pid ?? 0],
    ['TracerPid', 0],
    ['Uid', [c.uid, c.euid, c.suid, c.fsuid].join('\t')],
    ['Gid', [c.gid, c.egid, c.sgid, c.fsgid].join('\t')],
    ['FDSize', Math.max(64, task.hasExited ? 0 : task.files.size)],
    ['Groups', `${c.groups.join(' ')} `],
    ['NStgid', group.pid],
    ['NSpid', task.tid],
    ['NSpgid', group.processGroup.pgid],
    ['NSsid', group.processGroup.session.sid],
    ['Kthread', 0],
    ...memoryLines(task),
    ['Threads', threadCount(group)],
    ['SigQ', `${group.signals.queued.count}/${group.limits.soft(11)}`],
    ['SigPnd', mask(task.signals.pending.set)],
    ['ShdPnd', mask(group.signals.pending.set)],
    ['SigBlk', mask(task.signals.blocked)],
    ['SigIgn', mask(ignored)],
    ['SigCgt', mask(caught)],
    ['CapInh', mask(c.inheritable)],
    ['CapPrm', mask(c.permitted)],
    ['CapEff', mask(c.effective)],
    ['CapBnd', mask(c.bounding)],
    ['CapAmb', mask(c.ambient)],
    ['NoNewPrivs', c.noNewPrivs ? 1 : 0],
    ['Seccomp', task.seccomp?.mode ?? 0],
    ['Seccomp_filters', task.seccomp?.count ?? 0],
    ['Speculation_Store_Bypass', 'vulnerable'],
    ['SpeculationIndirectBranch', 'always enabled'],
    ['Cpus_allowed', ((2 ** kernel.machine.cpuCount - 1) >>> 0).toString(16)],
    ['Cpus_allowed_list', kernel.machine.cpuCount === 1 ? '0' : `0-${kernel.machine.cpuCount - 1}`],
    ['Mems_allowed', '1'],
    ['Mems_allowed_list', '0'],
    ['voluntary_ctxt_switches', 0],
    ['nonvoluntary_ctxt_switches', 0],
  ];
  return lines.map(([name, value]) => `${name}:\t${value}\n`).join('');
}

/** A zombie has no memory and shows none of these lines. */
function memoryLines(task: TaskView): [string, string][] {
  if (task.hasExited) return [];
  const memory = memoryFigures(task.mm);
  const kib = (bytes: number): string => `${String(Math.ceil(bytes / 1024)).padStart(8)} kB`;
  return [
    ['VmPeak', kib(memory.total)],
    ['VmSize', kib(memory.total)],
    ['VmLck', kib(memory.locked)],
    ['VmPin', kib(0)],
    ['VmHWM', kib(memory.accessible)],
    ['VmRSS', kib(memory.accessible)],
    ['RssAnon', kib(Math.max(0, memory.accessible - memory.file))],
    ['RssFile', kib(memory.file)],
    ['RssShmem', kib(0)],
    ['VmData', kib(memory.data)],
    ['VmStk', kib(memory.stack)],
    ['VmExe', kib(memory.text)],
    ['VmLib', kib(0)],
    ['VmPTE', kib(0)],
    ['VmSwap', kib(0)],
    ['HugetlbPages', kib(0)],
    ['CoreDumping', '0'],
    ['THP_enabled', '1'],
    ['untag_mask', '0xffffffffffffffff'],
  ];
}

const LIMIT_ROWS: readonly (readonly [string, string])[] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

export function limitsText({ limits }: GroupView): string {
  const show = (value: number): string => (value === Infinity ? 'unlimited' : String(value));
  const row = (name: string, soft: string, hard: string, unit: string): string =>
    `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} ${unit.padEnd(10)}\n`;
  let text = row('Limit', 'Soft Limit', 'Hard Limit', 'Units');
  for (let i = 0; i < RLIM_NLIMITS; i++) {
    const [name, unit] = LIMIT_ROWS[i]!;
    text += row(name, show(limits.soft(i)), show(limits.hard(i)), unit);
  }
  return text;
}
