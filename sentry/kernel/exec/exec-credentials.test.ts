import { describe, expect, test } from 'vitest';
import { EPERM } from '#sentry/abi/errno.ts';
import { ALL_CAPABILITIES, initialCredentials, NO_CAPABILITIES } from '../../vfs/credentials.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import { credentialsAfterExec } from './exec-credentials.ts';
import type { CredentialChange, FilePrivileges } from './exec-credentials.ts';
import { parseCapabilities } from './file-capabilities.ts';

const RAW = { low: 1 << 13, high: 0 };
const CHOWN = { low: 1, high: 0 };
const PLAIN: FilePrivileges = { uid: null, gid: null, capabilities: null };
const user = initialCredentials(1000, 1000, [], ALL_CAPABILITIES);
const root = initialCredentials(0, 0, [], ALL_CAPABILITIES);

function withCapabilities(permitted: typeof RAW, effective = true, inheritable = NO_CAPABILITIES): FilePrivileges {
  return { ...PLAIN, capabilities: { permitted, inheritable, effective } };
}

function exec(old: Credentials, file: FilePrivileges): CredentialChange {
  const change = credentialsAfterExec(old, file);
  if (typeof change === 'number') throw new Error(`execve: ${change}`);
  return change;
}

describe('execve', () => {
  test('of a plain file', () => {
    expect(exec(user, PLAIN)).toMatchObject({ credentials: { permitted: NO_CAPABILITIES, effective: NO_CAPABILITIES }, secure: false });
    expect(exec(root, PLAIN)).toMatchObject({ credentials: { permitted: ALL_CAPABILITIES, effective: ALL_CAPABILITIES }, secure: false });
  });

  test('root has no more than the bounding set, and what it inherits', () => {
    const bounded = { ...root, bounding: RAW, inheritable: CHOWN };
    expect(exec(bounded, PLAIN).credentials.effective).toEqual({ low: RAW.low | CHOWN.low, high: 0 });
  });

  test('of a set-user-ID file', () => {
    const { credentials, secure } = exec(user, { ...PLAIN, uid: 0 });
    expect(credentials).toMatchObject({ uid: 1000, euid: 0, suid: 0, fsuid: 0, effective: ALL_CAPABILITIES });
    expect(secure).toBe(true);
    expect(exec({ ...user, noNewPrivs: true }, { ...PLAIN, uid: 0 })).toMatchObject({
      credentials: { euid: 1000, effective: NO_CAPABILITIES },
    });
  });

  test('of a file with capabilities', () => {
    expect(exec(user, withCapabilities(RAW))).toMatchObject({ credentials: { permitted: RAW, effective: RAW }, secure: true });
    expect(exec(user, withCapabilities(RAW, false))).toMatchObject({
      credentials: { permitted: RAW, effective: NO_CAPABILITIES },
      secure: true,
    });
    expect(exec({ ...user, inheritable: CHOWN }, withCapabilities(RAW, true, CHOWN)).credentials.permitted).toEqual({
      low: RAW.low | CHOWN.low,
      high: 0,
    });
    expect(exec({ ...user, noNewPrivs: true }, withCapabilities(RAW)).credentials.permitted).toEqual(NO_CAPABILITIES);
    expect(exec(root, withCapabilities(RAW)).credentials.effective).toEqual(ALL_CAPABILITIES);
  });

  test('beyond the bounding set they are refused, or left out', () => {
    const bounded = { ...user, bounding: CHOWN };
    expect(credentialsAfterExec(bounded, withCapabilities(RAW))).toBe(-EPERM);
    expect(exec(bounded, withCapabilities(RAW, false)).credentials.permitted).toEqual(NO_CAPABILITIES);
    expect(credentialsAfterExec({ ...root, bounding: CHOWN }, withCapabilities(RAW))).toBe(-EPERM);
  });

  test('a set-user-ID-root file with capabilities gives an ordinary user only these', () => {
    expect(exec(user, { ...withCapabilities(RAW), uid: 0 }).credentials).toMatchObject({ euid: 0, permitted: RAW });
  });

  test('ambient capabilities last until a file has its own', () => {
    const ambient = { ...user, ambient: CHOWN, permitted: CHOWN, inheritable: CHOWN };
    expect(exec(ambient, PLAIN)).toMatchObject({ credentials: { ambient: CHOWN, effective: CHOWN, permitted: CHOWN }, secure: false });
    expect(exec(ambient, withCapabilities(RAW)).credentials).toMatchObject({ ambient: NO_CAPABILITIES, permitted: RAW });
  });
});

test('the attribute in its revisions', () => {
  const bytes = (text: string): string => Buffer.from(text.replaceAll(' ', ''), 'hex').toString('latin1');
  const two = '01000002 00200000 00000000 00000000 00000000';
  expect(parseCapabilities(bytes(two))).toEqual({ permitted: RAW, inheritable: NO_CAPABILITIES, effective: true });
  expect(parseCapabilities(bytes('00000001 01000000 00200000'))).toEqual({ permitted: CHOWN, inheritable: RAW, effective: false });
  expect(parseCapabilities(bytes('01000003 00200000 00000000 ff010000 00000000 00000000'))?.permitted).toEqual({
    low: RAW.low,
    high: 0x1ff,
  });
  for (const wrong of [
    '',
    '01',
    `${two}00`,
    '01000003 00200000 00000000 00000000 00000000 e8030000',
    '00000000',
    '01000004 00200000 00000000 00000000',
  ])
    expect(parseCapabilities(bytes(wrong))).toBeNull();
});
