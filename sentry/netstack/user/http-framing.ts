/**
 * Where a HTTP/1 request ends and the next one begins (RFC 9112, section 6 and 7), so that each can be asked for its host. What servers read in different
 * ways (two lengths, another coding than chunked at the end, bare line feeds between chunks) is CLAIM_BROKEN.
 */
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';

const LF = 10;
const CR = 13;
/** A chunk's size with its extensions. */
const CHUNK_LINE_MAX = 1024;

/** What the header section of one request says about the rest of it. */
export class RequestFraming {
  /** Bytes up to the end of the header section. */
  headerBytes = 0;
  bodyBytes = 0;
  isChunked = false;
  /** CONNECT: what follows is somebody else's. */
  isTunnel = false;
  private hasLength = false;

  begin(): void {
    this.headerBytes = 0;
    this.bodyBytes = 0;
    this.isChunked = false;
    this.isTunnel = false;
    this.hasLength = false;
  }

  /** Takes in a field line. False: nobody can say where the request ends. */
  field(line: string): boolean {
    const match = /^(content-length|transfer-encoding):[ \t]*(.*?)[ \t]*$/i.exec(line);
    if (match === null) return true;
    return match[1]!.toLowerCase() === 'content-length' ? this.length(match[2]!) : this.coding(match[2]!);
  }

  private length(value: string): boolean {
    const bytes = Number(value);
    const isSecond = this.hasLength && bytes !== this.bodyBytes;
    this.hasLength = true;
    this.bodyBytes = bytes;
    return /^\d{1,15}$/.test(value) && !isSecond && !this.isChunked;
  }

  private coding(value: string): boolean {
    const isSecond = this.isChunked;
    this.isChunked = true;
    return /^([\w-]+[ \t]*,[ \t]*)*chunked$/i.test(value) && !isSecond && !this.hasLength;
  }
}

/** How the body of a request goes on, chunk by chunk. */
export class ChunkReader {
  /** Bytes that may pass: the line just read, and its chunk; after the last one the trailers. */
  passed = 0;
  isLast = false;
  private isFirst = true;

  begin(): void {
    this.isFirst = true;
    this.isLast = false;
  }

  /** `bytes[0, length)`: what follows the header section, or the chunk before. */
  next(bytes: Uint8Array, length: number): ClaimFinding {
    const start = this.isFirst ? 0 : 2;
    if (length < start) return CLAIM_MORE;
    if (!this.isFirst && (bytes[0] !== CR || bytes[1] !== LF)) return CLAIM_BROKEN;
    const end = bytes.subarray(0, length).indexOf(LF, start);
    if (end < 0) return length - start > CHUNK_LINE_MAX ? CLAIM_BROKEN : CLAIM_MORE;
    const size = /^([0-9a-f]{1,12})[ \t]*(;[^\n]*)?\r$/i.exec(text(bytes, start, end));
    if (size === null) return CLAIM_BROKEN;
    const chunkBytes = Number.parseInt(size[1]!, 16);
    if (chunkBytes === 0) return this.trailers(bytes, length, end + 1);
    this.isFirst = false;
    this.passed = end + 1 + chunkBytes;
    return CLAIM_DONE;
  }

  /** Field lines up to an empty one. */
  private trailers(bytes: Uint8Array, length: number, start: number): ClaimFinding {
    for (let at = start; ; ) {
      const end = bytes.subarray(0, length).indexOf(LF, at);
      if (end < 0) return CLAIM_MORE;
      if (bytes[end - 1] !== CR) return CLAIM_BROKEN;
      if (end === at + 1) {
        this.isLast = true;
        this.passed = end + 1;
        return CLAIM_DONE;
      }
      at = end + 1;
    }
  }
}

function text(bytes: Uint8Array, start: number, end: number): string {
  let line = '';
  for (let i = start; i < end; i++) line += String.fromCharCode(bytes[i]!);
  return line;
}
