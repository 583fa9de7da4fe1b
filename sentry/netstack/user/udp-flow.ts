/** A flow of UDP. */
import type { HostMemory } from '#platform/contract/host.ts';
import { IPPROTO_UDP } from '../ip/header.ts';
import { sendDatagram } from '../udp/foreign-datagram.ts';
import { DatagramFlow } from './datagram-flow.ts';
import { refuseDatagram } from './unreachable.ts';
import type { Unreachable } from './unreachable.ts';

export class UdpFlow extends DatagramFlow {
  protected readonly protocol = IPPROTO_UDP;

  protected override pass(memory: HostMemory, length: number): void {
    sendDatagram(this.context.stack, this.peer, this.guest, memory, length);
  }

  protected override tell(what: Unreachable): void {
    refuseDatagram(this.context.stack, what, this.guest, this.peer);
  }
}
