/** Lines as strace(1) writes them, of calls made by a task in a small world. */
import { describe, expect, it } from 'vitest';
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_WRONLY } from '#sentry/abi/fs.ts';
import { F_GETFL, F_SETFD } from '#sentry/abi/fcntl.ts';
import { BUFFER, FileWorld, PATH, PATH2 } from '../../../test/unit/file-world.ts';
import type { Task } from '../../kernel/task.ts';
import { BLOCKED } from '../../kernel/wait.ts';
import { SyscallTable } from '../dispatch.ts';
import { OPEN_FLAGS } from '../open.ts';
import { ALL_ROWS } from '../table.ts';
import { formatCall } from './format-call.ts';
import { waitStatusText, sigsetText } from './signal-structs.ts';
import { StraceWriter } from './strace-writer.ts';
import { flagText, quote, quoteBuffer } from './text.ts';

const table = new SyscallTable(ALL_ROWS, 'x64');

function row(name: string) {
  return ALL_ROWS.find((candidate) => candidate.name === name)!;
}

/** The words a call has in `thread.call`. */
function words(name: string, ...args: readonly number[]): Uint32Array {
  const call = new Uint32Array(14);
  call[0] = row(name).nr.x64!;
  args.forEach((value, i) => {
    call[2 + 2 * i] = value >>> 0;
    call[3 + 2 * i] = value < 0 ? 0xffff_ffff : Math.floor(value / 2 ** 32);
  });
  return call;
}

/** Makes the call and formats it, without the padding before the result. */
function line(world: FileWorld, task: Task, name: string, ...args: readonly number[]): string {
  const result = world.now(task, name, ...args);
  return formatCall(task, row(name), words(name, ...args), result).replace(/ +=/, ' =');
}

describe('a line', () => {
  it('shows paths, flags, modes and errors', () => {
    const world = new FileWorld();
    const task = world.process();
    world.path(task, '/a "b"');
    expect(line(world, task, 'openat', AT_FDCWD, PATH, O_RDONLY | O_CLOEXEC, 0)).toBe(
      'openat(AT_FDCWD, "/a \\"b\\"", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)',
    );
    expect(line(world, task, 'open', PATH, O_RDWR | O_CREAT, 0o644)).toBe('open("/a \\"b\\"", O_RDWR|O_CREAT, 0644) = 0');
    expect(line(world, task, 'fcntl', 0, F_GETFL, 0)).toBe('fcntl(0, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)');
    expect(line(world, task, 'fcntl', 0, F_SETFD, 1)).toBe('fcntl(0, F_SETFD, FD_CLOEXEC) = 0');
    expect(line(world, task, 'umask', 0o77)).toBe('umask(077) = 022');
    expect(line(world, task, 'open', 8, O_WRONLY | O_CREAT | O_EXCL, 0)).toBe(
      'open(0x8, O_WRONLY|O_CREAT|O_EXCL, 0) = -1 EFAULT (Bad address)',
    );
  });

  it('shows buffers by their result and cuts them', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    const text = 'x'.repeat(40);
    task.memory.writeBytes(BUFFER, text);
    expect(line(world, task, 'write', fd, BUFFER, 40)).toBe(`write(0, "${'x'.repeat(32)}"..., 40) = 40`);
    expect(line(world, task, 'pread64', fd, BUFFER, 100, 38)).toBe('pread64(0, "xx", 100, 38) = 2');
    expect(line(world, task, 'read', 9, BUFFER, 100)).toBe('read(9, 0x110000, 100) = -1 EBADF (Bad file descriptor)');
  });

  it('shows structs', () => {
    const world = new FileWorld();
    const task = world.process();
    const fd = world.open(task, '/a');
    world.write(task, fd, 'hello');
    expect(line(world, task, 'fstat', fd, BUFFER)).toBe('fstat(0, {st_mode=S_IFREG|0644, st_size=5, ...}) = 0');
    world.poke(task, PATH2, [BUFFER, 0, 3, 0, BUFFER, 0, 2, 0]);
    task.memory.writeBytes(BUFFER, 'abc');
    expect(line(world, task, 'writev', fd, PATH2, 2)).toBe('writev(0, [{iov_base="abc", iov_len=3}, {iov_base="ab", iov_len=2}], 2) = 5');
    expect(line(world, task, 'pipe2', BUFFER, O_CLOEXEC)).toBe('pipe2([1, 2], O_CLOEXEC) = 0');
  });

  it('names what it does not know', () => {
    const world = new FileWorld();
    const task = world.process();
    const call = new Uint32Array(14);
    call[0] = 400;
    expect(formatCall(task, undefined, call, -38)).toContain('syscall_0x190() ');
  });
});

describe('pieces', () => {
  it('are written as C would', () => {
    expect(quote('a\n\x001\x7f\xff')).toBe('"a\\n\\0001\\177\\377"');
    expect(quoteBuffer('abc', 3)).toBe('"abc"');
    expect(flagText(O_SYNC | O_RDWR, OPEN_FLAGS)).toBe('O_RDWR|O_SYNC');
    expect(flagText(0, { PROT_NONE: 0, PROT_READ: 1 })).toBe('PROT_NONE');
    expect(flagText(9, { PROT_NONE: 0, PROT_READ: 1 })).toBe('PROT_READ|0x8');
    expect(sigsetText((1 << 1) | (1 << 16), 0)).toBe('[INT CHLD]');
    expect(waitStatusText(0x8b)).toBe('{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}');
    expect(waitStatusText(0x300)).toBe('{WIFEXITED(s) && WEXITSTATUS(s) == 3}');
  });
});

describe('a trace', () => {
  it('cuts a waiting call in two when another comes between', () => {
    const world = new FileWorld();
    const task = world.process();
    const child = world.process(task);
    const lines: string[] = [];
    const writer = new StraceWriter((text) => lines.push(text));
    const run = (who: Task, name: string, args: readonly number[], result: number): void => {
      who.thread.call.set(words(name, ...args));
      writer.enter(who, row(name));
      writer.leave(who, row(name), result);
    };
    run(task, 'read', [3, BUFFER, 10], BLOCKED);
    run(child, 'close', [4], 0);
    task.memory.writeBytes(BUFFER, 'x');
    task.wait.first = false;
    writer.leave(task, row('read'), 1);
    expect(lines).toEqual([
      '[pid     1] read(3,  <unfinished ...>',
      '[pid     2] close(4)                                = 0',
      '[pid     1] <... read resumed>"x", 10)              = 1',
    ]);
  });

  it('survives every row with wild arguments', () => {
    const world = new FileWorld();
    const task = world.process();
    for (const { name } of table.rows) {
      for (const value of [0, 8, -1, 2 ** 47, BUFFER]) {
        const call = words(name, value, value, value, value, value, value);
        for (const result of [0, 5, -14, 2 ** 40]) expect(formatCall(task, row(name), call, result)).toContain(name);
      }
    }
  });
});
