/**
 * A network interface: a link device as the stack knows it, with its index, name and addresses (netdevice(7), rtnetlink(7)).
 */
import type { LinkDevice } from './device.ts';

export class NetworkInterface {
  readonly index: number;
  name: string;
  /** null: the loopback interface. */
  readonly device: LinkDevice | null;

  constructor(index: number, name: string, device: LinkDevice | null) {
    this.index = index;
    this.name = name;
    this.device = device;
  }
}
