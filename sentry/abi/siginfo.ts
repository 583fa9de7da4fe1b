/**
 * `siginfo_t`: what a signal says about its origin. Held in the ABI's own layout, the first 48 bytes as twelve words; the rest of the 128
 * is always zero. So information from rt_sigqueueinfo(2) passes through unchanged whatever it means.
 *
 *     signo errno code 0 │ pid uid                           kill
 *                        │ timerid overrun value value       timer
 *                        │ pid uid value value               rt (sigqueue)
 *                        │ pid uid status 0 utime stime      child
 *                        │ address address lsb               fault
 *                        │ band band fd                      poll
 *                        │ address address number arch       sys
 *
 * Specification: sigaction(2), Linux uapi/asm-generic/siginfo.h.
 */
import {
  CLD_EXITED,
  POLL_HUP,
  POLL_IN,
  SEGV_MAPERR,
  SI_KERNEL,
  SI_QUEUE,
  SI_SIGIO,
  SI_TIMER,
  SI_USER,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGIO,
  SIGSEGV,
  SIGSYS,
  SIGTRAP,
} from './signal.ts';
import type { SI_TKILL } from './signal.ts';
import { SYS_SECCOMP } from './seccomp.ts';

/** Bytes of siginfo_t in guest memory. */
export const SIGINFO_SIZE = 128;
const WORDS = 12;

/** Which fields beyond signo, errno and code are meaningful (Linux siginfo_layout). */
export const SiginfoKind = { Kill: 0, Timer: 1, Poll: 2, Fault: 3, Child: 4, Rt: 5, Sys: 6 } as const;
export type SiginfoKind = (typeof SiginfoKind)[keyof typeof SiginfoKind];

export class SignalInfo {
  /** The words of siginfo_t, little endian as in guest memory. */
  readonly words = new Int32Array(WORDS);
  /** Next in a pending queue. */
  next: SignalInfo | null = null;
  /** Set for a POSIX timer's signal: the timer to look at when the signal is taken. */
  source: SignalSource | null = null;
  /** Sent from outside the PID namespace of its target, where init is not protected from SIGKILL and SIGSTOP. */
  fromOutside = false;

  constructor(signo: number, code: number) {
    this.words[0] = signo;
    this.words[2] = code;
  }

  get signo(): number {
    return this.words[0]!;
  }
  get errno(): number {
    return this.words[1]!;
  }
  get code(): number {
    return this.words[2]!;
  }
  get pid(): number {
    return this.words[4]!;
  }
  get uid(): number {
    return this.words[5]! >>> 0;
  }
  get timerId(): number {
    return this.words[4]!;
  }
  get overrun(): number {
    return this.words[5]!;
  }
  set overrun(count: number) {
    this.words[5] = count;
  }
  get status(): number {
    return this.words[6]!;
  }
  get valueLow(): number {
    return this.words[6]! >>> 0;
  }
  get valueHigh(): number {
    return this.words[7]! >>> 0;
  }
  get utime(): number {
    return this.words[8]! >>> 0;
  }
  get stime(): number {
    return this.words[10]! >>> 0;
  }
  get addressLow(): number {
    return this.words[4]! >>> 0;
  }
  get addressHigh(): number {
    return this.words[5]! >>> 0;
  }
  get band(): number {
    return this.words[4]!;
  }
  get fd(): number {
    return this.words[6]!;
  }

  get kind(): SiginfoKind {
    return kindOf(this.signo, this.code);
  }

  /** Writes all 128 bytes. */
  encode(view: DataView, offset: number): void {
    for (let i = 0; i < WORDS; i++) view.setInt32(offset + 4 * i, this.words[i]!, true);
    for (let i = 4 * WORDS; i < SIGINFO_SIZE; i += 4) view.setInt32(offset + i, 0, true);
  }

  /** From guest memory (rt_sigqueueinfo): the first 48 of 128 bytes. The caller sets signo. */
  static decode(view: DataView, offset: number, signo: number): SignalInfo {
    const info = new SignalInfo(signo, 0);
    for (let i = 1; i < WORDS; i++) info.words[i] = view.getInt32(offset + 4 * i, true);
    return info;
  }

