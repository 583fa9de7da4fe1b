/** Starting a stand-in, or becoming one: what the host sees of a process inside (code.ts). */
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HostFd } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { spawnWithDescriptors } from '#platform/host/spawn.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { STAND_IN_CONNECTION } from './code.ts';

const SYS_DUP2 = 33;
const SYS_FCNTL = 72;
const SYS_EXECVEAT = 322;
const AT_EMPTY_PATH = 0x1000;
const F_DUPFD_CLOEXEC = 1030;
/** Out of the way of the numbers that are given. */
const ABOVE_GIVEN = 16;
const NAME = 'stand-in';

/** Assembled by the build: beside the program that runs now, or in dist/ for the source. */
function standInProgram(): string {
  const self = process.argv[1]!;
  return self.endsWith('.ts') ? join(dirname(self), '..', 'dist', NAME) : join(dirname(self), NAME);
}

/** A new process. `terminal` becomes its controlling one. Returns its id. */
export function startStandIn(connection: HostFd, terminal: HostFd | null): number {
  const passed = (terminal === null ? [connection] : [connection, terminal]).map((fd) =>
    systemCall(SYS_FCNTL, fd, F_DUPFD_CLOEXEC, ABOVE_GIVEN),
  );
  const pid = spawnWithDescriptors(standInProgram(), [NAME, terminal === null ? 'plain' : 'terminal'], passed);
  if (pid < 0) throw missing(pid);
  return pid;
}

/**
 * This process, from now on: it keeps its id, its parent, its terminal, and the memory of a page instead of Node's. `leave` is called when no file of
 * the host has to be named any more.
 */
export function becomeStandIn(connection: HostFd, leave: () => void = () => {}): never {
  const program: HostFd = openProgram();
  leave();
  const memory = allocateMemory(64);
  // The name it is called by, its argument, and an empty path.
  const [name, argument, empty] = [32, 48, 60];
  memory.writeLatin1(`${NAME}\0`, name);
  memory.writeLatin1('plain\0', argument);
  memory.view.setBigUint64(0, BigInt(memory.address + name), true);
  memory.view.setBigUint64(8, BigInt(memory.address + argument), true);
  systemCall(SYS_DUP2, connection, STAND_IN_CONNECTION);
  // SAFETY: path, arguments and an empty environment lie in memory of ours, each list ended by a null.
  throw missing(systemCall(SYS_EXECVEAT, program, memory.address + empty, memory.address, memory.address + 16, AT_EMPTY_PATH));
}

/** Its descriptor, above the numbers that are given. */
function openProgram(): HostFd {
  try {
    const fd = openSync(standInProgram(), 'r');
    const moved: HostFd = systemCall(SYS_FCNTL, fd, F_DUPFD_CLOEXEC, ABOVE_GIVEN);
    closeSync(fd);
    return moved;
  } catch (error) {
    throw missing((error as NodeJS.ErrnoException).errno ?? 0);
  }
}

function missing(error: number): UserError {
  return new UserError(
    `dist/${NAME} cannot be run (${errnoName(-error)}): run "npm run build" in the tsvisor directory.`,
    EXIT_OCI_FAILURE,
  );
}
