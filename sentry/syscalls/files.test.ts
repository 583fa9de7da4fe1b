/** System calls on files, called as a guest would. What a file system does is tested with the file systems; here is what the calls add. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, EBADF, EFAULT, EFBIG, EINVAL, EISDIR, EMFILE, ENOENT, ENOTDIR, EPERM, EPIPE, ERANGE, ESPIPE } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/fcntl.ts';
import {
  AT_FDCWD,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_LARGEFILE,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  SEEK_END,
  SEEK_SET,
} from '#sentry/abi/fs.ts';
import { RLIMIT_FSIZE, RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import { SIGPIPE, SIGUSR1, SIGXFSZ } from '#sentry/abi/signal.ts';
import type { Task } from '../kernel/task.ts';
import { BUFFER, FileWorld, PATH, PATH2 } from '../../test/unit/file-world.ts';

const FLOCK = BUFFER + 0x8000;
const VECTOR = BUFFER + 0x9000;

function pipe(world: FileWorld, task: Task, flags = 0): [number, number] {
  expect(world.now(task, 'pipe2', BUFFER, flags)).toBe(0);
  const view = world.peek(task, BUFFER, 8);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

function flock(world: FileWorld, task: Task, type: number, start: number, length: number): number {
  world.poke(task, FLOCK, [type, 0, start, 0, length, 0, 0, 0]);
  return FLOCK;
}

/** Ignores a signal, so that it does not end the process. */
function ignore(task: Task, signo: number): void {
  task.group.handlers.own().handler[signo] = 1;
}

describe('read and write', () => {
  it('keep a position, append, and seek', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    expect(world.write(task, fd, 'hello')).toBe(5);
    expect(world.now(task, 'lseek', fd, 1, SEEK_SET)).toBe(1);
    expect(world.read(task, fd, 100)).toBe('ello');
    expect(world.read(task, fd, 100)).toBe('');
    const appender = world.open(task, '/a', O_WRONLY | O_APPEND);
    expect(world.write(task, appender, ' you')).toBe(4);
    expect(world.now(task, 'lseek', fd, 0, SEEK_END)).toBe(9);
    expect(world.now(task, 'pread64', fd, BUFFER, 3, 4)).toBe(3);
    expect(world.text(task, BUFFER, 3)).toBe('o y');
    expect(world.now(task, 'pread64', fd, BUFFER, 3, -1)).toBe(-EINVAL);
    expect(world.now(task, 'lseek', fd, 0, 9)).toBe(-EINVAL);
  });

  it('check descriptors, modes and buffers', () => {
    const world = new FileWorld();
    const task = world.process();
    const reader = world.open(task, '/a', O_RDONLY | O_CREAT);
    const place = world.open(task, '/a', O_PATH);
    const directory = world.open(task, '/', O_RDONLY | O_DIRECTORY);
    expect(world.now(task, 'write', reader, BUFFER, 1)).toBe(-EBADF);
    expect(world.now(task, 'read', place, BUFFER, 1)).toBe(-EBADF);
    expect(world.now(task, 'read', 77, BUFFER, 1)).toBe(-EBADF);
    expect(world.now(task, 'read', directory, BUFFER, 1)).toBe(-EISDIR);
    expect(world.now(task, 'read', reader, BUFFER, -1)).toBe(-EFAULT);
    const writer = world.open(task, '/a', O_WRONLY);
    expect(world.now(task, 'write', writer, 8, 10)).toBe(-EFAULT);
  });

  it('scatter and gather', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    task.memory.writeBytes(BUFFER, 'abcdef');
    world.poke(task, VECTOR, [BUFFER, 0, 2, 0, BUFFER + 4, 0, 2, 0, 0, 0, 0, 0]);
    expect(world.now(task, 'writev', fd, VECTOR, 3)).toBe(4);
    expect(world.now(task, 'pread64', fd, BUFFER, 10, 0)).toBe(4);
    expect(world.text(task, BUFFER, 4)).toBe('abef');
    expect(world.now(task, 'writev', fd, VECTOR, 1025)).toBe(-EINVAL);
    expect(world.now(task, 'writev', fd, 8, 1)).toBe(-EFAULT);
    expect(world.now(task, 'preadv2', fd, VECTOR, 1, -1, 0, 0)).toBe(0);
  });

  it('stop at RLIMIT_FSIZE with SIGXFSZ', () => {
    const world = new FileWorld();
    const task = world.process();
    ignore(task, SIGXFSZ);
    task.group.limits.set(RLIMIT_FSIZE, 6, 6);
    const fd = world.open(task, '/a');
    expect(world.write(task, fd, '12345678')).toBe(6);
    expect(world.write(task, fd, '9')).toBe(-EFBIG);
    expect(world.now(task, 'ftruncate', fd, 7)).toBe(-EFBIG);
    expect(world.now(task, 'ftruncate', fd, 3)).toBe(0);
  });
});

