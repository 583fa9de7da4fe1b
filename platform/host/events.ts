/**
 * Host events: watched descriptors, the alarm, signals sent to the sandbox. All end in one epoll descriptor.
 *
 * The platform waits on that descriptor (by its bell, or directly when no guest runs), calls `collect`, and returns null to the
 * kernel loop if anything came; the kernel then fetches it with `takeEvents` and `takeSignal`.
 *
 * The alarm is a timerfd that is touched as rarely as possible: it is programmed only before a blocking wait, and only when it would
 * fire too late; firing too early costs one look at the clock. The tick is a second timer for the platform's own use.
 * Specification: epoll(7), timerfd_create(2).
 */
import { FIRST_USER_TOKEN } from '../contract/host.ts';
import * as libc from './libc.ts';
import { must } from './errors.ts';
import { allocateMemory } from './memory.ts';

/** Tokens of the host's own descriptors. */
export const SIGNAL_TOKEN = 1;
export const ALARM_TOKEN = 2;
const TICK_TOKEN = 3;
const EXIT_TOKEN = 4;

const EPOLLIN = 1;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLL_CLOEXEC = 0x80000;
const TFD_FLAGS = 0x80800; // TFD_CLOEXEC | TFD_NONBLOCK
const TFD_TIMER_ABSTIME = 1;
const PIPE_FLAGS = 0x80800; // O_CLOEXEC | O_NONBLOCK
const CLOCK_MONOTONIC = 1;
const EEXIST = 17;
const EVENT_SIZE = 12; // struct epoll_event is packed on x86-64
const MAX_EVENTS = 128;
const SECOND = 1_000_000_000;

// Offsets in the class's page of memory.
const EVENTS = 0;
const CONTROL = 2048;
const TIMER = 2064;
const POLLFD = 2128;
const TIMEOUT = 2144;
const CLOCK = 2160;
const DRAIN = 2304;
const DRAIN_BYTES = 256;

export class HostEvents {
  readonly epollFd: number;
  /** The signal handler writes signal numbers here. */
  readonly signalWriteFd: number;
  /** A signal handler writes here when a guest process ends (platforms that learn of it by a signal). */
  readonly exitWriteFd: number;
  readonly exitReadFd: number;
  readonly #signalReadFd: number;
  readonly #alarmFd: number;
  readonly #tickFd: number;
  readonly #memory = allocateMemory(4096);
  readonly #view = this.#memory.view;
  readonly #clock = new Uint32Array(this.#memory.bytes.buffer, CLOCK, 4);
  /** Collected but not yet taken: pairs [token, events]. */
  readonly #pending = new Int32Array(MAX_EVENTS * 2);
  #pendingCount = 0;
  readonly #tokens = new Map<number, number>();
  readonly #signals: number[] = [];
  #alarmNs = Infinity;
  #programmedNs = Infinity;
  #ticked = false;
  #exited = false;

