/**
 * The network helper of a sandbox with `--net=user` or `--net=host`: a Node process that makes the sockets (gofer/network). Started only then, early, because it takes as
 * long to start as the sentry needs for itself.
 */
import { closeSync, openSync } from 'node:fs';
import type { NetworkConfig } from '#gofer/network/config.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { UserError } from '../errors.ts';
import { launchHelper } from './gofer-launch.ts';
import type { NetworkSpec } from './spec.ts';

/** Starts it and tells it what it may do. Returns the socket to it. */
export function startNetworkHelper({ allow, deny, published, report }: NetworkSpec & { mode: 'user' }): HostFd {
  const reportFd = report === null ? -1 : openReport(report);
  return launchNetworkHelper({ serves: 'flows', allow, deny, published, hasReport: reportFd >= 0 }, reportFd);
}

/** The one that makes guests' sockets (`--net=host`). */
export function startSocketHelper(): HostFd {
  return launchNetworkHelper({ serves: 'sockets', allow: [], deny: [], published: [], hasReport: false }, -1);
}

function launchNetworkHelper(config: NetworkConfig, report: number): HostFd {
  const socket: number = launchHelper('network');
  if (socket < 0) throw new UserError(`cannot start the network process (${errnoName(-socket)}); is a limit reached?`);
  const text = Buffer.from(JSON.stringify(config));
  const memory = allocateMemory(text.length);
  memory.bytes.set(text);
  const sent = sendMessage(socket, memory, 0, text.length, report < 0 ? [] : [report]);
  if (report >= 0) closeSync(report);
  if (sent !== text.length) throw new UserError(`cannot tell the network process what to do (${errnoName(-sent)}).`);
  return socket;
}

function openReport(path: string): number {
  try {
    return openSync(path, 'a', 0o644);
  } catch (error) {
    throw new UserError(`the report ${path} cannot be written (${(error as NodeJS.ErrnoException).code ?? 'error'}).`);
  }
}
