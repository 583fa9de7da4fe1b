/**
 * Telling the sentry when a directory changes behind its back (inotify(7)), so that it may believe what it has looked up there until then.
 *
 * A watch is for one change: the first that is made to the directory or a file in it, by whomever, ends it. The instance is the sentry's to read:
 * a change stands in it before the call that made it returns. Not every file system tells of all changes: those whose files other machines change, or
 * a process, are not watched.
 */
import { EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { IN_ATTRIB, IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_ONLYDIR } from '#sentry/abi/event-files.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { i64 } from '#gofer/protocol/codec.ts';
import type { Watch } from '#gofer/protocol/messages.ts';
import { fstatfs, inotifyAddWatch } from '#platform/host/files.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import type { Server } from './server.ts';

const SYS_INOTIFY_INIT1 = 294;
const IN_NONBLOCK_CLOEXEC = 0o2004000;
const CHANGES = (IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_ONESHOT) >>> 0;

/** Magic numbers of file systems that are changed through this kernel alone (linux/magic.h). */
const LOCAL_MAGICS: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // xfs
  0x9123_683e, // btrfs
  0x794c_7630, // overlayfs
  0x0102_1994, // tmpfs
  0xf2f5_2010, // f2fs
  0x2fc1_2fc1, // zfs
]);

/** An inotify instance, or -1 where the host gives none: nothing is watched then. */
export function openWatches(): number {
  const fd = systemCall(SYS_INOTIFY_INIT1, IN_NONBLOCK_CLOEXEC);
  return fd < 0 ? -1 : fd;
}

export function watch(server: Server, { fid }: ValueOf<typeof Watch.request>, reply: Writer): number {
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  const wd = server.table.isSealed(fid) ? -EOPNOTSUPP : addWatch(server, fd);
  if (wd < 0) return wd;
  i64.write(reply, wd);
  return 0;
}

/** Watches the directory that `fd` stands for: the number of the watch, or -errno. */
export function addWatch(server: Server, fd: number): number {
  if (server.watches < 0 || !isLocal(server, fd)) return -EOPNOTSUPP;
  return inotifyAddWatch(server.watches, server.nameAt(`${server.selfPrefix}${fd}`), CHANGES);
}

function isLocal(server: Server, fd: number): boolean {
  const { view, address } = server.memory;
  return fstatfs(fd, address + server.statfsOffset) === 0 && LOCAL_MAGICS.has(view.getUint32(server.statfsOffset, true));
}
