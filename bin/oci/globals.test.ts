import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addOciGlobals, ociGlobals } from './globals.ts';
import type { OciGlobals } from './globals.ts';

function parsed(...args: string[]): OciGlobals {
  let globals: OciGlobals | null = null;
  const verb = new Command('state').argument('<id>').action((_id: string, _options: object, command: Command) => {
    globals = ociGlobals(command);
  });
  const program = addOciGlobals(new Command('tsvisor'))
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  program.addCommand(verb.exitOverride().configureOutput({ writeErr: () => {} }));
  program.parse([...args, 'state', 'x'], { from: 'user' });
  return globals!;
}

describe('options before the verb', () => {
  it('have defaults', () => {
    const { root, ...others } = parsed();
    expect(root).toMatch(/\/tsvisor$/);
    expect(others).toEqual({ log: { file: null, format: 'text', debug: false }, systemdCgroup: false, rootless: null });
  });

  it('are read as clients write them', () => {
    expect(
      parsed('--root', '/r/../s', '--log=/l.json', '--log-format', 'json', '--debug', '--systemd-cgroup', '--rootless=true', '--criu', 'x'),
    ).toEqual({
      root: '/s',
      log: { file: '/l.json', format: 'json', debug: true },
      systemdCgroup: true,
      rootless: true,
    });
  });

  it.each(['', '/', '/..'])('refuse --root "%s"', (root) => {
    expect(() => parsed('--root', root)).toThrow('--root must not be /');
  });

  it('refuse other formats', () => {
    expect(() => parsed('--log-format', 'xml')).toThrow('xml');
  });
});