describe('pipes', () => {
  it('make a reader wait until something is written', () => {
    const world = new FileWorld();
    const task = world.process();
    const [reader, writer] = pipe(world, task);
    const child = world.process(task);
    expect(world.call(child, 'read', reader, BUFFER, 10)).toBe('blocked');
    expect(world.write(task, writer, 'news')).toBe(4);
    world.step();
    expect(world.outcome(child)).toBe(4);
    expect(world.text(child, BUFFER, 4)).toBe('news');
  });

  it('let a long write wait until everything is taken', () => {
    const world = new FileWorld();
    const task = world.process();
    const [reader, writer] = pipe(world, task);
    const child = world.process(task);
    expect(world.call(child, 'write', writer, BUFFER, 100_000)).toBe('blocked');
    let got = 0;
    while (world.outcome(child) === 'blocked') got += world.now(task, 'read', reader, BUFFER, 30_000);
    expect(world.outcome(child)).toBe(100_000);
    while (got < 100_000) got += world.now(task, 'read', reader, BUFFER, 30_000);
    expect(got).toBe(100_000);
  });

  it('report what was written before a signal came', () => {
    const world = new FileWorld();
    const task = world.process();
    const [, writer] = pipe(world, task);
    const child = world.process(task);
    child.group.handlers.own().handler[SIGUSR1] = 0x400000;
    expect(world.call(child, 'write', writer, BUFFER, 100_000)).toBe('blocked');
    world.now(task, 'kill', child.tid, SIGUSR1);
    world.step();
    // The handler runs; the result lies in its frame. The wait is over and the pipe holds what had gone in.
    expect(world.outcome(child)).not.toBe('blocked');
  });

  it('outlive the descriptor that a waiting read began with', () => {
    const world = new FileWorld();
    const task = world.process();
    const [reader, writer] = pipe(world, task);
    const other = world.thread(task);
    other.files = task.files.acquire();
    other.fs = task.fs.acquire();
    expect(world.call(other, 'read', reader, BUFFER, 10)).toBe('blocked');
    expect(world.now(task, 'close', reader)).toBe(0);
    expect(world.write(task, writer, 'late')).toBe(4);
    world.step();
    expect(world.outcome(other)).toBe(4);
  });

  it('break with SIGPIPE', () => {
    const world = new FileWorld();
    const task = world.process();
    ignore(task, SIGPIPE);
    const [reader, writer] = pipe(world, task);
    world.now(task, 'close', reader);
    expect(world.write(task, writer, 'x')).toBe(-EPIPE);
  });

  it('do not wait when told so', () => {
    const world = new FileWorld();
    const task = world.process();
    const [reader] = pipe(world, task, O_NONBLOCK);
    expect(world.now(task, 'read', reader, BUFFER, 1)).toBe(-EAGAIN);
    expect(world.now(task, 'pread64', reader, BUFFER, 1, 0)).toBe(-ESPIPE);
  });
});

