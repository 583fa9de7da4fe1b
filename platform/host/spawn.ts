/**
 * Starting a program as a child process with posix_spawn(3). Node's child_process would first load its modules for streams and sockets,
 * which takes longer than the start itself, and it needs the event loop, which the sentry never enters.
 *
 * The child gets a session of its own, default signal handlers and the descriptors named; nobody waits for it here.
 */
import type { HostFd } from '../contract/host.ts';
import { allocateMemory } from './memory.ts';
import * as libc from './libc.ts';

const O_RDWR = 2;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const FLAGS = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID;
const E2BIG = 7;

// Places in one piece of memory; the C library's structures are 336, 80 and 128 bytes long.
const ATTRIBUTES = 0;
const ACTIONS = 512;
const ALL_SIGNALS = 640;
const NO_SIGNALS = 768;
const PID = 896;
const POINTERS = 1024;
/** After standard input, output and error. */
const FIRST_PASSED = 3;
/** Arguments and environment, which the kernel bounds by a quarter of the stack's limit (execve(2)). */
const SIZE_MAX = 2 * 1024 * 1024;

/**
 * Runs `program` in the root directory with `args` (the name it is called by first) and no environment. Descriptors 0 to 2 are /dev/null, and
 * `descriptors` those from 3 on; none of them may have a number that another one is to get. Returns the process id or -errno.
 */
export function spawnWithDescriptors(program: string, args: readonly string[], descriptors: readonly HostFd[]): number {
  return spawn(program, args.map(utf8), [], (actions) => {
    for (const [index, descriptor] of descriptors.entries()) libc.spawnAddDup2(actions, descriptor, FIRST_PASSED + index);
    for (const standard of [0, 1, 2]) libc.spawnAddOpen(actions, standard, '/dev/null', O_RDWR, 0);
    libc.spawnAddChdir(actions, '/');
  });
}

export interface SpawnRequest {
  /** Text, like `directory`; arguments and environment are byte strings. */
  readonly program: string;
  /** The name it is called by first. */
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  readonly directory: string;
  /** Become descriptors 0, 1 and 2; none of them may have such a number. */
  readonly standard: readonly [stdin: HostFd, stdout: HostFd, stderr: HostFd];
}

/** Returns the process id or -errno. */
export function spawnProgram({ program, args, environment, directory, standard }: SpawnRequest): number {
  return spawn(program, args, environment, (actions) => {
    for (const [target, fd] of standard.entries()) libc.spawnAddDup2(actions, fd, target);
    libc.spawnAddChdir(actions, directory);
  });
}

function utf8(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function spawn(program: string, args: readonly string[], environment: readonly string[], addActions: (actions: number) => void): number {
  const strings = [...args, ...environment];
  const start = POINTERS + (strings.length + 2) * 8;
  const size = strings.reduce((sum, text) => sum + text.length + 1, start);
  if (size > SIZE_MAX) return -E2BIG;
  const memory = allocateMemory(size);
  const { address, bytes, view } = memory;
  // Each vector ends in a null pointer.
  const environmentVector = POINTERS + (args.length + 1) * 8;
  let end = start;
  for (const [index, text] of strings.entries()) {
    const slot = index < args.length ? POINTERS + index * 8 : environmentVector + (index - args.length) * 8;
    view.setBigUint64(slot, BigInt(address + end), true);
    end += memory.writeLatin1(`${text}\0`, end);
  }
  bytes.fill(0xff, ALL_SIGNALS, NO_SIGNALS);
  // SAFETY: every address lies in `memory` with room for what is stored there; koffi keeps the strings for the duration of each call.
  libc.spawnAttributesInit(address + ATTRIBUTES);
  libc.spawnSetFlags(address + ATTRIBUTES, FLAGS);
  libc.spawnSetSignalDefault(address + ATTRIBUTES, address + ALL_SIGNALS);
  libc.spawnSetSignalMask(address + ATTRIBUTES, address + NO_SIGNALS);
  libc.spawnActionsInit(address + ACTIONS);
  addActions(address + ACTIONS);
  const failed = libc.spawn(
    address + PID,
    program,
    address + ACTIONS,
    address + ATTRIBUTES,
    address + POINTERS,
    address + environmentVector,
  );
  return failed === 0 ? view.getInt32(PID, true) : -failed;
}
