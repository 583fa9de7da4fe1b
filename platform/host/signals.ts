/**
 * Signals sent to the sandbox as a whole: from the terminal, from a supervisor.
 *
 * `forwardSignals` installs a machine-code handler that writes the number to the host's signal pipe; `Host.takeSignal` reads it. No
 * JavaScript runs in a handler. `quietChildStops` spares a SIGCHLD per guest stop, should Node have a handler for it.
 * Specification: sigaction(2).
 */
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';
import { mapCode } from './routine.ts';
import { must } from './errors.ts';

const SIGHUP = 1;
const SIGINT = 2;
const SIGQUIT = 3;
const SIGUSR1 = 10;
const SIGUSR2 = 12;
const SIGALRM = 14;
const SIGTERM = 15;
const SIGCHLD = 17;
const SIGCONT = 18;
const SIGTSTP = 20;
const SIGURG = 23;
const SIGWINCH = 28;
const SIGIO = 29;

/** The first that the C library leaves to programs, and the last there is. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;
const REAL_TIME = Array.from({ length: SIGRTMAX - SIGRTMIN + 1 }, (_, i) => SIGRTMIN + i);

/** What a terminal or a supervisor sends: systemd, for one, is stopped by SIGRTMIN+3. */
export const FORWARDED_SIGNALS: readonly number[] = [
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGUSR1,
  SIGUSR2,
  SIGALRM,
  SIGTERM,
  SIGCONT,
  SIGTSTP,
  SIGURG,
  SIGWINCH,
  SIGIO,
  ...REAL_TIME,
];

const SIG_UNBLOCK = 1;
/** glibc's sigset_t. */
const SIGNAL_SET_SIZE = 128;
const SA_NOCLDSTOP = 1;
const SA_RESTART = 0x1000_0000;
// glibc's struct sigaction: handler, 128 bytes of mask, flags, restorer (filled in by glibc).
const ACTION_SIZE = 152;
const MASK = 8;
const FLAGS = 136;

function setWord(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** Installs `handler` (machine code of `void handler(int)`) for `signals`; the result puts the previous actions back. */
export function forwardSignals(handler: Uint8Array, signals: readonly number[] = FORWARDED_SIGNALS): () => void {
  const address = mapCode(handler, 1);
  const memory = allocateMemory(ACTION_SIZE * (signals.length + 1));
  setWord(memory.view, 0, address);
  memory.bytes.fill(0xff, MASK, FLAGS); // no handler interrupts another
  memory.view.setInt32(FLAGS, SA_RESTART, true);
  const saved = (index: number): number => memory.address + ACTION_SIZE * (index + 1);
  for (const [index, signal] of signals.entries()) {
    // SAFETY: both structures lie in our memory; the handler's code is permanent and async-signal-safe.
    must('sigaction', libc.checked(libc.sigaction(signal, memory.address, saved(index))));
  }
  unblock(signals);
  return () => {
    // SAFETY: puts back what sigaction stored above.
    for (const [index, signal] of signals.entries()) libc.sigaction(signal, saved(index), 0);
  };
}

/** In this thread: Node was told not to open its inspector for SIGUSR1, and blocks it in all of them. */
function unblock(signals: readonly number[]): void {
  const set = allocateMemory(SIGNAL_SET_SIZE);
  for (const signal of signals) set.bytes[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  // SAFETY: one set in our memory.
  must('sigprocmask', libc.checked(libc.sigprocmask(SIG_UNBLOCK, set.address, 0)));
}

/** Asks the host not to send SIGCHLD for stops. Exits of ordinary children are still reported. */
export function quietChildStops(): void {
  const memory = allocateMemory(ACTION_SIZE);
  // SAFETY: one structure in our memory, read and written back with one more flag.
  must('sigaction', libc.checked(libc.sigaction(SIGCHLD, 0, memory.address)));
  memory.view.setInt32(FLAGS, memory.view.getInt32(FLAGS, true) | SA_NOCLDSTOP, true);
  must('sigaction', libc.checked(libc.sigaction(SIGCHLD, memory.address, 0)));
}