describe('descriptors', () => {
  it('are duplicated and marked', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a', O_RDWR | O_CREAT | O_CLOEXEC);
    expect(world.now(task, 'fcntl', fd, abi.F_GETFD, 0)).toBe(abi.FD_CLOEXEC);
    expect(world.now(task, 'dup', fd)).toBe(fd + 1);
    expect(world.now(task, 'fcntl', fd + 1, abi.F_GETFD, 0)).toBe(0);
    expect(world.now(task, 'fcntl', fd, abi.F_DUPFD_CLOEXEC, 20)).toBe(20);
    expect(world.now(task, 'fcntl', 20, abi.F_GETFD, 0)).toBe(abi.FD_CLOEXEC);
    expect(world.now(task, 'fcntl', fd, abi.F_DUPFD, 5000)).toBe(-EINVAL);
    expect(world.now(task, 'dup2', fd, fd)).toBe(fd);
    expect(world.now(task, 'dup3', fd, fd, 0)).toBe(-EINVAL);
    expect(world.now(task, 'dup2', fd, 2000)).toBe(-EBADF);
    expect(world.now(task, 'close_range', 10, 30, 0)).toBe(0);
    expect(world.now(task, 'fcntl', 20, abi.F_GETFD, 0)).toBe(-EBADF);
  });

  it('run out', () => {
    const world = new FileWorld();
    const task = world.process();
    task.group.limits.set(RLIMIT_NOFILE, 2, 2);
    task.files.limit = 2;
    expect(world.open(task, '/a')).toBe(0);
    expect(world.open(task, '/b')).toBe(1);
    expect(world.open(task, '/c')).toBe(-EMFILE);
    // Nothing was made before that was known.
    expect(world.now(task, 'access', world.path(task, '/c'), 0)).toBe(-ENOENT);
  });

  it('tell their status flags and let some change', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a', O_RDWR | O_CREAT | O_TRUNC);
    expect(world.now(task, 'fcntl', fd, abi.F_GETFL, 0)).toBe(O_RDWR | O_LARGEFILE);
    expect(world.now(task, 'fcntl', fd, abi.F_SETFL, O_APPEND | O_WRONLY | O_CREAT)).toBe(0);
    expect(world.now(task, 'fcntl', fd, abi.F_GETFL, 0)).toBe(O_RDWR | O_LARGEFILE | O_APPEND);
    const place = world.open(task, '/a', O_PATH);
    expect(world.now(task, 'fcntl', place, abi.F_SETFL, 0)).toBe(-EBADF);
    expect(world.now(task, 'fcntl', place, abi.F_GETFL, 0)).toBe(O_PATH);
  });

  it('have owners, negative for process groups', () => {
    const world = new FileWorld();
    const task = world.process();
    const [reader] = pipe(world, task);
    const pgid = task.group.processGroup.pgid;
    expect(world.now(task, 'fcntl', reader, abi.F_SETOWN, -pgid)).toBe(0);
    expect(world.now(task, 'fcntl', reader, abi.F_GETOWN, 0)).toBe(-pgid);
    expect(world.now(task, 'fcntl', reader, abi.F_GETPIPE_SZ, 0)).toBe(65_536);
    expect(world.now(task, 'fcntl', reader, abi.F_SETPIPE_SZ, 5000)).toBe(8192);
  });
});

describe('locks', () => {
  it('of flock belong to the open file', () => {
    const world = new FileWorld();
    const task = world.process();
    const one = world.open(task, '/a');
    const two = world.open(task, '/a');
    expect(world.now(task, 'flock', one, abi.LOCK_EX)).toBe(0);
    expect(world.now(task, 'flock', two, abi.LOCK_SH | abi.LOCK_NB)).toBe(-EAGAIN);
    const copy = world.now(task, 'dup', one);
    world.now(task, 'close', one);
    expect(world.now(task, 'flock', two, abi.LOCK_SH | abi.LOCK_NB)).toBe(-EAGAIN);
    world.now(task, 'close', copy);
    expect(world.now(task, 'flock', two, abi.LOCK_SH | abi.LOCK_NB)).toBe(0);
  });

  it('of POSIX belong to the process and go with any close', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    const again = world.open(task, '/a');
    const child = world.process(task);
    expect(world.now(task, 'fcntl', fd, abi.F_SETLK, flock(world, task, abi.F_WRLCK, 0, 10))).toBe(0);
    expect(world.now(child, 'fcntl', fd, abi.F_SETLK, flock(world, child, abi.F_RDLCK, 5, 1))).toBe(-EAGAIN);
    expect(world.now(child, 'fcntl', fd, abi.F_GETLK, flock(world, child, abi.F_RDLCK, 5, 1))).toBe(0);
    const view = world.peek(child, FLOCK, 32);
    expect([view.getInt16(0, true), view.getInt32(8, true), view.getInt32(16, true), view.getInt32(24, true)]).toEqual([
      abi.F_WRLCK,
      0,
      10,
      task.tid,
    ]);
    expect(world.call(child, 'fcntl', fd, abi.F_SETLKW, flock(world, child, abi.F_WRLCK, 0, 1))).toBe('blocked');
    world.now(task, 'close', again);
    world.step();
    expect(world.outcome(child)).toBe(0);
  });

  it('of open file descriptions conflict within a process', () => {
    const world = new FileWorld();
    const task = world.process();
    const one = world.open(task, '/a');
    const two = world.open(task, '/a');
    expect(world.now(task, 'fcntl', one, abi.F_OFD_SETLK, flock(world, task, abi.F_WRLCK, 0, 0))).toBe(0);
    expect(world.now(task, 'fcntl', two, abi.F_OFD_SETLK, flock(world, task, abi.F_RDLCK, 0, 0))).toBe(-EAGAIN);
    world.now(task, 'close', one);
    expect(world.now(task, 'fcntl', two, abi.F_OFD_SETLK, flock(world, task, abi.F_RDLCK, 0, 0))).toBe(0);
  });
});

