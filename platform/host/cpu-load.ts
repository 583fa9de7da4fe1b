/**
 * Is the CPU that sentry and guests share contended, and which one would be better?
 *
 * Two sandboxes started at the same moment might choose the same CPU and stay on it while another idles. The sentry's own run-queue
 * delay (/proc/self/task/TID/schedstat) tells that somebody else wants this CPU; /proc/stat tells which CPU is idle. Both files are opened
 * at start-up, so that a confined sentry can still read them; where they are missing nothing is ever better. A random choice keeps
 * two sandboxes from moving in step.
 */
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';

const O_RDONLY_CLOEXEC = 0x80000;
const INTERVAL_NS = 100_000_000;
/** Part of the time spent waiting for the CPU from which on it counts as contended. */
const CONTENDED = 0.2;
/** Part of the time another CPU must have been idle to be worth a move. */
const IDLE_ENOUGH = 0.5;
const BUFFER_BYTES = 16384;

export class CpuLoad {
  readonly #cpus: readonly number[];
  readonly #delayFd: number;
  readonly #statFd: number;
  readonly #buffer = allocateMemory(BUFFER_BYTES);
  #nextLookNs = 0;
  #lastLookNs = 0;
  #lastDelayNs = 0;
  #lastIdle = new Map<number, number>();
  #lastTotal = new Map<number, number>();

  constructor(cpus: readonly number[]) {
    this.#cpus = cpus;
    const many = cpus.length > 1;
    // SAFETY: koffi copies the path for the duration of the call.
    this.#delayFd = many ? libc.open(`/proc/self/task/${libc.gettid()}/schedstat`, O_RDONLY_CLOEXEC, 0) : -1;
    this.#statFd = many ? libc.open('/proc/stat', O_RDONLY_CLOEXEC, 0) : -1;
  }

  /** A CPU to move to, or -1. Looks at most ten times a second. */
  betterCpu(current: number, nowNs: number): number {
    if (nowNs < this.#nextLookNs || this.#delayFd < 0) return -1;
    this.#nextLookNs = nowNs + INTERVAL_NS;
    const delay = Number(this.#text(this.#delayFd).split(' ')[1] ?? 0);
    const share = (delay - this.#lastDelayNs) / Math.max(nowNs - this.#lastLookNs, 1);
    const first = this.#lastLookNs === 0;
    this.#lastDelayNs = delay;
    this.#lastLookNs = nowNs;
    if (first || share < CONTENDED) return -1;
    const idlest = this.idlestCpu(current);
    return idlest !== current && Math.random() < 0.5 ? idlest : -1;
  }

  /** The CPU that was idle most since the last look, if it was idle enough; else `current`. */
  idlestCpu(current: number): number {
    if (this.#statFd < 0) return current;
    let best = current;
    let bestIdle = IDLE_ENOUGH;
    for (const line of this.#text(this.#statFd).split('\n')) {
      const match = /^cpu(\d+) (.*)$/.exec(line);
      if (match === null) continue;
      const cpu = Number(match[1]);
      const idle = this.#idleShare(cpu, match[2]!.split(' ').map(Number));
      if (!this.#cpus.includes(cpu) || cpu === current || idle <= bestIdle) continue;
      best = cpu;
      bestIdle = idle;
    }
    return best;
  }

  #idleShare(cpu: number, times: readonly number[]): number {
    const idle = (times[3] ?? 0) + (times[4] ?? 0);
    const total = times.slice(0, 8).reduce((sum, time) => sum + time, 0);
    const idleDelta = idle - (this.#lastIdle.get(cpu) ?? idle);
    const totalDelta = total - (this.#lastTotal.get(cpu) ?? total);
    this.#lastIdle.set(cpu, idle);
    this.#lastTotal.set(cpu, total);
    return totalDelta > 0 ? idleDelta / totalDelta : 0;
  }

  #text(fd: number): string {
    // SAFETY: the buffer is ours and of the length stated.
    const length = libc.pread(fd, this.#buffer.address, BUFFER_BYTES, 0);
    return length > 0 ? this.#buffer.latin1(0, length) : '';
  }
}
