/**
 * A device that carries nothing: with `--net=host` the interfaces of the host are shown to those who ask (netlink, ioctls, /proc/net), but packets of guests
 * do not go through our stack.
 */
import { EIO } from '#sentry/abi/errno.ts';
import type { LinkDevice, LinkKind } from './device.ts';

export class ShownDevice implements LinkDevice {
  readonly kind: LinkKind;
  readonly mtu: number;
  readonly hardwareAddress: string;
  readonly canChecksum = true;
  readonly segmentationMax = 0;
  readonly nextDeadline = Infinity;

  constructor(kind: LinkKind, mtu: number, hardwareAddress: string) {
    this.kind = kind;
    this.mtu = mtu;
    this.hardwareAddress = hardwareAddress;
  }

  send(): number {
    return -EIO;
  }

  poll(): number {
    return 0;
  }
}
