/**
 * Starting a program as a child process with posix_spawn(3). Node's child_process would first load its modules for streams and sockets,
 * which takes longer than the start itself, and it needs the event loop, which the sentry never enters.
 *
 * The child gets a session of its own, default signal handlers, no environment, and the descriptors named; nobody waits for it here.
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
const ENVIRONMENT = 904;
const ARGUMENTS = 1024;
const STRINGS = 2048;
const SIZE = 64 * 1024;

/**
 * Runs `program` in the root directory with `args` (the name it is called by first). Descriptors 0 to 2 are /dev/null and 3 is `descriptor`.
 * Returns the process id or -errno.
 */
export function spawnWithDescriptor(program: string, args: readonly string[], descriptor: HostFd): number {
  const memory = allocateMemory(SIZE);
  const { address, bytes, view } = memory;
  let end = STRINGS;
  for (const [index, arg] of args.entries()) {
    const text = Buffer.from(`${arg}\0`);
    if (end + text.length > SIZE || ARGUMENTS + (index + 2) * 8 > STRINGS) return -E2BIG;
    bytes.set(text, end);
    view.setBigUint64(ARGUMENTS + index * 8, BigInt(address + end), true);
    end += text.length;
  }
  bytes.fill(0xff, ALL_SIGNALS, NO_SIGNALS);
  // SAFETY: every address lies in `memory` with room for what is stored there; koffi keeps the strings for the duration of each call.
  libc.spawnAttributesInit(address + ATTRIBUTES);
  libc.spawnSetFlags(address + ATTRIBUTES, FLAGS);
  libc.spawnSetSignalDefault(address + ATTRIBUTES, address + ALL_SIGNALS);
  libc.spawnSetSignalMask(address + ATTRIBUTES, address + NO_SIGNALS);
  libc.spawnActionsInit(address + ACTIONS);
  libc.spawnAddDup2(address + ACTIONS, descriptor, 3);
  for (const standard of [0, 1, 2]) libc.spawnAddOpen(address + ACTIONS, standard, '/dev/null', O_RDWR, 0);
  libc.spawnAddChdir(address + ACTIONS, '/');
  const failed = libc.spawn(address + PID, program, address + ACTIONS, address + ATTRIBUTES, address + ARGUMENTS, address + ENVIRONMENT);
  return failed === 0 ? view.getInt32(PID, true) : -failed;
}
