/** /proc/PID/mounts, mountinfo and mountstats (fs/proc_namespace.c). Only mounts below the reader's root are shown. */
import { MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME } from '#sentry/abi/fs.ts';
import type { Mount, Path } from '../../vfs/mount.ts';
import { nameInFileSystem, pathName } from '../../vfs/path-name.ts';
import { deviceMajor, deviceMinor } from '../../vfs/special-files.ts';
import type { TaskView } from './process-view.ts';

interface VisibleMount {
  readonly mount: Mount;
  readonly at: string;
}

function visible(task: TaskView, root: Path): VisibleMount[] {
  return task.fs.namespace.mounts
    .map((mount) => ({ mount, at: pathName({ mount, dentry: mount.root }, root) }))
    .filter(({ at }) => !at.startsWith('(unreachable)'));
}

/** Blanks and backslashes as octal escapes. */
function escape(text: string): string {
  return text.replace(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function options({ flags }: Mount): string {
  const names = [(flags & MS_RDONLY) !== 0 ? 'ro' : 'rw'];
  if ((flags & MS_NOSUID) !== 0) names.push('nosuid');
  if ((flags & MS_NODEV) !== 0) names.push('nodev');
  if ((flags & MS_NOEXEC) !== 0) names.push('noexec');
  if ((flags & MS_NOATIME) !== 0) names.push('noatime');
  if ((flags & MS_NODIRATIME) !== 0) names.push('nodiratime');
  // Linux: strictatime has no name here.
  if ((flags & (MS_NOATIME | MS_STRICTATIME)) === 0) names.push('relatime');
  return names.join(',');
}

function superOptions({ fileSystem, flags }: Mount): string {
  const access = (flags & MS_RDONLY) !== 0 ? 'ro' : 'rw';
  return fileSystem.optionText === '' ? access : `${access},${fileSystem.optionText}`;
}

export function mountsText(task: TaskView, root: Path): string {
  return visible(task, root)
    .map(({ mount, at }) => {
      const extra = mount.fileSystem.optionText === '' ? '' : `,${mount.fileSystem.optionText}`;
      return `${escape(mount.source)} ${escape(at)} ${mount.fileSystem.type} ${options(mount)}${extra} 0 0\n`;
    })
    .join('');
}

export function mountInfoText(task: TaskView, root: Path): string {
  return visible(task, root)
    .map(({ mount, at }) => {
      const { device, type, partOf } = mount.fileSystem;
      // Of the namespace's root: something that no reader sees.
      const parent = mount.parent?.id ?? 1;
      const name = nameInFileSystem(mount.root);
      const shown = escape(partOf === '' ? name : name === '/' ? partOf : `${partOf}${name}`);
      return `${mount.id} ${parent} ${deviceMajor(device)}:${deviceMinor(device)} ${shown} ${escape(at)} ${options(mount)} - ${type} ${escape(mount.source)} ${superOptions(mount)}\n`;
    })
    .join('');
}

export function mountStatsText(task: TaskView, root: Path): string {
  return visible(task, root)
    .map(({ mount, at }) => `device ${escape(mount.source)} mounted on ${escape(at)} with fstype ${mount.fileSystem.type}\n`)
    .join('');
}
