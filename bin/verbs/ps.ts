/** `tsvisor ps`: the processes of a container, with their numbers inside; as JSON, those of the host that stand for them. */
import { writeSync } from 'node:fs';
import { Command, Option } from 'commander';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { ProcessRow, PsReply } from '../oci/control/protocol.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ociAction } from './oci-action.ts';
import { formatTable } from './table.ts';

const STDOUT = 1;
/** What runc passes when nothing is asked for. */
const DEFAULTS = new Set(['-ef', '-f', '-e']);
const COLUMNS = ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'] as const;

export function psCommand(): Command {
  const command = new Command('ps')
    .description('List the processes of a container.')
    .passThroughOptions()
    .argument('<id>')
    .argument('[options...]', 'for ps(1): -ef, which is what is shown')
    .addOption(new Option('-f, --format <format>', 'table or json').choices(['table', 'json']).default('table'));
  return ociAction(command, ({ globals }, id: string, options: string[], { format }: { format: string }) => {
    const other = options.find((option) => !DEFAULTS.has(option));
    if (other !== undefined) throw new UserError(`the option ${other} of ps(1) is not supported: only -ef is`, EXIT_OCI_FAILURE);
    const container = KnownContainer.find(globals.root, id);
    const reply = container.tryAsk<PsReply>({ verb: 'ps' });
    if (format === 'table') writeSync(STDOUT, formatTable(COLUMNS, (reply?.processes ?? []).map(rowOf)));
    // Of the host, where clients look for them: what runs inside is not to be seen there but for those that have a process of their own.
    else writeSync(STDOUT, `${JSON.stringify(reply === null ? [] : [container.record.process.pid, ...reply.hostPids])}\n`);
  });
}

function rowOf({ uid, pid, ppid, ageMs, cpuMs, terminal, command }: ProcessRow): string[] {
  const share = ageMs === 0 ? 0 : Math.min(99, Math.floor((cpuMs / ageMs) * 100));
  const started = new Date(Date.now() - ageMs).toTimeString().slice(0, 5);
  const seconds = Math.floor(cpuMs / 1000);
  const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => String(Math.floor(part)).padStart(2, '0')).join(':');
  return [String(uid), String(pid), String(ppid), String(share), started, terminal, time, toText(command)];
}
