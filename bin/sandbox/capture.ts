/**
 * `--pcap FILE`: opened before the sentry is confined, written by it from then on.
 */
import { openSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import type { NetworkInterface } from '#sentry/netstack/link/interface.ts';
import { PCAP_BUFFER_BYTES, PcapCapture } from '#sentry/netstack/pcap.ts';
import { UserError } from '../errors.ts';

/** What was captured is in the file after this time at the latest. */
const FLUSH_NS = 1e9;

export function openCapture(path: string): HostFd {
  try {
    return openSync(path, 'w', 0o600);
  } catch (error) {
    throw new UserError(`the capture ${path} cannot be written (${(error as NodeJS.ErrnoException).code ?? 'error'}).`);
  }
}

/** Everything that crosses `link` goes to `fd`. The caller flushes at the end. */
export function startCapture(kernel: Kernel, link: NetworkInterface, fd: HostFd): PcapCapture {
  const { host, timers } = kernel;
  const sink = {
    write: (memory: Parameters<typeof host.write>[1], offset: number, length: number) => host.write(fd, memory, offset, length),
  };
  const now = { sec: 0, nsec: 0 };
  host.realtime(now);
  const offsetNs = now.sec * 1e9 + now.nsec - host.monotonicNs();
  const capture = new PcapCapture(host.allocate(PCAP_BUFFER_BYTES), sink, link, kernel.network.stack.state, offsetNs);
  link.taps.push(capture);
  const timer = new Timer((nowNs) => {
    capture.flush();
    timers.set(timer, nowNs + FLUSH_NS);
  });
  timers.set(timer, host.monotonicNs() + FLUSH_NS);
  return capture;
}
