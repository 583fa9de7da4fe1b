import type { Filter } from './assembler.ts';
export const gofer: Filter = { name: 'gofer', otherwise: 'kill', rules: [] };
