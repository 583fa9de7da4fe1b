/**
 * pipe(2) and pipe2(2). Reading and writing are those of every stream; the buffer is fs/pipe.
 */
import { EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { O_CLOEXEC, O_DIRECT, O_NONBLOCK } from '#sentry/abi/fs.ts';
import { createPipe } from '../fs/pipe/pipe-file.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';
import { family, flags, full, out, syscall } from './row.ts';

const PIPE_FLAGS = { O_CLOEXEC, O_NONBLOCK, O_DIRECT };

function makePipe(task: Task, address: number, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL;
  const [reader, writer] = createPipe(task.kernel.anonymous, task, flags & (O_NONBLOCK | O_DIRECT));
  return installPair(task, reader, writer, (flags & O_CLOEXEC) !== 0, address);
}

/** Gives two new files descriptors and stores them as `int[2]`; takes over both references. */
export function installPair(task: Task, first: FileDescription, second: FileDescription, cloexec: boolean, address: number): number {
  const { files, scratch } = task;
  const low = files.install(first, cloexec);
  if (low < 0) {
    first.release();
    second.release();
    return low;
  }
  const high = files.install(second, cloexec);
  if (high < 0) {
    files.close(low);
    second.release();
    return high;
  }
  scratch.view.setInt32(0, low, true);
  scratch.view.setInt32(4, high, true);
  if (task.memory.copyOut(address, scratch, 0, 8) === 0) return 0;
  files.close(low);
  files.close(high);
  return -EFAULT;
}

export const pipeRows = family(
  syscall({
    name: 'pipe',
    nr: { x64: 22 },
    args: { fds: out(8, 'fd_pair') },
    support: full,
    run: (task, address) => makePipe(task, address, 0),
  }),
  syscall({
    name: 'pipe2',
    nr: { x64: 293, arm64: 59 },
    args: { fds: out(8, 'fd_pair'), flags: flags(PIPE_FLAGS) },
    support: full,
    run: (task, address, flags) => makePipe(task, address, flags),
  }),
);
