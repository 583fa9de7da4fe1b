/**
 * Where a container's cgroup lies, from `linux.cgroupsPath` in its three forms:
 *
 *     /a/b             from the top of each hierarchy
 *     a/b              below the cgroup of the process that creates the container (v2: beside it, because a cgroup of v2 holds either
 *                      processes or cgroups with limits)
 *     slice:prefix:name    with --systemd-cgroup: a systemd scope `prefix-name.scope` in `slice`
 *
 * Without one: `tsvisor-ID` … a relative path, and with systemd a scope in system.slice (user.slice for an ordinary user).
 * Spec: OCI config-linux.md, "Cgroups Path"; systemd.slice(5) for the nesting that dashes express.
 */
import { CgroupError } from './cgroup-error.ts';
import { CGROUP_PATH_MAX } from './limits.ts';

export interface CgroupPlace {
  /** From the top of the hierarchies if it starts with a slash. No empty, `.` or `..` parts. */
  readonly path: string;
  readonly scope: SystemdScope | null;
}

export interface SystemdScope {
  readonly slice: string;
  readonly unit: string;
}

export interface PlaceRequest {
  readonly id: string;
  readonly cgroupsPath: string;
  readonly systemd: boolean;
  readonly rootless: boolean;
}

export function cgroupPlace(request: PlaceRequest): CgroupPlace {
  const { id, cgroupsPath, systemd } = request;
  if (cgroupsPath.length > CGROUP_PATH_MAX || cgroupsPath.includes('\0'))
    throw new CgroupError('config.json: linux.cgroupsPath is too long or holds a NUL.');
  if (systemd) return systemdPlace(request);
  return { path: cleanPath(cgroupsPath === '' ? id : cgroupsPath), scope: null };
}

/** Resolves `.` and `..` within the path, which therefore never leads out of where it starts. */
function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `${path.startsWith('/') ? '/' : ''}${parts.join('/')}`;
}

function systemdPlace({ id, cgroupsPath, rootless }: PlaceRequest): CgroupPlace {
  const usual = rootless ? 'user.slice' : 'system.slice';
  const parts = cgroupsPath === '' ? [usual, 'tsvisor', id] : cgroupsPath.split(':');
  const [slice, prefix, name] = parts;
  if (parts.length !== 3 || name === '') {
    throw new CgroupError(`expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "${cgroupsPath}" instead.`);
  }
  const unit = prefix === '' ? `${name!}.scope` : `${prefix!}-${name!}.scope`;
  if (unit.includes('/')) throw new CgroupError(`config.json: linux.cgroupsPath: "${unit}" is no name of a systemd unit.`);
  const scope = { slice: slice === '' ? usual : slice!, unit };
  return { path: `${slicePath(scope.slice)}/${unit}`, scope };
}

/** `a-b.slice` is kept in `a.slice`: `/a.slice/a-b.slice`. */
export function slicePath(slice: string): string {
  const stem = slice.endsWith('.slice') ? slice.slice(0, -'.slice'.length) : '';
  if (stem === '-') return '';
  const names = stem.split('-');
  if (stem === '' || slice.includes('/') || names.includes('')) {
    throw new CgroupError(`config.json: linux.cgroupsPath: "${slice}" is no name of a systemd slice.`);
  }
  return names.map((_, i) => `/${names.slice(0, i + 1).join('-')}.slice`).join('');
}
