/** `tsvisor list`: the containers of a root directory. */
import { writeSync } from 'node:fs';
import { Command, Option } from 'commander';
import { describeContainer } from '../oci/lifecycle/describe.ts';
import type { ContainerDescription } from '../oci/lifecycle/describe.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ContainerDirectory } from '../oci/state/container-directory.ts';
import { ociAction } from './oci-action.ts';
import { formatTable } from './table.ts';

const STDOUT = 1;
const COLUMNS = ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'] as const;

export function listCommand(): Command {
  const command = new Command('list')
    .description('List the containers beneath --root.')
    .addOption(new Option('-f, --format <format>', 'table or json').choices(['table', 'json']).default('table'))
    .option('-q, --quiet', 'ids only');
  return ociAction(command, ({ globals: { root } }, { format, quiet = false }: { format: string; quiet?: boolean }) => {
    const ids = ContainerDirectory.list(root);
    if (quiet) {
      writeSync(STDOUT, ids.map((id) => `${id}\n`).join(''));
      return;
    }
    const found = ids.flatMap((id) => KnownContainer.tryFind(root, id) ?? []).map(describeContainer);
    // runc writes null for none, as Go does.
    writeSync(
      STDOUT,
      format === 'json' ? `${JSON.stringify(found.length === 0 ? null : found)}\n` : formatTable(COLUMNS, found.map(rowOf)),
    );
  });
}

function rowOf({ id, pid, status, bundle, created, owner }: ContainerDescription): string[] {
  return [id, String(pid), status, bundle, created, owner];
}
