/**
 * Names of AF_UNIX sockets (unix(7), "Address format"): a path in the file system, an abstract name (a zero byte and arbitrary bytes), or
 * none. An address here is the bytes of struct sockaddr_un, family first.
 *
 * A socket bound to a path hangs on the inode of its socket file, under a key of its own; it holds the path, so that the inode stays.
 */
import { EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL, ENOSPC, EPROTOTYPE } from '#sentry/abi/errno.ts';
import { S_IFMT, S_IFSOCK, W_OK } from '#sentry/abi/fs.ts';
import { AF_UNIX, SOCKADDR_UN_SIZE } from '#sentry/abi/socket.ts';
import type { Path } from '../../vfs/mount.ts';
import { mknodSocket, unlink } from '../../vfs/operations.ts';
import { permission } from '../../vfs/permission.ts';
import { resolve, WALK_FOLLOW } from '../../vfs/walk.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { UnixSocket } from './unix-socket.ts';

/** The two bytes of an unnamed address. */
export const UNNAMED = String.fromCharCode(AF_UNIX, 0);
const SOCKET = Symbol('bound unix socket');
const AUTOBIND_NAMES = 0x10_0000;

export class UnixNames {
  private readonly abstract = new Map<string, UnixSocket>();
  private nextAutomatic = 1;

  /** Gives `socket` the name in `address`: 0 or -errno. */
  bind(socket: UnixSocket, address: string, caller: SocketCaller): number {
    if (address === UNNAMED) return socket.isBound ? 0 : this.autobind(socket);
    const invalid = check(address);
    if (invalid < 0) return invalid;
    return address.charCodeAt(2) === 0 ? this.bindAbstract(socket, address) : bindPath(socket, address, caller);
  }

  /** A name of five hexadecimal digits that nobody has. */
  autobind(socket: UnixSocket): number {
    for (let tries = 0; tries < AUTOBIND_NAMES; tries++) {
      const digits = (this.nextAutomatic++ % AUTOBIND_NAMES).toString(16).padStart(5, '0');
      const address = `${UNNAMED}\0${digits}`;
      if (!this.abstract.has(address)) return this.bindAbstract(socket, address);
    }
    return -ENOSPC;
  }

  private bindAbstract(socket: UnixSocket, address: string): number {
    if (socket.isBound) return -EINVAL;
    if (this.abstract.has(address)) return -EADDRINUSE;
    this.abstract.set(address, socket);
    socket.setName(address, null);
    return 0;
  }

  /** The socket is closed. */
  unbind(socket: UnixSocket, address: string, path: Path | null): void {
    if (path === null) {
      if (this.abstract.get(address) === socket) this.abstract.delete(address);
      return;
    }
    path.dentry.inode?.attachments?.delete(SOCKET);
    path.dentry.release();
    path.mount.release();
  }

  /** The socket `address` leads to, if it is of `type`. */
  find(address: string, type: number, caller: SocketCaller): UnixSocket | number {
    const invalid = check(address);
    if (invalid < 0) return invalid;
    const found = address.charCodeAt(2) === 0 ? this.abstract.get(address) : findByPath(address, caller);
    if (typeof found === 'number') return found;
    if (found === undefined) return -ECONNREFUSED;
    return found.type === type ? found : -EPROTOTYPE;
  }
}

function check(address: string): number {
  if (address.length <= 2 || address.length > SOCKADDR_UN_SIZE) return -EINVAL;
  return address.charCodeAt(0) === AF_UNIX && address.charCodeAt(1) === 0 ? 0 : -EINVAL;
}

/** sun_path need not be terminated. */
function pathOf(address: string): string {
  const end = address.indexOf('\0', 2);
  return address.slice(2, end < 0 ? undefined : end);
}

function bindPath(socket: UnixSocket, address: string, caller: SocketCaller): number {
  const name = pathOf(address);
  const path = mknodSocket(caller, name, socket.inode.mode & 0o777);
  if (typeof path === 'number') return path === -EEXIST ? -EADDRINUSE : path;
  if (socket.isBound) {
    unlink(caller, null, name); // Linux makes the file before it looks, too
    return -EINVAL;
  }
  const inode = path.dentry.inode!;
  inode.attachments ??= new Map();
  inode.attachments.set(SOCKET, socket);
  path.mount.acquire();
  path.dentry.acquire();
  socket.setName(`${UNNAMED}${name}\0`, path);
  return 0;
}

function findByPath(address: string, caller: SocketCaller): UnixSocket | number {
  const path = resolve(caller, null, pathOf(address), WALK_FOLLOW);
  if (typeof path === 'number') return path;
  const inode = path.dentry.inode!;
  const denied = permission(caller.credentials, inode, W_OK);
  if (denied < 0) return denied;
  if ((inode.mode & S_IFMT) !== S_IFSOCK) return -ECONNREFUSED;
  return (inode.attachments?.get(SOCKET) as UnixSocket | undefined) ?? -ECONNREFUSED;
}
