import { describe, expect, it } from 'vitest';
import { EACCES, EISDIR, ENOENT } from '#sentry/abi/errno.ts';
import { ociError, programError } from './errors.ts';

describe('what clients look for', () => {
  it.each([
    ['doesNotExist', 'does not exist'],
    ['notRunning', 'container not running'],
    ['noSuchProcess', 'no such process'],
  ] as const)('%s: containerd and CRI-O', (kind, words) => {
    expect(ociError(kind, 'web').message).toContain(words);
    expect(ociError(kind, 'web').message).toMatch(/: web$/);
  });

  it.each([
    ['nosuch', ENOENT, 'exec: "nosuch": executable file not found in $PATH'],
    ['/bin/nosuch', ENOENT, 'exec: "/bin/nosuch": no such file or directory'],
    ['/etc/passwd', EACCES, 'exec: "/etc/passwd": permission denied'],
    ['/tmp', EISDIR, 'exec: "/tmp": permission denied'],
  ] as const)('%s: podman and Docker, for status 126 and 127', (name, errno, words) => {
    expect(programError(name, errno).message).toBe(`unable to start container process: ${words}`);
  });
});