describe('moving data', () => {
  it('sendfile with and without an offset', () => {
    const world = new FileWorld();
    const task = world.process();
    const from = world.open(task, '/from');
    const to = world.open(task, '/to');
    world.write(task, from, 'abcdefgh');
    world.poke(task, VECTOR, [2, 0]);
    expect(world.now(task, 'sendfile', to, from, VECTOR, 4)).toBe(4);
    expect(world.peek(task, VECTOR, 8).getUint32(0, true)).toBe(6);
    world.now(task, 'lseek', from, 0, SEEK_SET);
    expect(world.now(task, 'sendfile', to, from, 0, 100)).toBe(8);
    expect(world.now(task, 'pread64', to, BUFFER, 100, 0)).toBe(12);
    expect(world.text(task, BUFFER, 12)).toBe('cdefabcdefgh');
  });

  it('sendfile waits for a full pipe', () => {
    const world = new FileWorld();
    const task = world.process();
    const from = world.open(task, '/from');
    world.now(task, 'ftruncate', from, 200_000);
    const [reader, writer] = pipe(world, task);
    const child = world.process(task);
    expect(world.call(child, 'sendfile', writer, from, 0, 200_000)).toBe('blocked');
    let got = 0;
    while (world.outcome(child) === 'blocked') got += world.now(task, 'read', reader, BUFFER, 50_000);
    expect(world.outcome(child)).toBe(200_000);
    while (got < 200_000) got += world.now(task, 'read', reader, BUFFER, 50_000);
    expect(got).toBe(200_000);
  });

  it('copy_file_range copies, also within a file, but not onto itself', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    world.write(task, fd, 'abcd');
    world.poke(task, VECTOR, [0, 0, 4, 0]);
    expect(world.now(task, 'copy_file_range', fd, VECTOR, fd, VECTOR + 8, 4, 0)).toBe(4);
    world.poke(task, VECTOR, [0, 0, 2, 0]);
    expect(world.now(task, 'copy_file_range', fd, VECTOR, fd, VECTOR + 8, 4, 0)).toBe(-EINVAL);
    expect(world.now(task, 'pread64', fd, BUFFER, 100, 0)).toBe(8);
    expect(world.text(task, BUFFER, 8)).toBe('abcdabcd');
  });

  it('splice goes between a pipe and a file', () => {
    const world = new FileWorld();
    const task = world.process();
    const from = world.open(task, '/from');
    const to = world.open(task, '/to');
    world.write(task, from, 'through the pipe');
    world.now(task, 'lseek', from, 0, SEEK_SET);
    const [reader, writer] = pipe(world, task);
    expect(world.now(task, 'splice', from, 0, writer, 0, 100, 0)).toBe(16);
    expect(world.now(task, 'splice', reader, 0, to, 0, 100, 0)).toBe(16);
    expect(world.now(task, 'pread64', to, BUFFER, 100, 0)).toBe(16);
    expect(world.text(task, BUFFER, 16)).toBe('through the pipe');
    expect(world.now(task, 'splice', reader, 0, to, 0, 100, abi.SPLICE_F_NONBLOCK)).toBe(-EAGAIN);
    expect(world.now(task, 'splice', from, 0, to, 0, 100, 0)).toBe(-EINVAL);
  });
});

