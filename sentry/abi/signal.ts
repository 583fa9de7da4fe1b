/**
 * Signals as the ABI sees them: numbers, action flags, si_code values, `sigset_t`, `stack_t`, `struct sigaction` as rt_sigaction(2) takes
 * it on x86-64. `siginfo_t` has its own file.
 *
 * `SignalSet` is sigset_t as two 32-bit words; bit n-1 stands for signal n. All operations work in place and allocate nothing.
 *
 * Specification: signal(7), sigaction(2), Linux asm-generic/signal.h, asm-generic/siginfo.h.
 */
import { i32, struct, u64, words } from './layout.ts';
import type { ValueOf } from './layout.ts';

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGSTKFLT = 16;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGURG = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGIO = 29;
export const SIGPWR = 30;
export const SIGSYS = 31;
/** First real-time signal (glibc keeps 32 and 33 for itself). */
export const SIGRTMIN = 32;
/** Last signal (`_NSIG`). */
export const SIGNAL_MAX = 64;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const SA_NOCLDSTOP = 0x0000_0001;
export const SA_NOCLDWAIT = 0x0000_0002;
export const SA_SIGINFO = 0x0000_0004;
export const SA_UNSUPPORTED = 0x0000_0400;
export const SA_EXPOSE_TAGBITS = 0x0000_0800;
export const SA_RESTORER = 0x0400_0000;
export const SA_ONSTACK = 0x0800_0000;
export const SA_RESTART = 0x1000_0000;
export const SA_NODEFER = 0x4000_0000;
export const SA_RESETHAND = 0x8000_0000;
/** Flags the kernel knows; others are cleared from what rt_sigaction stores (Linux UAPI_SA_FLAGS plus the arch's SA_RESTORER). */
export const SA_KNOWN_FLAGS =
  (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_EXPOSE_TAGBITS | SA_RESTORER | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND) >>> 0;

export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const SIG_SETMASK = 2;

export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
export const SS_AUTODISARM = 0x8000_0000;
/** Smallest alternate stack sigaltstack(2) takes (the historic constant; see `minimumAltStack` for what a frame needs). */
export const MINSIGSTKSZ = 2048;

/** si_code: who sent it. */
export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_QUEUE = -1;
export const SI_TIMER = -2;
export const SI_MESGQ = -3;
export const SI_ASYNCIO = -4;
export const SI_SIGIO = -5;
export const SI_TKILL = -6;
export const ILL_ILLOPN = 2;
export const FPE_INTDIV = 1;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRALN = 1;
export const BUS_ADRERR = 2;
export const TRAP_BRKPT = 1;
export const TRAP_TRACE = 2;
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_DUMPED = 3;
export const CLD_TRAPPED = 4;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;
export const POLL_IN = 1;
export const POLL_OUT = 2;
export const POLL_MSG = 3;
export const POLL_ERR = 4;
export const POLL_PRI = 5;
export const POLL_HUP = 6;

/** sigevent.sigev_notify. */
export const SIGEV_SIGNAL = 0;
export const SIGEV_NONE = 1;
export const SIGEV_THREAD = 2;
export const SIGEV_THREAD_ID = 4;

/** Bytes of `sigset_t` as the kernel knows it; the `sigsetsize` argument must say so. */
export const SIGSET_SIZE = 8;

/** `struct sigaction` of rt_sigaction(2) on x86-64; `mask` as [low, high] words. */
export const SigactionLayout = struct('sigaction', { handler: u64, flags: u64, restorer: u64, mask: words });

/** `stack_t`. */
export const StackLayout = struct('stack_t', { address: u64, flags: i32, size: u64 });
export type StackLayout = ValueOf<typeof StackLayout>;

/** `struct sigevent`; `value` is the sigval union. */
export const SigeventLayout = struct('sigevent', { value: words, signo: i32, notify: i32, threadId: i32 });
/** Bytes of `struct sigevent` in guest memory (padded for fields not used yet). */
export const SIGEVENT_SIZE = 64;

/** A set of signals. Signal numbers are 1 to 64; callers check. */
export class SignalSet {
  /** Signals 1 to 32, unsigned. */
  low: number;
  /** Signals 33 to 64, unsigned. */
  high: number;

