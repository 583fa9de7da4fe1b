/** The difference between two versions of a small file, for a person: one block of changed lines with its surroundings, as diff -u shows it. */

const CONTEXT = 3;

/** Lines that start with `-`, `+` or a space; empty when nothing differs. */
export function difference(before: string, after: string): string[] {
  if (before === after) return [];
  const [old, fresh] = [linesOf(before), linesOf(after)];
  const shorter = Math.min(old.length, fresh.length);
  let same = 0;
  while (same < shorter && old[same] === fresh[same]) same++;
  let end = 0;
  while (end < shorter - same && old[old.length - 1 - end] === fresh[fresh.length - 1 - end]) end++;
  return [
    ...old.slice(Math.max(0, same - CONTEXT), same).map((line) => ` ${line}`),
    ...old.slice(same, old.length - end).map((line) => `-${line}`),
    ...fresh.slice(same, fresh.length - end).map((line) => `+${line}`),
    ...old.slice(old.length - end, old.length - end + CONTEXT).map((line) => ` ${line}`),
  ];
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}
