/**
 * The listener of a seccomp filter: receiving and answering the calls that the filter hands over, and waiting for them together with
 * other descriptors.
 *
 *     const listener = new Notifications(fd);
 *     listener.poll(epollFd, Infinity);        // until there is a call or an event
 *     if (listener.receive() === 0) …listener.tid, listener.call… ; listener.answer(idLow, idHigh, valueLow, valueHigh)
 *
 * What `receive` fills stays valid until the next `receive`. Nothing here is allocated for a call.
 * Specification: seccomp_unotify(2).
 */
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';

const RECV = 0xc050_2100;
const SEND = 0xc018_2101;
const SET_FLAGS = 0x4008_2104;
const FLAG_SYNC_WAKE_UP = 1;
const FLAG_CONTINUE = 1;
const NOTIFICATION_BYTES = 80;
const ANSWER = 128;
const POLLFD = 192;
const TIMEOUT = 256;
const POLLIN = 1;
const SECOND = 1_000_000_000;

/** Bits of what `poll` found. */
export const Ready = { Call: 1, Events: 2, HungUp: 4 } as const;

export class Notifications {
  readonly fd: number;
  readonly #memory = allocateMemory(4096);
  readonly #address = this.#memory.address;
  readonly #words = new Uint32Array(this.#memory.bytes.buffer, 0, NOTIFICATION_BYTES / 4);
  readonly #answer = new Uint32Array(this.#memory.bytes.buffer, ANSWER, 6);
  readonly #polled = new Uint16Array(this.#memory.bytes.buffer, POLLFD, 8);
  readonly #timeout = new Uint32Array(this.#memory.bytes.buffer, TIMEOUT, 4);
  /** The six arguments as word pairs. */
  readonly arguments = new Uint32Array(this.#memory.bytes.buffer, 32, 12);

  constructor(fd: number) {
    this.fd = fd;
    const { view } = this.#memory;
    view.setInt32(POLLFD, fd, true);
    view.setUint16(POLLFD + 4, POLLIN, true);
    view.setUint16(POLLFD + 12, POLLIN, true);
  }

  /** The listener has hung up, because nobody is left who has the filter: only the other descriptor is waited for from now on. */
  ignoreCalls(): void {
    this.#memory.view.setInt32(POLLFD, -1, true);
  }

  get idLow(): number {
    return this.#words[0]!;
  }
  get idHigh(): number {
    return this.#words[1]!;
  }
  get tid(): number {
    return this.#words[2]!;
  }
  get nr(): number {
    return this.#words[4]!;
  }
  /** Address behind the `syscall` instruction. */
  get ipLow(): number {
    return this.#words[6]!;
  }
  get ipHigh(): number {
    return this.#words[7]!;
  }

  /** Whether answering wakes the caller on this CPU, because we are about to sleep. */
  setSyncWakeUp(on: boolean): number {
    // SAFETY: the argument of this request is a value.
    return libc.checked(libc.ioctl(this.fd, SET_FLAGS, on ? FLAG_SYNC_WAKE_UP : 0));
  }

  /** Waits for a call or for `eventFd`, at most `timeoutNs` (Infinity: for ever); a set of `Ready` bits, 0 after the time or a signal. */
  poll(eventFd: number, timeoutNs: number): number {
    const polled = this.#polled;
    polled[4] = eventFd & 0xffff;
    polled[5] = eventFd >>> 16;
    let timeout = 0;
    if (timeoutNs !== Infinity) {
      this.#timeout[0] = Math.floor(timeoutNs / SECOND);
      this.#timeout[2] = timeoutNs % SECOND;
      timeout = this.#address + TIMEOUT;
    }
    // SAFETY: two pollfds and a timespec in our own page.
    if (libc.ppoll(this.#address + POLLFD, 2, timeout, 0) <= 0) return 0;
    const found = polled[3]!;
    const ready = (found & POLLIN) !== 0 ? Ready.Call : found !== 0 ? Ready.HungUp : 0;
    return polled[7] !== 0 ? ready | Ready.Events : ready;
  }

  /** Takes the next call. 0, or -errno: -ENOENT when its caller is gone again. Call it only when there is one. */
  receive(): number {
    this.#words.fill(0);
    // SAFETY: struct seccomp_notif (80 bytes, zero) at the start of our own page.
    return libc.ioctl(this.fd, RECV, this.#address) < 0 ? -libc.errno() : 0;
  }

  /** The call returns this 64-bit value. -ENOENT when the caller is gone. */
  answer(idLow: number, idHigh: number, low: number, high: number): number {
    return this.#send(idLow, idHigh, low, high, 0);
  }

  /** The host performs the call. */
  continue(idLow: number, idHigh: number): number {
    return this.#send(idLow, idHigh, 0, 0, FLAG_CONTINUE);
  }

  #send(idLow: number, idHigh: number, low: number, high: number, flags: number): number {
    const answer = this.#answer;
    answer[0] = idLow;
    answer[1] = idHigh;
    answer[2] = low;
    answer[3] = high;
    answer[5] = flags; // error, word 4, stays 0: a value may be negative as well
    // SAFETY: struct seccomp_notif_resp (24 bytes) in our own page.
    return libc.ioctl(this.fd, SEND, this.#address + ANSWER) < 0 ? -libc.errno() : 0;
  }
}
