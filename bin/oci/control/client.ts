/**
 * A verb's connection to the sentry of a container.
 *
 *     using connection = ControlConnection.open(directory);
 *     connection.ask({ container, verb: 'kill', signal: 15, all: false });      // throws the sentry's sentence if it refuses
 */
import { closeSync, openSync, constants } from 'node:fs';
import { errnoName, EAGAIN, ECONNREFUSED, ENOENT } from '#sentry/abi/errno.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET } from '#sentry/abi/socket.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { receiveMessage, sendMessage } from '#platform/host/messages.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE, ociError } from '../errors.ts';
import { CONTROL_SOCKET } from '../state/container-directory.ts';
import { unixAddress } from './address.ts';
import { CONTROL_MESSAGE_MAX, STAND_IN_SIZE } from './protocol.ts';
import type { ControlReply, ControlRequest } from './protocol.ts';

/** A sentry that has something to do answers within milliseconds; one that is creating its container, within a second or so. */
const REPLY_TIMEOUT_MS = 30_000;
export const FOR_EVER = -1;

export class ControlConnection {
  readonly fd: HostFd;

  private constructor(fd: HostFd) {
    this.fd = fd;
  }

  /** The connection to the sentry whose directory is `path`, or null when there is none (any more). */
  static open(path: string): ControlConnection | null {
    const directory = openDirectory(path);
    if (directory === null) return null;
    const fd: number = sockets.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) throw new UserError(`no socket can be made (${errnoName(-fd)}); is a limit reached?`, EXIT_OCI_FAILURE);
    // By way of the directory's descriptor: the path itself may be longer than an address can hold.
    const { memory, length } = unixAddress(`/proc/self/fd/${directory}/${CONTROL_SOCKET}`);
    const connected = sockets.connect(fd, memory.address, length);
    closeSync(directory);
    if (connected >= 0) return new ControlConnection(fd);
    closeSync(fd);
    if (connected === -ECONNREFUSED || connected === -ENOENT) return null;
    throw new UserError(`the sandbox cannot be reached (${errnoName(-connected)}).`, EXIT_OCI_FAILURE);
  }

  /** The reply, or null when the sentry ended first. Throws UserError with what the sentry says if it refuses. */
  tryAsk<T>(request: ControlRequest, descriptors: readonly HostFd[] = [], timeoutMs = REPLY_TIMEOUT_MS): T | null {
    const memory = allocateMemory(CONTROL_MESSAGE_MAX);
    const text = Buffer.from(JSON.stringify(request));
    if (text.length > CONTROL_MESSAGE_MAX) throw new UserError('arguments and environment are too long.', EXIT_OCI_FAILURE);
    memory.bytes.set(text);
    if (sendMessage(this.fd, memory, 0, text.length, descriptors) < 0) return null;
    const { length } = receiveMessage(this.fd, memory, 0, CONTROL_MESSAGE_MAX, null, timeoutMs);
    if (length === -EAGAIN) throw new UserError('the sandbox does not answer.', EXIT_OCI_FAILURE);
    if (length <= 0) return null;
    const reply = JSON.parse(Buffer.from(memory.bytes.subarray(0, length)).toString()) as ControlReply<T>;
    if (reply.error !== undefined) throw new UserError(reply.error, (reply as { exitCode: number }).exitCode);
    return reply;
  }

  /** As tryAsk, but the sentry has to be there. */
  ask<T>(request: ControlRequest, descriptors: readonly HostFd[] = [], timeoutMs = REPLY_TIMEOUT_MS): T {
    const reply = this.tryAsk<T>(request, descriptors, timeoutMs);
    if (reply === null) throw ociError('notRunning', request.container);
    return reply;
  }

  /** After `exec`: who holds the connection from now on. */
  tellStandIn(pid: number): void {
    const memory = allocateMemory(STAND_IN_SIZE);
    memory.view.setUint32(0, pid, true);
    sendMessage(this.fd, memory, 0, STAND_IN_SIZE, []);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function openDirectory(path: string): number | null {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return null;
  }
}
