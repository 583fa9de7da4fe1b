/**
 * An empty root directory. chroot(2) reaches every thread, for the threads of a process share their root.
 *
 * First choice is a file system of its own: a detached, read-only tmpfs that has no name anywhere and goes with the process. Where it
 * cannot be made (no CAP_SYS_ADMIN), a directory is made, opened, removed again, and entered. Either way nothing is left behind.
 */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from '#sentry/abi/fs.ts';
import { close, openat } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { chdirTo, chrootTo, systemCall } from '#platform/host/setup-calls.ts';
import type { ConfinementReport } from './report.ts';

const SYS_FCHDIR = 81;
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const FLAG_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const MOUNT_ATTR_ALL = 1 | 2 | 4 | 8; // read-only, nosuid, nodev, noexec

const memory = allocateMemory(4096);
const DOT = Uint8Array.of(0x2e, 0);

function textAt(text: string): number {
  memory.view.setUint8(memory.writeLatin1(text, 0), 0);
  return memory.address;
}

/** Makes the root directory of this process an empty one. Needs CAP_SYS_CHROOT. */
export function enterEmptyRoot(report: ConfinementReport): boolean {
  const mounted = emptyFileSystem();
  const fd = mounted >= 0 ? mounted : emptyDirectory();
  const entered = fd < 0 ? fd : enter(fd);
  if (fd >= 0) close(fd);
  return report.step(mounted >= 0 ? 'root is an empty read-only file system' : 'root is an empty directory', entered);
}

/** A detached, empty, read-only file system: a descriptor of its root, or -errno. */
export function emptyFileSystem(): number {
  const context = systemCall(SYS_FSOPEN, textAt('tmpfs'), FLAG_CLOEXEC);
  if (context < 0) return context;
  const created = systemCall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
  const fd = created < 0 ? created : systemCall(SYS_FSMOUNT, context, FLAG_CLOEXEC, MOUNT_ATTR_ALL);
  close(context);
  return fd;
}

function emptyDirectory(): number {
  try {
    const path = mkdtempSync('/tmp/tsvisor-empty-');
    const fd = openat(AT_FDCWD, textAt(path), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    rmdirSync(path);
    return fd;
  } catch {
    return -1;
  }
}

function enter(fd: number): number {
  const moved = systemCall(SYS_FCHDIR, fd);
  if (moved < 0) return moved;
  const result = chrootTo(DOT);
  return result < 0 ? result : chdirTo(DOT);
}
