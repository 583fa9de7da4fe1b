/** `tsvisor syscalls`: which Linux system calls are served, and how completely. */
import { Command } from 'commander';
import { syscallsJson, syscallsMarkdown, syscallsText } from '#sentry/syscalls/documentation.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';

export function syscallsCommand(): Command {
  return new Command('syscalls')
    .description('List the system calls: full, partial (with what is missing) and missing.')
    .option('--json', 'as JSON')
    .option('--markdown', 'as docs/SYSCALLS.md')
    .action(({ json, markdown }: { json?: boolean; markdown?: boolean }) => {
      const format = json === true ? syscallsJson : markdown === true ? syscallsMarkdown : syscallsText;
      process.stdout.write(format(ALL_ROWS));
    });
}