  constructor(low = 0, high = 0) {
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  static of(...signals: readonly number[]): SignalSet {
    const set = new SignalSet();
    for (const signo of signals) set.add(signo);
    return set;
  }

  has(signo: number): boolean {
    return signo <= 32 ? (this.low & (1 << (signo - 1))) !== 0 : (this.high & (1 << (signo - 33))) !== 0;
  }
  add(signo: number): void {
    if (signo <= 32) this.low = (this.low | (1 << (signo - 1))) >>> 0;
    else this.high = (this.high | (1 << (signo - 33))) >>> 0;
  }
  remove(signo: number): void {
    if (signo <= 32) this.low = (this.low & ~(1 << (signo - 1))) >>> 0;
    else this.high = (this.high & ~(1 << (signo - 33))) >>> 0;
  }
  set(low: number, high: number): void {
    this.low = low >>> 0;
    this.high = high >>> 0;
  }
  assign(other: SignalSet): void {
    this.low = other.low;
    this.high = other.high;
  }
  addAll(low: number, high: number): void {
    this.low = (this.low | low) >>> 0;
    this.high = (this.high | high) >>> 0;
  }
  removeAll(low: number, high: number): void {
    this.low = (this.low & ~low) >>> 0;
    this.high = (this.high & ~high) >>> 0;
  }
  clear(): void {
    this.low = 0;
    this.high = 0;
  }
  get isEmpty(): boolean {
    return this.low === 0 && this.high === 0;
  }
  intersects(other: SignalSet): boolean {
    return (this.low & other.low) !== 0 || (this.high & other.high) !== 0;
  }
  /** Whether a member is missing from `mask`: a pending signal that is not blocked. */
  hasOutside(mask: SignalSet): boolean {
    return (this.low & ~mask.low) !== 0 || (this.high & ~mask.high) !== 0;
  }
  /** Lowest signal in the set that is not in `mask`, 0 when there is none. */
  firstOutside(mask: SignalSet): number {
    return firstSignal(this.low & ~mask.low, this.high & ~mask.high);
  }
  clone(): SignalSet {
    return new SignalSet(this.low, this.high);
  }
}

/** Lowest signal in the given words, 0 when they are empty. */
export function firstSignal(low: number, high: number): number {
  if (low !== 0) return 32 - Math.clz32(low & -low);
  if (high !== 0) return 64 - Math.clz32(high & -high);
  return 0;
}

/** Words of the signals no mask may hold. */
export const UNBLOCKABLE_LOW = ((1 << (SIGKILL - 1)) | (1 << (SIGSTOP - 1))) >>> 0;

export function isValidSignal(signo: number): boolean {
  return signo >= 1 && signo <= SIGNAL_MAX;
}

/** What a signal does to a process that has no handler for it. */
export const DefaultAction = { Terminate: 0, Core: 1, Ignore: 2, Stop: 3, Continue: 4 } as const;
export type DefaultAction = (typeof DefaultAction)[keyof typeof DefaultAction];

export function defaultAction(signo: number): DefaultAction {
  switch (signo) {
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
      return DefaultAction.Core;
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return DefaultAction.Ignore;
    case SIGCONT:
      return DefaultAction.Continue;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return DefaultAction.Stop;
    default:
      return DefaultAction.Terminate;
  }
}

/** Stop signals, which SIGCONT takes out of every queue. */
export const STOP_SIGNALS_LOW = ((1 << (SIGSTOP - 1)) | (1 << (SIGTSTP - 1)) | (1 << (SIGTTIN - 1)) | (1 << (SIGTTOU - 1))) >>> 0;
/** Raised by the thread's own instructions: delivered before all others (Linux SYNCHRONOUS_MASK). */
export const SYNCHRONOUS_LOW =
  ((1 << (SIGSEGV - 1)) | (1 << (SIGBUS - 1)) | (1 << (SIGILL - 1)) | (1 << (SIGTRAP - 1)) | (1 << (SIGFPE - 1)) | (1 << (SIGSYS - 1))) >>>
  0;

const NAMES: readonly string[] = [
  '0',
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
];

/** Name as strace prints it: SIGINT, SIGRTMIN, SIGRT_1 … */
export function signalName(signo: number): string {
  const name = NAMES[signo];
  if (name !== undefined) return name;
  if (signo === SIGRTMIN) return 'SIGRTMIN';
  return isValidSignal(signo) ? `SIGRT_${signo - SIGRTMIN}` : String(signo);
}
