/** The sentry's end of `control.sock`: made while names can still be bound; clients are accepted for as long as it lives. */
import { closeSync, constants, openSync } from 'node:fs';
import { errnoName } from '#sentry/abi/errno.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET } from '#sentry/abi/socket.ts';
import type { HostFd } from '#platform/contract/host.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import { CONTROL_SOCKET } from '../state/container-directory.ts';
import { unixAddress } from './address.ts';

/** Verbs that may wait to be accepted: hundreds of `exec` at once. */
const BACKLOG = 1024;

/** Listens in the directory `path` of a container. */
export function listenForVerbs(path: string): HostFd {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const fd: number = sockets.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const { memory, length } = unixAddress(`/proc/self/fd/${directory}/${CONTROL_SOCKET}`);
    const listening = fd < 0 ? fd : Math.min(sockets.bind(fd, memory.address, length), 0) || sockets.listen(fd, BACKLOG);
    if (listening < 0) throw new UserError(`the control socket in ${path} cannot be made (${errnoName(-listening)}).`, EXIT_OCI_FAILURE);
    return fd;
  } finally {
    closeSync(directory);
  }
}
