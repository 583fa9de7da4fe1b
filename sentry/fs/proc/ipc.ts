/**
 * /proc/sysvipc, the System V IPC objects as text, and their limits in /proc/sys/kernel (proc(5); Linux ipc/{shm,sem,msg}.c, ipc/ipc_sysctl.c).
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import { IPC_OBJECTS_MAX, SEMAPHORE_OPERATIONS_MAX, SYSV_MESSAGE_BYTES_MAX } from '../../limits.ts';
import type { Inode } from '../../vfs/inode.ts';
import { MQUEUE_RANGES } from '../mqueue/mqueue-limits.ts';
import type { MqueueLimits } from '../mqueue/mqueue-limits.ts';
import { StaticDirectory, TextFile } from '../synthetic/synthetic.ts';
import type { PidsView } from './process-view.ts';
import type { ProcFileSystem } from './proc-file-system.ts';

interface ObjectView {
  readonly key: number;
  readonly id: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly cuid: number;
  readonly cgid: number;
  readonly changeTime: number;
}

interface SegmentView extends ObjectView {
  readonly size: number;
  readonly creator: number;
  readonly lastPid: number;
  readonly attached: number;
  readonly attachTime: number;
  readonly detachTime: number;
  readonly file: { readonly blocks: number };
}

interface SemaphoreSetView extends ObjectView {
  readonly count: number;
  readonly operationTime: number;
}

interface MessageQueueView extends ObjectView {
  readonly bytes: number;
  readonly length: number;
  readonly lastSender: number;
  readonly lastReceiver: number;
  readonly sendTime: number;
  readonly receiveTime: number;
}

/** Names of `IpcView.limits` that have a file of their own. */
const LIMITS = ['shmmax', 'shmall', 'shmmni', 'msgmax', 'msgmnb', 'msgmni'] as const;
const SEMAPHORE_LIMITS = ['semmsl', 'semmns', 'semopm', 'semmni'] as const;
type LimitName = (typeof LIMITS)[number] | (typeof SEMAPHORE_LIMITS)[number];

/** What /proc shows of the IPC namespace; the kernel's satisfies it. */
export interface IpcView {
  readonly limits: Record<LimitName, number> & { text(name: LimitName): string; readonly shmRmidForced: number };
  readonly mqueueLimits: MqueueLimits;
  readonly shm: { readonly table: { all(): readonly SegmentView[] }; forceRemoval(value: number): void };
  readonly sem: { readonly table: { all(): readonly SemaphoreSetView[] } };
  readonly msg: { readonly table: { all(): readonly MessageQueueView[] } };
}

/** More than a `struct sembuf` can name. */
const SEMAPHORES_OF_SET_MAX = 65_536;
const INT_MAX = 0x7fff_ffff;

export function sysvipcDirectory(fs: ProcFileSystem): StaticDirectory {
  const { kernel, pids } = fs;
  const text = (read: () => string): TextFile => new TextFile(fs, read);
  return new StaticDirectory(fs, {
    shm: text(() => SHM_HEAD + joined(kernel.ipc.shm.table.all(), (segment) => segmentLine(segment, pids))),
    msg: text(() => MSG_HEAD + joined(kernel.ipc.msg.table.all(), (queue) => queueLine(queue, pids))),
    sem: text(() => SEM_HEAD + joined(kernel.ipc.sem.table.all(), setLine)),
  });
}

const left = (text: string | number, width: number): string => String(text).padEnd(width);
const right = (text: string | number, width: number): string => String(text).padStart(width);
const columns = (values: readonly number[], widths: readonly number[]): string =>
  values.map((value, i) => right(value, widths[i]!)).join(' ');

/** The columns that all have, from left to right: these, and after the mode, owners, and times. */
const OWNER_COLUMNS = [right('uid', 5), right('gid', 5), right('cuid', 5), right('cgid', 5)];

const SHM_HEAD = `${[
  right('key', 10),
  right('shmid', 10),
  left('perms', 5),
  right('size', 21),
  right('cpid', 5),
  right('lpid', 5),
  'nattch',
  ...OWNER_COLUMNS,
  right('atime', 10),
  right('dtime', 10),
  right('ctime', 10),
  right('rss', 21),
  right('swap', 21),
].join(' ')}\n`;

const SEM_HEAD = `${[right('key', 10), right('semid', 10), left('perms', 5), right('nsems', 10), ...OWNER_COLUMNS, right('otime', 10), right('ctime', 10)].join(' ')}\n`;

const MSG_HEAD = `${[right('key', 10), right('msqid', 10), left('perms', 5), right('cbytes', 11), right('qnum', 10), 'lspid', 'lrpid', ...OWNER_COLUMNS, right('stime', 10), right('rtime', 10), right('ctime', 10)].join(' ')}\n`;

