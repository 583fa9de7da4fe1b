/** Job control at a pseudo-terminal: a session leader, its jobs, and the terminal's end. */
import { describe, expect, test } from 'vitest';
import { EIO, ENOTTY, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from '#sentry/abi/fs.ts';
import { SIG_IGN, SIGCONT, SIGHUP, SIGINT, SIGTTIN, SIGTTOU, SIGWINCH } from '#sentry/abi/signal.ts';
import {
  ECHO,
  ICANON,
  TCGETS,
  TCSETS,
  TIOCGPGRP,
  TIOCGSID,
  TIOCNOTTY,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSWINSZ,
  TOSTOP,
} from '#sentry/abi/termios.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { DEVPTS_DEFAULTS, DevptsFileSystem } from '#sentry/fs/devpts/devpts-file-system.ts';
import type { TerminalNode } from '#sentry/fs/devpts/node.ts';
import { Dentry } from '#sentry/vfs/dentry.ts';
import { DATA, KernelWorld } from '../../../test/unit/kernel-world.ts';
import type { TerminalControl } from './terminal-control.ts';
import { TERMINAL_SERVICES } from './terminals.ts';

const WORD = DATA + 0x100;
const BUFFER = DATA + 0x1000;

/** Init holds masters; `leader` is a session leader of its own, with no terminal yet. */
class Bench extends KernelWorld {
  readonly init = this.process();
  readonly leader = this.newSession();
  readonly pts = new DevptsFileSystem(9, this.kernel.anonymous, TERMINAL_SERVICES, DEVPTS_DEFAULTS);

  newSession(): Task {
    const task = this.process(this.init);
    this.call(task, 'setsid');
    return task;
  }

  /** A new terminal: the descriptor of its master in init, and its node. */
  master(): { fd: number; node: TerminalNode } {
    const file = this.pts.openMaster(new Dentry('ptmx', null, this.pts.ptmx).acquire(), O_RDWR | O_NONBLOCK, this.init);
    if (typeof file === 'number') throw new Error(`ptmx: ${file}`);
    const node = [...this.pts.nodes.values()].at(-1)!;
    node.locked = false;
    return { fd: this.init.files.install(file, false), node };
  }

  open(task: Task, node: TerminalNode, flags = O_RDWR): number {
    const file = node.openTerminal(new Dentry(String(node.index), null, node).acquire(), flags, task);
    return typeof file === 'number' ? file : task.files.install(file, false);
  }

  /** A child of `leader` in a process group of its own, with the leader's descriptors. */
  job(): Task {
    const task = this.process(this.leader);
    for (let fd = this.leader.files.nextOpen(0); fd >= 0; fd = this.leader.files.nextOpen(fd + 1)) {
      task.files.replace(fd, this.leader.files.get(fd)!.acquire(), false);
    }
    this.call(task, 'setpgid', 0, 0);
    return task;
  }

  ioctl(task: Task, fd: number, request: number, argument = WORD): ReturnType<KernelWorld['call']> {
    return this.call(task, 'ioctl', fd, request, argument);
  }

  word(task: Task): number {
    return this.peek(task, WORD, 4).getUint32(0, true);
  }

  type(fd: number, text: string): void {
    this.put(this.init, text);
    if (this.call(this.init, 'write', fd, BUFFER, text.length) !== text.length) throw new Error('not typed');
  }

  put(task: Task, text: string): void {
    const words: number[] = [];
    for (let i = 0; i < text.length; i += 4)
      words.push([0, 1, 2, 3].reduce((word, j) => word | ((text.charCodeAt(i + j) || 0) << (8 * j)), 0));
    this.poke(task, BUFFER, words);
  }

  ignore(task: Task, signo: number): void {
    task.group.handlers.own().handler[signo] = SIG_IGN;
  }

  setFlags(task: Task, fd: number, lflag: number): void {
    this.ioctl(task, fd, TCGETS);
    this.poke(task, WORD + 12, [lflag]);
    if (this.ioctl(task, fd, TCSETS) !== 0) throw new Error('not set');
  }
}

describe('getting a controlling terminal', () => {
  test('a session leader gets the first one it opens', () => {
    const bench = new Bench();
    const { leader } = bench;
    const { node } = bench.master();
    const quiet = bench.open(leader, node, O_RDWR | O_NOCTTY);
    expect(bench.ioctl(leader, quiet, TIOCGPGRP)).toBe(-ENOTTY);
    const writer = bench.open(leader, node, O_WRONLY);
    expect(bench.ioctl(leader, writer, TIOCGSID)).toBe(-ENOTTY);
    const fd = bench.open(leader, node, O_RDONLY);
    expect(bench.ioctl(leader, fd, TIOCGSID)).toBe(0);
    expect(bench.word(leader)).toBe(leader.tid);
    expect(bench.ioctl(leader, quiet, TIOCGPGRP)).toBe(0);
    expect(bench.word(leader)).toBe(leader.tid);
    // A second terminal does not replace it.
    const second = bench.open(leader, bench.master().node);
    expect(bench.ioctl(leader, second, TIOCGPGRP)).toBe(-ENOTTY);
    expect(bench.ioctl(leader, second, TIOCSCTTY, 0)).toBe(-EPERM);
  });

  test('others do not, and nobody takes it away', () => {
    const bench = new Bench();
    const { node } = bench.master();
    const fd = bench.open(bench.leader, node);
    const job = bench.job();
    expect(bench.ioctl(job, fd, TIOCSCTTY, 0)).toBe(-EPERM);
    const stranger = bench.newSession();
    const theirs = bench.open(stranger, node);
    expect(bench.ioctl(stranger, theirs, TIOCGPGRP)).toBe(-ENOTTY);
    expect(bench.ioctl(stranger, theirs, TIOCSCTTY, 0)).toBe(-EPERM);
    // But the superuser, when he says so.
    expect(bench.ioctl(stranger, theirs, TIOCSCTTY, 1)).toBe(0);
    expect(bench.ioctl(bench.leader, fd, TIOCGPGRP)).toBe(-ENOTTY);
  });

  test('the master may ask', () => {
    const bench = new Bench();
    const { fd, node } = bench.master();
    expect(bench.ioctl(bench.init, fd, TIOCGPGRP)).toBe(0);
    expect(bench.word(bench.init)).toBe(0);
    expect(bench.ioctl(bench.init, fd, TIOCGSID)).toBe(-ENOTTY);
    bench.open(bench.leader, node);
    expect(bench.ioctl(bench.init, fd, TIOCGPGRP)).toBe(0);
    expect(bench.word(bench.init)).toBe(bench.leader.tid);
  });
});

describe('foreground and background', () => {
  test('a background reader is stopped, and reads once it is in front', () => {
    const bench = new Bench();
    const { fd: master, node } = bench.master();
    const tty = bench.open(bench.leader, node);
    const job = bench.job();
    expect(bench.call(job, 'read', tty, BUFFER, 100)).toBe('stopped');
    bench.poke(bench.leader, WORD, [job.tid]);
    expect(bench.ioctl(bench.leader, tty, TIOCSPGRP)).toBe(0);
    bench.call(bench.leader, 'kill', -job.tid, SIGCONT);
    bench.type(master, 'line\r');
    // The call was stopped before it began: the guest makes it again.
    expect(bench.call(job, 'read', tty, BUFFER, 100)).toBe(5);
  });

  test('those who ignore SIGTTIN get EIO', () => {
    const bench = new Bench();
    const tty = bench.open(bench.leader, bench.master().node);
    const job = bench.job();
    bench.ignore(job, SIGTTIN);
    expect(bench.call(job, 'read', tty, BUFFER, 1)).toBe(-EIO);
  });

  test('background output is stopped with TOSTOP only; who ignores SIGTTOU writes', () => {
    const bench = new Bench();
    const tty = bench.open(bench.leader, bench.master().node);
    const job = bench.job();
    expect(bench.call(job, 'write', tty, BUFFER, 1)).toBe(1);
    bench.setFlags(bench.leader, tty, ICANON | ECHO | TOSTOP);
    const other = bench.job();
    bench.ignore(other, SIGTTOU);
    expect(bench.call(other, 'write', tty, BUFFER, 1)).toBe(1);
    expect(bench.call(job, 'write', tty, BUFFER, 1)).toBe('stopped');
  });

  test('changing the terminal from the background stops', () => {
    const bench = new Bench();
    const tty = bench.open(bench.leader, bench.master().node);
    const job = bench.job();
    expect(bench.ioctl(job, tty, TCGETS)).toBe(0);
    expect(bench.ioctl(job, tty, TCSETS)).toBe('stopped');
    const other = bench.job();
    bench.poke(other, WORD, [other.tid]);
    expect(bench.ioctl(other, tty, TIOCSPGRP)).toBe('stopped');
  });

  test('only groups of the session can be put in front', () => {
    const bench = new Bench();
    const tty = bench.open(bench.leader, bench.master().node);
    for (const [pgid, result] of [
      [bench.init.tid, -EPERM],
      [4_000_000, -ESRCH],
    ] as const) {
      bench.poke(bench.leader, WORD, [pgid]);
      expect(bench.ioctl(bench.leader, tty, TIOCSPGRP)).toBe(result);
    }
  });

  test('keys and window size reach the foreground alone', () => {
    const bench = new Bench();
    const { fd: master, node } = bench.master();
    const tty = bench.open(bench.leader, node);
    const job = bench.job();
    bench.poke(bench.leader, WORD, [job.tid]);
    bench.ioctl(bench.leader, tty, TIOCSPGRP);
    for (const task of [bench.leader, job]) for (const signo of [SIGINT, SIGWINCH]) task.signals.blocked.add(signo);
    bench.type(master, '\x03');
    bench.poke(bench.init, WORD, [0x0050_0018, 0]);
    expect(bench.ioctl(bench.init, master, TIOCSWINSZ)).toBe(0);
    expect([SIGINT, SIGWINCH].map((signo) => job.group.signals.pending.has(signo))).toEqual([true, true]);
    expect([SIGINT, SIGWINCH].map((signo) => bench.leader.group.signals.pending.has(signo))).toEqual([false, false]);
  });

  test('when the foreground group has gone the others are still behind', () => {
    const bench = new Bench();
    const tty = bench.open(bench.leader, bench.master().node);
    const job = bench.job();
    bench.poke(bench.leader, WORD, [job.tid]);
    bench.ioctl(bench.leader, tty, TIOCSPGRP);
    bench.call(job, 'exit_group', 0);
    bench.call(bench.leader, 'wait4', job.tid, 0, 0, 0);
    expect(bench.ioctl(bench.leader, tty, TIOCGPGRP)).toBe(0);
    expect(bench.word(bench.leader)).toBe(job.tid);
    bench.ignore(bench.leader, SIGTTIN);
    expect(bench.call(bench.leader, 'read', tty, BUFFER, 1)).toBe(-EIO);
  });
});

describe('ends', () => {
  const pending = (task: Task): readonly boolean[] => [SIGHUP, SIGCONT].map((signo) => task.group.signals.pending.has(signo));

  function pair(): { bench: Bench; master: number; tty: number; job: Task } {
    const bench = new Bench();
    const { fd: master, node } = bench.master();
    const tty = bench.open(bench.leader, node);
    const job = bench.job();
    bench.poke(bench.leader, WORD, [job.tid]);
    bench.ioctl(bench.leader, tty, TIOCSPGRP);
    for (const task of [bench.leader, job]) for (const signo of [SIGHUP, SIGCONT]) task.signals.blocked.add(signo);
    return { bench, master, tty, job };
  }

  test('hang-up: first the leader hears of it, the foreground when the leader has gone', () => {
    const { bench, master, tty, job } = pair();
    bench.call(bench.init, 'close', master);
    expect(pending(bench.leader)).toEqual([true, true]);
    expect(pending(job)).toEqual([false, false]);
    expect(bench.call(job, 'read', tty, BUFFER, 1)).toBe(0);
    expect(bench.ioctl(bench.leader, tty, TIOCGPGRP)).toBe(-EIO);
    bench.call(bench.leader, 'exit_group', 0);
    expect(pending(job)).toEqual([true, true]);
  });

  test('the leader ends: the foreground gets SIGHUP, the session has no terminal', () => {
    const { bench, tty, job } = pair();
    bench.call(bench.leader, 'exit_group', 0);
    expect(pending(job)[0]).toBe(true);
    expect(bench.ioctl(job, tty, TIOCGPGRP)).toBe(-ENOTTY);
    // Somebody else may have it now.
    const next = bench.newSession();
    expect(bench.ioctl(next, bench.open(next, bench.pts.nodes.get(0)!), TIOCGPGRP)).toBe(0);
  });

  test('giving it up', () => {
    const { bench, tty, job } = pair();
    expect(bench.ioctl(job, tty, TIOCNOTTY)).toBe(0);
    expect(bench.ioctl(job, tty, TIOCGPGRP)).toBe(-ENOTTY);
    expect(bench.ioctl(bench.leader, tty, TIOCGPGRP)).toBe(0);
    expect(bench.ioctl(bench.leader, tty, TIOCNOTTY)).toBe(0);
    expect(pending(job)).toEqual([true, true]);
    expect(bench.ioctl(bench.leader, tty, TIOCNOTTY)).toBe(-ENOTTY);
  });

  test('/dev/tty is the session’s terminal while it has one', () => {
    const { bench, job } = pair();
    const control = bench.leader.group.processGroup.session.terminal as TerminalControl;
    const opened = control.open(new Dentry('tty', null, bench.pts.nodes.get(0)!).acquire(), O_RDWR | O_NOCTTY, job);
    expect(typeof opened).toBe('object');
    control.hangup();
    expect(bench.leader.group.processGroup.session.terminal).toBeNull();
  });
});
