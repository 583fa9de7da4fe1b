/**
 * Several pieces of another process's memory in one host call: the buffers of readv, writev, sendmsg. Each call costs as much as a copy of
 * several pages, so one for each buffer would be most of what such a guest call costs.
 *
 *     readRemotePieces(pid, pieces, memory, offset, length)
 *
 * Specification: process_vm_readv(2).
 */
import type { HostMemory } from '../contract/host.ts';
import type { GuestPieces } from '../contract/platform.ts';
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';

/** Pieces for each host call (its own limit is 1024). */
const BATCH = 64;
const IOVEC_SIZE = 16;
const WORD = 0x1_0000_0000;

const scratch = allocateMemory((BATCH + 1) * IOVEC_SIZE);
const LOCAL = BATCH * IOVEC_SIZE;
const words = new Uint32Array(scratch.bytes.buffer, scratch.bytes.byteOffset, (BATCH + 1) * 4);

function setIovec(index: number, address: number, length: number): void {
  const at = index * 4;
  words[at] = address >>> 0;
  words[at + 1] = Math.floor(address / WORD);
  words[at + 2] = length >>> 0;
  words[at + 3] = Math.floor(length / WORD);
}

/** From the process to consecutive bytes of `memory`; bytes copied before the first inaccessible one. */
export function readRemotePieces(pid: number, pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
  return copyPieces(libc.processVmReadv, pid, pieces, memory, offset, length);
}

export function writeRemotePieces(pid: number, pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
  return copyPieces(libc.processVmWritev, pid, pieces, memory, offset, length);
}

type Copy = typeof libc.processVmReadv;

function copyPieces(copy: Copy, pid: number, pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
  if (!(offset >= 0 && length >= 0 && offset + length <= memory.bytes.length)) throw new RangeError('range outside of the host memory');
  const { addresses, lengths } = pieces;
  let piece = pieces.current;
  let skip = pieces.done;
  let done = 0;
  while (done < length) {
    let batch = 0;
    let count = 0;
    for (; count < BATCH && done + batch < length; piece++) {
      const n = Math.min(lengths[piece]! - skip, length - done - batch);
      if (n > 0) setIovec(count++, addresses[piece]! + skip, n);
      batch += n;
      skip = 0;
    }
    setIovec(BATCH, memory.address + offset + done, batch);
    // SAFETY: the local range was checked to lie within `memory`; the remote side is checked by the host.
    const copied = libc.checked(copy(pid, scratch.address + LOCAL, 1, scratch.address, count, 0));
    if (copied < batch) return copied < 0 ? done : done + copied;
    done += batch;
  }
  return done;
}