  /** kill(2), tkill(2), or raise by the terminal when `code` is SI_KERNEL (pid 0). */
  static user(signo: number, code: typeof SI_USER | typeof SI_TKILL, pid: number, uid: number): SignalInfo {
    const info = new SignalInfo(signo, code);
    info.words[4] = pid;
    info.words[5] = uid;
    return info;
  }

  /** From the kernel itself, with nothing else to say. */
  static kernel(signo: number): SignalInfo {
    return new SignalInfo(signo, SI_KERNEL);
  }

  /** A child's change of state; times in clock ticks (100 a second). */
  static child(code: number, pid: number, uid: number, status: number, utime: number, stime: number): SignalInfo {
    const info = new SignalInfo(SIGCHLD, code);
    info.words[4] = pid;
    info.words[5] = uid;
    info.words[6] = status;
    info.words[8] = utime;
    info.words[10] = stime;
    return info;
  }

  static timer(signo: number, timerId: number, valueLow: number, valueHigh: number): SignalInfo {
    const info = new SignalInfo(signo, SI_TIMER);
    info.words[4] = timerId;
    info.words[6] = valueLow;
    info.words[7] = valueHigh;
    return info;
  }

  static queued(signo: number, pid: number, uid: number, valueLow: number, valueHigh: number): SignalInfo {
    const info = new SignalInfo(signo, SI_QUEUE);
    info.words[4] = pid;
    info.words[5] = uid;
    info.words[6] = valueLow;
    info.words[7] = valueHigh;
    return info;
  }

  static fault(signo: number, code: number, addressLow: number, addressHigh: number): SignalInfo {
    const info = new SignalInfo(signo, code);
    info.words[4] = addressLow;
    info.words[5] = addressHigh;
    return info;
  }

  /** SIGSYS of a seccomp filter for a call made at `address`; `errno`: the data of the filter's verdict. */
  static systemCall(errno: number, addressLow: number, addressHigh: number, number: number, architecture: number): SignalInfo {
    const info = new SignalInfo(SIGSYS, SYS_SECCOMP);
    info.words[1] = errno;
    info.words[4] = addressLow;
    info.words[5] = addressHigh;
    info.words[6] = number;
    info.words[7] = architecture;
    return info;
  }

  /** F_SETSIG notification: `code` POLL_*, `band` POLL* events. */
  static poll(signo: number, code: number, band: number, fd: number): SignalInfo {
    const info = new SignalInfo(signo, code);
    info.words[4] = band;
    info.words[6] = fd;
    return info;
  }
}

/** Whoever fills in a signal's information at the moment it is taken (a timer its overrun count). */
export interface SignalSource {
  /** `info` leaves the queue to be delivered. Returns false when it is stale and must be dropped. */
  taken(info: SignalInfo): boolean;
}

function kindOf(signo: number, code: number): SiginfoKind {
  if (code > SI_USER && code < SI_KERNEL) {
    switch (signo) {
      case SIGILL:
      case SIGFPE:
      case SIGSEGV:
      case SIGBUS:
      case SIGTRAP:
        return code >= SEGV_MAPERR ? SiginfoKind.Fault : SiginfoKind.Kill;
      case SIGCHLD:
        return code >= CLD_EXITED && code <= 6 ? SiginfoKind.Child : SiginfoKind.Kill;
      case SIGIO:
        return code >= POLL_IN && code <= POLL_HUP ? SiginfoKind.Poll : SiginfoKind.Kill;
      case SIGSYS:
        return SiginfoKind.Sys;
      default:
        return code <= POLL_HUP ? SiginfoKind.Poll : SiginfoKind.Kill;
    }
  }
  if (code === SI_TIMER) return SiginfoKind.Timer;
  if (code === SI_SIGIO) return SiginfoKind.Poll;
  return code < 0 ? SiginfoKind.Rt : SiginfoKind.Kill;
}
