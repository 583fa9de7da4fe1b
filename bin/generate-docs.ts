/** Writes the generated parts of docs/: `npm run docs`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { syscallsMarkdown } from '#sentry/syscalls/documentation.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';

writeFileSync(join(import.meta.dirname, '../docs/SYSCALLS.md'), syscallsMarkdown(ALL_ROWS));
