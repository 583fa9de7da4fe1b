/**
 * Message headers: writing them, and judging those that came in. See messages.ts for the layout.
 */
import type { WireMemory } from './codec.ts';
import { HEADER_SIZE, REPLY_HEADER_SIZE } from './messages.ts';

export function writeHeader(memory: WireMemory, offset: number, length: number, type: number, tag: number): void {
  memory.view.setUint32(offset, length, true);
  memory.view.setUint16(offset + 4, type, true);
  memory.view.setUint16(offset + 6, tag, true);
}

export function writeReplyHeader(memory: WireMemory, offset: number, length: number, type: number, tag: number, errno: number): void {
  writeHeader(memory, offset, length, type, tag);
  memory.view.setUint32(offset + HEADER_SIZE, errno, true);
}

/** Whether a datagram of `received` bytes is framed as a request: it is long enough and says its own length. */
export function isFramed(memory: WireMemory, offset: number, received: number): boolean {
  return received >= HEADER_SIZE && memory.view.getUint32(offset, true) === received;
}

/** The same for a reply to `type` and `tag`. */
export function isReplyTo(memory: WireMemory, offset: number, received: number, type: number, tag: number): boolean {
  return (
    received >= REPLY_HEADER_SIZE &&
    memory.view.getUint32(offset, true) === received &&
    memory.view.getUint16(offset + 4, true) === type &&
    memory.view.getUint16(offset + 6, true) === tag
  );
}

export function messageType(memory: WireMemory, offset: number): number {
  return memory.view.getUint16(offset + 4, true);
}

export function messageTag(memory: WireMemory, offset: number): number {
  return memory.view.getUint16(offset + 6, true);
}

export function replyErrno(memory: WireMemory, offset: number): number {
  return memory.view.getUint32(offset + HEADER_SIZE, true);
}
