/** `tsvisor spec`: writes a config.json to start from. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../errors.ts';
import { defaultConfig } from '../oci/config/default-config.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';

interface SpecOptions {
  bundle: string;
  rootless?: boolean;
}

export function specCommand(): Command {
  return new Command('spec')
    .description('Write a config.json to start from: a shell on a terminal, in the directory rootfs of the bundle.')
    .option('-b, --bundle <dir>', 'directory to write it to', '.')
    .option('--rootless', 'for a container that an ordinary user starts and is root in')
    .action(({ bundle, rootless }: SpecOptions) => {
      const user = rootless === true ? { uid: process.geteuid!(), gid: process.getegid!() } : null;
      writeNew(join(bundle, 'config.json'), `${JSON.stringify(defaultConfig(user), null, '\t')}\n`);
    });
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    const { code = 'error' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new UserError(`${path} exists; remove it first.`, EXIT_OCI_FAILURE);
    throw new UserError(`${path} cannot be written (${code}).`, EXIT_OCI_FAILURE);
  }
}
