/** `tsvisor syscalls`: which Linux system calls are served, and how completely. */
import { Command } from 'commander';
import { syscallsJson, syscallsText } from '#sentry/syscalls/documentation.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';

export function syscallsCommand(): Command {
  return new Command('syscalls')
    .description('List the system calls: full, partial (with what is missing) and missing.')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) => {
      process.stdout.write(json === true ? syscallsJson(ALL_ROWS) : syscallsText(ALL_ROWS));
    });
}
