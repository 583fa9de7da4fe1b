/**
 * Extended attributes (xattr(7)). The user namespace is served, and file capabilities. Other `security.*` and `trusted.*` are labels of the host's for
 * itself, and `system.posix_acl_*` names users of the host. User attributes exist on regular files and directories only, capabilities on regular files.
 */
import { E2BIG, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE, EROFS } from '#sentry/abi/errno.ts';
import { O_RDONLY, XATTR_CREATE, XATTR_REPLACE } from '#sentry/abi/fs.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { XATTR_VALUE_MAX } from '#gofer/protocol/limits.ts';
import { Getxattr, Listxattr } from '#gofer/protocol/messages.ts';
import type { Removexattr, Setxattr } from '#gofer/protocol/messages.ts';
import { close, fgetxattr, flistxattr, fremovexattr, fsetxattr } from '#platform/host/files.ts';
import { capabilityInside, capabilityOutside } from './file-capability.ts';
import { BULK, BULK_SIZE } from './server.ts';
import type { Server } from './server.ts';

const CAPABILITY = 'security.capability';

function isServed(name: string): boolean {
  return name === CAPABILITY || (name.startsWith('user.') && name.length > 'user.'.length);
}

/** An open descriptor of a file that can have user attributes, or -errno. */
function openHolder(server: Server, fid: number, otherwise: number): number {
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  if (server.table.isSealed(fid) || !(server.table.isRegular(fid) || server.table.isDirectory(fid))) return otherwise;
  return server.reopen(fd, O_RDONLY);
}

export function getxattr(server: Server, request: ValueOf<typeof Getxattr.request>, reply: Writer): number {
  if (!isServed(request.name)) return request.name.startsWith('system.') ? -EOPNOTSUPP : -ENODATA;
  const fd = openHolder(server, request.fid, -ENODATA);
  if (fd < 0) return fd;
  const { memory } = server;
  const length = fgetxattr(fd, server.nameAt(request.name), memory.address + BULK, XATTR_VALUE_MAX);
  close(fd);
  if (length < 0) return length === -ERANGE ? -E2BIG : length;
  const stored = memory.latin1(BULK, BULK + length);
  const value = request.name === CAPABILITY ? capabilityInside(stored, server.users) : stored;
  if (value === null) return -ENODATA;
  Getxattr.reply.write(reply, { value });
  return 0;
}

export function setxattr(server: Server, request: ValueOf<typeof Setxattr.request>): number {
  const { fid, name, flags } = request;
  const refused = checkChange(server, fid, name);
  if (refused < 0) return refused;
  const value = name === CAPABILITY ? capabilityOutside(request.value, server.users) : request.value;
  if (value === null) return -EINVAL;
  if (flags !== 0 && flags !== XATTR_CREATE && flags !== XATTR_REPLACE) return -EINVAL;
  const fd = openHolder(server, fid, -EPERM);
  if (fd < 0) return fd;
  const { memory } = server;
  memory.writeLatin1(value, BULK);
  const error = fsetxattr(fd, server.nameAt(name), memory.address + BULK, value.length, flags);
  close(fd);
  return error;
}

export function removexattr(server: Server, request: ValueOf<typeof Removexattr.request>): number {
  const { fid, name } = request;
  const refused = checkChange(server, fid, name);
  if (refused < 0) return refused;
  const fd = openHolder(server, fid, -EPERM);
  if (fd < 0) return fd;
  const error = fremovexattr(fd, server.nameAt(name));
  close(fd);
  return error;
}

function checkChange(server: Server, fid: number, name: string): number {
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  if (server.isReadOnly(fid)) return -EROFS;
  if (isServed(name)) return 0;
  return name.startsWith('system.') ? -EOPNOTSUPP : -EPERM;
}

export function listxattr(server: Server, request: ValueOf<typeof Listxattr.request>, reply: Writer): number {
  const fd = openHolder(server, request.fid, 0);
  if (fd < 0) return fd;
  const { memory } = server;
  const length = fd === 0 ? 0 : flistxattr(fd, memory.address + BULK, BULK_SIZE);
  if (fd !== 0) close(fd);
  if (length < 0) return length;
  const names = memory
    .latin1(BULK, BULK + length)
    .split('\0')
    .filter(isServed);
  Listxattr.reply.write(reply, { names: names.map((name) => `${name}\0`).join('') });
  return 0;
}
