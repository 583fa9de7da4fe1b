/**
 * What /proc/sys/kernel sets for System V IPC: shmmax and shmall, shmmni, sem (its four figures), msgmax, msgmnb, msgmni (proc(5)).
 * Values are those Linux starts with.
 */

/** ULONG_MAX - 2^24, Linux's "no limit": not exact in a double, so it is shown by `IpcLimits.text` and `limitWords`. */
export const UNLIMITED = 2 ** 64 - 2 ** 24;
const UNLIMITED_TEXT = '18446744073692774399';

export class IpcLimits {
  /** Bytes of a segment. */
  shmmax = UNLIMITED;
  /** Pages of all segments. */
  shmall = UNLIMITED;
  shmmni = 4096;
  /** shm_rmid_forced: 1 when segments go with their last attachment, and with their maker if there is none, whether removed or not. */
  shmRmidForced = 0;
  /** Semaphores of a set, of all sets, operations of a call, sets. */
  semmsl = 32_000;
  semmns = 1_024_000_000;
  semopm = 500;
  semmni = 32_000;
  /** Bytes of a message, bytes in a queue, queues. */
  msgmax = 8192;
  msgmnb = 16_384;
  msgmni = 32_000;

  /** The figure called `name` in decimal. */
  text(name: Exclude<keyof IpcLimits, 'text'>): string {
    const value = this[name];
    return value === UNLIMITED ? UNLIMITED_TEXT : String(value);
  }
}

/** As a pair of 32-bit words, low one first. */
export function limitWords(value: number): readonly [number, number] {
  if (value === UNLIMITED) return [0xfeff_ffff, 0xffff_ffff];
  const high = Math.floor(value / 2 ** 32);
  return [value - high * 2 ** 32, high];
}
