/**
 * What accompanies the bytes of sendmsg(2) and recvmsg(2). One object of each serves all calls: a handler fills it, the socket reads it
 * (or the other way round) before the handler returns.
 */
import { SendAncillary } from '../../netstack/endpoint/options.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { ControlBuffer } from './control-buffer.ts';

export class Outgoing {
  /** Where to, as sockaddr bytes; '' to the peer. */
  address = '';
  /** Files to send, each with a reference that passes to the socket when the send succeeds. */
  rights: FileDescription[] | null = null;
  // The sender's credentials: its own, or those of SCM_CREDENTIALS. The pid is one of `PidNamespace.global`.
  pid = 0;
  uid = 0;
  gid = 0;
  /** What control messages say of packets (IP_TTL, IP_PKTINFO …), if any does. */
  hasPacket = false;
  readonly packet = new SendAncillary();

  reset(): void {
    this.address = '';
    this.rights = null;
    if (!this.hasPacket) return;
    this.hasPacket = false;
    this.packet.clear();
  }
}

export class Incoming {
  /** Whether anybody wants to know the address. */
  wantsAddress = true;
  /** From where, as sockaddr bytes; '' unnamed. */
  address = '';
  /** Files received, each with a reference that now belongs to the handler. */
  rights: FileDescription[] | null = null;
  hasCredentials = false;
  pid = 0;
  uid = 0;
  gid = 0;
  /** MSG_TRUNC, MSG_EOR for msg_flags. */
  flags = 0;
  /** Everything else the family tells; `wantsControl`: there is room for it. */
  wantsControl = false;
  readonly control = new ControlBuffer();

  reset(): void {
    this.address = '';
    this.rights = null;
    this.hasCredentials = false;
    this.flags = 0;
    if (this.control.count > 0) this.control.clear();
  }
}
