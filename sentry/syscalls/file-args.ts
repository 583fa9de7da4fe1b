/**
 * From the numbers of a call to the files they stand for, and how calls on files wait.
 *
 * A call that blocks on a file keeps a reference to it while it waits: another thread may close the descriptor meanwhile, and Linux
 * goes on with the file it began with.
 */
import { EAGAIN, EBADF, EINTR } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, O_PATH, POLLERR, POLLHUP, POLLRDHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';

export const READ_EVENTS = READABLE | POLLHUP | POLLERR | POLLRDHUP;
export const WRITE_EVENTS = WRITABLE | POLLHUP | POLLERR;

/** The open file behind `fd` for calls that work on its contents: not one opened with O_PATH (EBADF, as open(2) says). */
export function openFile(task: Task, fd: number): FileDescription | undefined {
  const file = task.files.get(fd);
  return file === undefined || (file.flags & O_PATH) !== 0 ? undefined : file;
}

/** The same for a call that may wait: when it goes on after waiting, the file it began with. */
export function fileForIo(task: Task, fd: number): FileDescription | undefined {
  const { wait } = task;
  if (!wait.first && wait.state instanceof FileDescription) return wait.state;
  return task.files.get(fd);
}

/** Waits for `events` on a file whose operation returned -EAGAIN; -EAGAIN once the file's own timeout is over (SO_RCVTIMEO, SO_SNDTIMEO). */
export function waitForFile(task: Task, file: FileDescription, events: number): number {
  const { wait } = task;
  const timeoutNs = (events & WRITABLE) !== 0 ? file.writeTimeoutNs : file.readTimeoutNs;
  if (timeoutNs !== Infinity) {
    if (wait.timedOut) return -EAGAIN;
    if (wait.timeoutNs === Infinity) wait.timeoutNs = timeoutNs;
    wait.interrupted = -EINTR;
  }
  if (wait.state !== file) {
    wait.state = file;
    wait.hold(file.acquire());
  }
  return wait.on(file.queue, events);
}

export function isNonblocking(file: FileDescription): boolean {
  return (file.flags & O_NONBLOCK) !== 0;
}

/** Gives a new file (whose reference the caller holds) a descriptor; on failure the file is let go. */
export function installFile(task: Task, file: FileDescription, cloexec: boolean): number {
  const fd = task.files.install(file, cloexec);
  if (fd < 0) file.release();
  return fd;
}

/** -EBADF for calls that look at nothing but whether the descriptor is open. */
export function checkOpen(task: Task, fd: number): number {
  return openFile(task, fd) === undefined ? -EBADF : 0;
}