  constructor() {
    // SAFETY: these calls create descriptors; the pipe's two numbers go to our own page.
    this.epollFd = must('epoll_create1', libc.checked(libc.epollCreate(EPOLL_CLOEXEC)));
    this.#alarmFd = must('timerfd_create', libc.checked(libc.timerfdCreate(CLOCK_MONOTONIC, TFD_FLAGS)));
    this.#tickFd = must('timerfd_create', libc.checked(libc.timerfdCreate(CLOCK_MONOTONIC, TFD_FLAGS)));
    must('pipe2', libc.checked(libc.pipe2(this.#memory.address + CONTROL, PIPE_FLAGS)));
    this.#signalReadFd = this.#view.getInt32(CONTROL, true);
    this.signalWriteFd = this.#view.getInt32(CONTROL + 4, true);
    must('pipe2', libc.checked(libc.pipe2(this.#memory.address + CONTROL, PIPE_FLAGS)));
    this.exitReadFd = this.#view.getInt32(CONTROL, true);
    this.exitWriteFd = this.#view.getInt32(CONTROL + 4, true);
    must('epoll_ctl', this.#control(EPOLL_CTL_ADD, this.#signalReadFd, EPOLLIN, SIGNAL_TOKEN));
    must('epoll_ctl', this.#control(EPOLL_CTL_ADD, this.#alarmFd, EPOLLIN, ALARM_TOKEN));
    must('epoll_ctl', this.#control(EPOLL_CTL_ADD, this.#tickFd, EPOLLIN, TICK_TOKEN));
    must('epoll_ctl', this.#control(EPOLL_CTL_ADD, this.exitReadFd, EPOLLIN, EXIT_TOKEN));
  }

  watch(fd: number, events: number, token: number): number {
    if (token < FIRST_USER_TOKEN) throw new RangeError(`watch: token ${token} is reserved`);
    let result = this.#control(EPOLL_CTL_ADD, fd, events, token);
    if (result === -EEXIST) result = this.#control(EPOLL_CTL_MOD, fd, events, token);
    if (result === 0) this.#tokens.set(fd, token);
    return result;
  }

  unwatch(fd: number): number {
    const token = this.#tokens.get(fd);
    if (token !== undefined) {
      this.#tokens.delete(fd);
      this.#dropPending(token);
    }
    return this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Looks for reports without waiting; true when the kernel loop should look, because of them or because the alarm is due. */
  collect(): boolean {
    const room = MAX_EVENTS - this.#pendingCount;
    // SAFETY: `room` entries fit the area at EVENTS.
    const count = room > 0 ? libc.epollWait(this.epollFd, this.#memory.address + EVENTS, room, 0) : 0;
    for (let i = 0; i < count; i += 1) {
      const at = EVENTS + i * EVENT_SIZE;
      this.#accept(this.#view.getInt32(at + 4, true), this.#view.getInt32(at, true));
    }
    return this.#pendingCount > 0 || this.alarmDue();
  }

  takeEvents(into: Int32Array): number {
    this.collect();
    const count = Math.min(this.#pendingCount, into.length >> 1);
    for (let i = 0; i < count * 2; i += 1) into[i] = this.#pending[i]!;
    this.#pending.copyWithin(0, count * 2, this.#pendingCount * 2);
    this.#pendingCount -= count;
    return count;
  }

  takeSignal(): number {
    if (this.#signals.length === 0) this.#readSignals();
    return this.#signals.shift() ?? 0;
  }

  setAlarm(deadlineNs: number): void {
    this.#alarmNs = deadlineNs;
  }

  alarmDue(): boolean {
    return this.#alarmNs !== Infinity && this.monotonicNs() >= this.#alarmNs;
  }

  /** Called before a wait that only the epoll descriptor can end: makes the timer fire no later than the alarm. */
  programAlarm(): void {
    if (this.#alarmNs >= this.#programmedNs) return;
    this.#setTimer(this.#alarmFd, this.#alarmNs);
    this.#programmedNs = this.#alarmNs;
  }

  /** Waits for a report or the alarm, at most `limitNs`. The way to wait while no guest runs. */
  waitDirectly(limitNs: number): void {
    let timeoutNs = limitNs;
    if (this.#alarmNs !== Infinity) timeoutNs = Math.min(limitNs, Math.max(0, this.#alarmNs - this.monotonicNs()));
    const view = this.#view;
    view.setInt32(POLLFD, this.epollFd, true);
    view.setInt32(POLLFD + 4, EPOLLIN, true);
    view.setUint32(TIMEOUT, Math.floor(timeoutNs / SECOND), true);
    view.setUint32(TIMEOUT + 8, timeoutNs % SECOND, true);
    // SAFETY: one pollfd and one timespec in our own page. The upper halves of the timespec's words stay zero.
    libc.ppoll(this.#memory.address + POLLFD, 1, this.#memory.address + TIMEOUT, 0);
  }

  /** Starts the platform's one-shot tick. */
  startTick(delayNs: number): void {
    this.#setTimer(this.#tickFd, this.monotonicNs() + delayNs);
  }

  /** True once after the tick went off and `collect` saw it. */
  takeTick(): boolean {
    const ticked = this.#ticked;
    this.#ticked = false;
    return ticked;
  }

  /** Forgets the ends of processes reported so far: the caller is about to look for them. */
  drainExits(): void {
    this.#drain(this.exitReadFd);
    this.#exited = false;
  }

  /** True once after a guest process ended and `collect` saw it. */
  takeExit(): boolean {
    const exited = this.#exited;
    this.#exited = false;
    return exited;
  }

  monotonicNs(): number {
    // SAFETY: one timespec in our own page.
    libc.clockGettime(CLOCK_MONOTONIC, this.#memory.address + CLOCK);
    const clock = this.#clock;
    return clock[0]! * SECOND + clock[2]!;
  }

  #accept(token: number, events: number): void {
    if (token === TICK_TOKEN) {
      this.#drain(this.#tickFd);
      this.#ticked = true;
      return;
    }
    if (token === EXIT_TOKEN) {
      this.#drain(this.exitReadFd);
      this.#exited = true;
      return;
    }
    if (token === ALARM_TOKEN) {
      this.#drain(this.#alarmFd);
      this.#programmedNs = Infinity;
      if (!this.alarmDue()) return; // the alarm was put off after the timer had been set
    } else if (token === SIGNAL_TOKEN) {
      this.#readSignals();
    }
    const at = this.#pendingCount * 2;
    for (let i = 0; i < at; i += 2) {
      if (this.#pending[i] === token) {
        this.#pending[i + 1]! |= events;
        return;
      }
    }
    this.#pending[at] = token;
    this.#pending[at + 1] = events;
    this.#pendingCount += 1;
  }

  #dropPending(token: number): void {
    for (let i = 0; i < this.#pendingCount * 2; i += 2) {
      if (this.#pending[i] !== token) continue;
      this.#pending.copyWithin(i, i + 2, this.#pendingCount * 2);
      this.#pendingCount -= 1;
      return;
    }
  }

  #readSignals(): void {
    const count = this.#drain(this.#signalReadFd);
    for (let i = 0; i < count; i += 1) this.#signals.push(this.#memory.bytes[DRAIN + i]!);
  }

  #drain(fd: number): number {
    // SAFETY: the area at DRAIN holds DRAIN_BYTES.
    return libc.read(fd, this.#memory.address + DRAIN, DRAIN_BYTES);
  }

  #setTimer(fd: number, deadlineNs: number): void {
    const view = this.#view;
    const deadline = Math.max(deadlineNs, 1); // an all-zero time would disarm the timer
    // struct itimerspec: it_interval (zero: one shot), it_value.
    view.setUint32(TIMER + 16, Math.floor(deadline / SECOND), true);
    view.setUint32(TIMER + 24, Math.floor(deadline % SECOND), true);
    // SAFETY: one itimerspec in our own page.
    libc.timerfdSettime(fd, TFD_TIMER_ABSTIME, this.#memory.address + TIMER, 0);
  }

  #control(operation: number, fd: number, events: number, token: number): number {
    const view = this.#view;
    view.setUint32(CONTROL, events, true);
    view.setInt32(CONTROL + 4, token, true);
    view.setInt32(CONTROL + 8, fd, true);
    // SAFETY: one epoll_event in our own page.
    return libc.checked(libc.epollCtl(this.epollFd, operation, fd, this.#memory.address + CONTROL));
  }
}