describe('names and directories', () => {
  it('are listed', () => {
    const world = new FileWorld();
    const task = world.process();
    world.open(task, '/one');
    expect(world.now(task, 'mkdir', world.path(task, '/dir'), 0o755)).toBe(0);
    const fd = world.open(task, '/', O_RDONLY);
    const used = world.now(task, 'getdents64', fd, BUFFER, 4096);
    const view = world.peek(task, BUFFER, used);
    const names: string[] = [];
    for (let at = 0; at < used; at += view.getUint16(at + 16, true)) {
      let name = '';
      for (let i = at + 19; view.getUint8(i) !== 0; i++) name += String.fromCharCode(view.getUint8(i));
      names.push(`${view.getUint8(at + 18)} ${name}`);
    }
    expect(names.sort()).toEqual(['4 .', '4 ..', '4 dir', '8 one']);
    expect(world.now(task, 'getdents64', fd, BUFFER, 4096)).toBe(0);
    world.now(task, 'lseek', fd, 0, SEEK_SET);
    expect(world.now(task, 'getdents64', fd, BUFFER, 8)).toBe(-EINVAL);
  });

  it('are where one works', () => {
    const world = new FileWorld();
    const task = world.process();
    world.now(task, 'mkdir', world.path(task, '/dir'), 0o755);
    expect(world.now(task, 'chdir', world.path(task, 'dir'))).toBe(0);
    expect(world.now(task, 'getcwd', BUFFER, 100)).toBe(5);
    expect(world.text(task, BUFFER, 4)).toBe('/dir');
    expect(world.now(task, 'getcwd', BUFFER, 4)).toBe(-ERANGE);
    const file = world.open(task, 'file');
    expect(world.now(task, 'fchdir', file)).toBe(-ENOTDIR);
    world.path(task, 'other', PATH2);
    expect(world.now(task, 'renameat2', AT_FDCWD, world.path(task, 'file'), AT_FDCWD, PATH2, 0)).toBe(0);
    expect(world.now(task, 'access', world.path(task, '/dir/other'), 0)).toBe(0);
  });

  it('hold mounts', () => {
    const world = new FileWorld();
    const task = world.process();
    world.now(task, 'mkdir', world.path(task, '/mnt'), 0o755);
    world.path(task, 'tmpfs', PATH2);
    expect(world.now(task, 'mount', PATH2, PATH, PATH2, 0, 0)).toBe(0);
    world.open(task, '/mnt/file');
    expect(world.now(task, 'umount2', world.path(task, '/mnt'), 2)).toBe(0);
    expect(world.now(task, 'access', world.path(task, '/mnt/file'), 0)).toBeLessThan(0);
    const user = world.process(null, 1000);
    world.path(user, 'tmpfs', PATH2);
    expect(world.now(user, 'mount', PATH2, world.path(user, '/mnt'), PATH2, 0, 0)).toBe(-EPERM);
  });
});

describe('memfd_create', () => {
  it('makes a file with seals', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.now(task, 'memfd_create', world.path(task, 'name'), abi.MFD_ALLOW_SEALING | abi.MFD_CLOEXEC);
    expect(world.write(task, fd, 'sealed')).toBe(6);
    expect(world.stat(task, fd)).toEqual({ mode: 0o100777, size: 6, nlink: 0 });
    expect(world.now(task, 'fcntl', fd, abi.F_ADD_SEALS, abi.F_SEAL_WRITE | abi.F_SEAL_SEAL)).toBe(0);
    expect(world.now(task, 'fcntl', fd, abi.F_GET_SEALS, 0)).toBe(abi.F_SEAL_WRITE | abi.F_SEAL_SEAL);
    expect(world.write(task, fd, 'x')).toBe(-EPERM);
    expect(world.now(task, 'fcntl', fd, abi.F_ADD_SEALS, abi.F_SEAL_GROW)).toBe(-EPERM);
  });
});
