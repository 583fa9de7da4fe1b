/**
 * Numbers that a stranger must not foresee, from keyed hashes of the four-tuple: initial sequence numbers (RFC 6528), offsets of timestamps
 * (RFC 7323 section 7.1), of ephemeral ports (RFC 6056 section 3.3.3), and SYN cookies' signatures.
 */
import type { IpAddress } from '../address.ts';
import { HalfSipHash } from './siphash.ts';

export class Secrets {
  private readonly sequence: HalfSipHash;
  private readonly timestamp: HalfSipHash;
  private readonly port: HalfSipHash;
  private readonly cookie: HalfSipHash;

  /** `random`: 32 bits a call. */
  constructor(random: () => number) {
    this.sequence = new HalfSipHash(random, 2);
    this.timestamp = new HalfSipHash(random, 2);
    this.port = new HalfSipHash(random, 2);
    this.cookie = new HalfSipHash(random, 2);
  }

  /** A clock of 64 ns a tick plus a secret of the four-tuple: later connections of the same tuple begin behind earlier ones. */
  initialSequence(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, nowNs: number): number {
    return (tuple(this.sequence, local, localPort, remote, remotePort).finish() + Math.floor(nowNs / 64)) | 0;
  }

  /** What is added to the millisecond clock in timestamps towards one host, the same for all its connections so that TIME_WAIT can compare. */
  timestampOffset(local: IpAddress, remote: IpAddress): number {
    return tuple(this.timestamp, local, 0, remote, 0).finish();
  }

  /** Where in the range of ephemeral ports the search begins for this destination. */
  portOffset(local: IpAddress, remote: IpAddress, remotePort: number): number {
    return tuple(this.port, local, 0, remote, remotePort).finish() >>> 0;
  }

  /** Signature of what a cookie says, over everything that identifies the connection. */
  cookieSignature(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, said: number, minute: number): number {
    return tuple(this.cookie, local, localPort, remote, remotePort).word(said).word(minute).finish();
  }
}

function tuple(hash: HalfSipHash, local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): HalfSipHash {
  hash.begin().word(local.w0).word(local.w1).word(local.w2).word(local.w3);
  hash.word(remote.w0).word(remote.w1).word(remote.w2).word(remote.w3);
  return hash.word((localPort << 16) | remotePort);
}
