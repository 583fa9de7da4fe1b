/** The configuration in a bundle. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import { readConfig } from '../config/read.ts';
import type { ContainerConfig } from '../config/types.ts';
import { EXIT_OCI_FAILURE, reasonOf } from '../errors.ts';
import { sandboxOfNetwork } from './shared-network.ts';

/** `root`: where containers are kept, for one that names another's network. Throws UserError. */
export function readBundle(
  bundle: string,
  root: string,
  warn: (sentence: string) => void,
): { readonly config: ContainerConfig; readonly text: string } {
  const path = join(bundle, 'config.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${reasonOf(-((error as NodeJS.ErrnoException).errno ?? 0))}`, EXIT_OCI_FAILURE);
  }
  const { config, warnings } = readConfig(text, bundle, sandboxOfNetwork(root, text));
  for (const sentence of warnings) warn(sentence);
  return { config, text };
}
