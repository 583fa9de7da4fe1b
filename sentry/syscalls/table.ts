/**
 * All rows. A new family is added here and nowhere else.
 */
import { memoryRows } from './memory.ts';
import { processRows } from './process.ts';
import type { Row } from './row.ts';

export const ALL_ROWS: readonly Row[] = [...processRows, ...memoryRows];
