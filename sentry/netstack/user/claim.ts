/**
 * Finds whom a flow means to talk to: the server name of TLS in its first bytes, or the host of each plain HTTP/1 request.
 *
 *     const finding = watch.look(bytes, length, names);     // when `allowance` bytes have passed: what comes next
 *     CLAIM_DONE: once the names are judged, watch.allowance bytes more may pass (Infinity: all that comes)
 *
 * Host names go to `names` as they were written (bytes, a port taken off). Addresses are no names and are left out: a flow already has one.
 */
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE, CLAIM_OTHER } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';
import { findServerName } from './client-hello.ts';
import { ChunkReader, RequestFraming } from './http-framing.ts';
import { findHost } from './http-host.ts';
import { CLAIM_BYTES_MAX, CLAIMS_MAX } from './limits.ts';

export class ClaimWatch {
  /** Bytes that may pass before the next look. */
  allowance = 0;
  private expects: 'anything' | 'request' | 'chunk' = 'anything';
  private readonly framing = new RequestFraming();
  private readonly chunks = new ChunkReader();

  /** `bytes[0, length)`: what has come and may not pass yet. Never CLAIM_OTHER: another protocol claims nothing. */
  look(bytes: Uint8Array, length: number, names: string[]): ClaimFinding {
    names.length = 0;
    const finding = this.expects === 'chunk' ? this.lookAtChunk(bytes, length) : this.lookAtBeginning(bytes, length, names);
    if (finding === CLAIM_DONE && names.length > CLAIMS_MAX) return CLAIM_BROKEN;
    return finding === CLAIM_MORE && length >= CLAIM_BYTES_MAX ? CLAIM_BROKEN : finding;
  }

  private lookAtBeginning(bytes: Uint8Array, length: number, names: string[]): ClaimFinding {
    const hello = this.expects === 'anything' ? findServerName(bytes, length, names) : CLAIM_OTHER;
    this.allowance = Infinity;
    if (hello !== CLAIM_OTHER) return hello;
    const { framing } = this;
    const request = findHost(bytes, length, names, framing);
    if (request === CLAIM_OTHER) return CLAIM_DONE;
    if (request !== CLAIM_DONE || framing.isTunnel) return request;
    this.expects = framing.isChunked ? 'chunk' : 'request';
    this.allowance = framing.headerBytes + framing.bodyBytes;
    this.chunks.begin();
    return CLAIM_DONE;
  }

  private lookAtChunk(bytes: Uint8Array, length: number): ClaimFinding {
    const { chunks } = this;
    const finding = chunks.next(bytes, length);
    if (finding !== CLAIM_DONE) return finding;
    this.allowance = chunks.passed;
    if (chunks.isLast) this.expects = 'request';
    return CLAIM_DONE;
  }
}
