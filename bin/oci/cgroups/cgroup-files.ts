/**
 * Files and directories of cgroup file systems, as results instead of exceptions: whether a failure matters depends on who asks.
 * Paths are byte strings; a number below zero is -errno. Tests give another implementation, with the host kernel's rules.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmdirSync, writeSync } from 'node:fs';

export interface CgroupFiles {
  /** The whole text, or -errno. */
  read(path: string): string | number;
  /** Writes to a file that exists, in one write. 0 or -errno. */
  write(path: string, text: string): number;
  makeDirectory(path: string): number;
  removeDirectory(path: string): number;
  /** Names of directories in a directory; none if it cannot be read. */
  directories(path: string): string[];
}

function encode(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Node gives -errno with every error of a system call. */
function attempt(action: () => void): number {
  try {
    action();
    return 0;
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    return errno;
  }
}

export const hostFiles: CgroupFiles = {
  read(path) {
    let text = '';
    const result = attempt(() => {
      text = readFileSync(encode(path), 'latin1');
    });
    return result < 0 ? result : text;
  },
  write(path, text) {
    return attempt(() => {
      // Not created: the kernel makes these files, and what it does not offer must not appear as a file elsewhere.
      const fd = openSync(encode(path), 'r+');
      try {
        writeSync(fd, text, null, 'latin1');
      } finally {
        closeSync(fd);
      }
    });
  },
  makeDirectory: (path) => attempt(() => mkdirSync(encode(path), 0o755)),
  removeDirectory: (path) => attempt(() => rmdirSync(encode(path))),
  directories(path) {
    try {
      return readdirSync(encode(path), { withFileTypes: true, encoding: 'latin1' })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    } catch {
      return [];
    }
  },
};