function joined<T>(objects: readonly T[], line: (object: T) => string): string {
  return objects.map(line).join('');
}

function segmentLine(segment: SegmentView, pids: PidsView): string {
  const { key, id, mode, size, creator, lastPid, attached, attachTime, detachTime, changeTime, file } = segment;
  const head = `${right(key, 10)} ${right(id, 10)}  ${right(mode.toString(8), 4)} ${right(size, 21)}`;
  const use = columns([pids.local(creator), pids.local(lastPid)], [5, 5]);
  const times = columns([attachTime, detachTime, changeTime], [10, 10, 10]);
  return `${head} ${use}  ${right(attached, 5)} ${owners(segment)} ${times} ${right(file.blocks * 512, 21)} ${right(0, 21)}\n`;
}

function setLine(set: SemaphoreSetView): string {
  const { key, id, mode, count, operationTime, changeTime } = set;
  const head = `${right(key, 10)} ${right(id, 10)}  ${right(mode.toString(8), 4)} ${right(count, 10)}`;
  return `${head} ${owners(set)} ${columns([operationTime, changeTime], [10, 10])}\n`;
}

function queueLine(queue: MessageQueueView, pids: PidsView): string {
  const { key, id, mode, bytes, length, lastSender, lastReceiver, sendTime, receiveTime, changeTime } = queue;
  const head = `${right(key, 10)} ${right(id, 10)}  ${right(mode.toString(8), 4)}  ${right(bytes, 10)} ${right(length, 10)}`;
  const last = columns([pids.local(lastSender), pids.local(lastReceiver)], [5, 5]);
  return `${head} ${last} ${owners(queue)} ${columns([sendTime, receiveTime, changeTime], [10, 10, 10])}\n`;
}

function owners({ uid, gid, cuid, cgid }: ObjectView): string {
  return columns([uid, gid, cuid, cgid], [5, 5, 5, 5]);
}

/** The files of /proc/sys/kernel that hold limits of System V IPC. */
export function ipcFiles(fs: ProcFileSystem): Record<string, Inode> {
  const { kernel } = fs;
  const files: Record<string, Inode> = {};
  for (const name of LIMITS) files[name] = limitFile(fs, [name]);
  files.sem = limitFile(fs, SEMAPHORE_LIMITS);
  files.shm_rmid_forced = new TextFile(fs, () => `${kernel.ipc.limits.shmRmidForced}\n`, setForced);
  files.auto_msgmni = new TextFile(fs, () => '0\n');
  return files;

  function limitFile(of: ProcFileSystem, names: readonly LimitName[]): TextFile {
    return new TextFile(
      of,
      () => `${names.map((name) => kernel.ipc.limits.text(name)).join('\t')}\n`,
      (text) => set(names, text),
    );
  }

  function setForced(text: string): number {
    const word = text.trim();
    if (word !== '0' && word !== '1') return -EINVAL;
    kernel.ipc.shm.forceRemoval(Number(word));
    return 0;
  }

  /** As Linux: numbers from the left on; what is missing stays. */
  function set(names: readonly LimitName[], text: string): number {
    const given = text.trim().split(/\s+/);
    if (given.length > names.length || given.some((word) => !/^\d{1,20}$/.test(word))) return -EINVAL;
    const values = given.map(Number);
    if (values.some((value, i) => value > largest(names[i]!))) return -EINVAL;
    for (const [i, value] of values.entries()) kernel.ipc.limits[names[i]!] = value;
    return 0;
  }
}

/** The files of /proc/sys/fs/mqueue. */
export function mqueueFiles(fs: ProcFileSystem): Record<string, Inode> {
  const { kernel } = fs;
  const files: Record<string, Inode> = {};
  for (const [key, [least, most]] of Object.entries(MQUEUE_RANGES)) {
    const name = key as keyof MqueueLimits;
    const write = (text: string): number => {
      const given = text.trim();
      const value = Number(given);
      if (!/^\d{1,10}$/.test(given) || value < least || value > most) return -EINVAL;
      kernel.ipc.mqueueLimits[name] = value;
      return 0;
    };
    files[name] = new TextFile(fs, () => `${kernel.ipc.mqueueLimits[name]}\n`, write);
  }
  return files;
}

function largest(name: LimitName): number {
  if (name === 'shmmax' || name === 'shmall') return 2 ** 64 - 2 ** 24;
  if (name === 'msgmax') return SYSV_MESSAGE_BYTES_MAX;
  if (name === 'semopm') return SEMAPHORE_OPERATIONS_MAX;
  if (name === 'semmsl') return SEMAPHORES_OF_SET_MAX;
  return name === 'shmmni' || name === 'msgmni' || name === 'semmni' ? IPC_OBJECTS_MAX : INT_MAX;
}
